"""How every order is carried out: once per idempotency key, with what its audit line says.

Called by every route that writes. A repeated key gives the first answer again; while the first has none
(it is under way, or its process died), the order is carried out again under the first one's request id, by
which a retry finds the children that it has already recorded (lifecycle.md R7).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Header, Query, Request
from fastapi.responses import Response

from controller.api.audit import entry_of
from controller.api.context import Asker, World
from controller.api.problems import Problem, of_error
from controller.people import Answer
from controller.ports import BatchkeeperError, Kept
from controller.shapes import answer_document

_KEY = re.compile(r"[\x21-\x7e]{1,200}")
DONE, CREATED = 200, 201


@dataclass(frozen=True, slots=True)
class Done:
    """What an order came to: its answer, and for the audit how much was done and refused."""

    document: Any
    done: int = 1
    refused: int = 0
    status: int = DONE


Act = Callable[[str], Awaitable[Done]]
"""Carries an order out under a request id."""


@dataclass(frozen=True, slots=True)
class Order:
    """The circumstances of one order, the same for every route."""

    request: Request
    dry_run: bool
    key: str

    async def carry_out(self, world: World, asker: Asker, what: str, act: Act, *, ids: int = 1) -> Response:
        """Do it, once; the audit log is told what came of it. Raises ``Problem``."""
        entry = entry_of(self.request)
        entry.note(what=what, of=self.request.path_params.get("id", ""), ids=ids, dry_run=self.dry_run)
        kept = await self._begin(world, asker)
        if kept:
            entry.note(request=kept.request_id)
        if kept and kept.status:
            entry.note(replayed=True)
            return _json(kept.answer, kept.status, replayed=True)
        try:
            done = await act(kept.request_id if kept else asker.request_id)
        except BatchkeeperError as error:
            raise of_error(error) from error
        entry.note(done=done.done, refused=done.refused)
        content = json.dumps(done.document, separators=(",", ":")).encode()
        if kept:
            await world.desk.end_request(self._id(asker), kept.request_id, done.status, content)
        return _json(content, done.status)

    async def _begin(self, world: World, asker: Asker) -> Kept | None:
        """What is kept of this key, if one was sent. Raises ``Problem`` if for another order."""
        if not self.key or self.dry_run:
            return None
        if not _KEY.fullmatch(self.key):
            raise Problem(
                422, "invalid", "Idempotency-Key: 1 to 200 visible ASCII characters: send such a one"
            )
        url = self.request.url
        asked = hashlib.sha256(f"{self.request.method} {url.path}?{url.query}\n".encode())
        asked.update(await self.request.body())
        kept = await world.desk.begin_request(self._id(asker), asked.hexdigest(), asker.request_id)
        if kept.fingerprint != asked.hexdigest():
            raise Problem(
                422,
                "key-reused",
                "this Idempotency-Key was used for another request: send a new key; nothing was done",
            )
        return kept

    def _id(self, asker: Asker) -> str:
        return hashlib.sha256(f"{asker.user}\n{self.key}".encode()).hexdigest()


def _json(content: bytes, status: int, *, replayed: bool = False) -> Response:
    headers = {"Idempotent-Replayed": "true"} if replayed else {}
    return Response(content, status, headers=headers, media_type="application/json")


def order(
    request: Request,
    dry_run: Annotated[bool, Query(description="Say what it would do, and do nothing.")] = False,
    idempotency_key: Annotated[
        str,
        Header(description="Makes a repeated request harmless: for 24 h the same key gives the same answer."),
    ] = "",
) -> Order:
    """The circumstances of the order that this request is."""
    return Order(request, dry_run, idempotency_key)


Ordered = Annotated[Order, Depends(order)]


def answers(found: list[Answer], order: Order) -> Done:
    """What became of many ids."""
    refused = sum(bool(one.error) for one in found)
    document = {
        "done": len(found) - refused,
        "refused": refused,
        "dry_run": order.dry_run,
        "answers": [answer_document(one) for one in found],
    }
    return Done(document, len(found) - refused, refused)


def one_answer(found: Answer, order: Order) -> Done:
    """What became of one id. Raises ``Problem`` 409 when it was refused as things stand."""
    if found.error:
        raise Problem(409, "refused", found.error)
    return Done({**answer_document(found), "dry_run": order.dry_run})
