"""Orders over the API, in portions that it takes, and their answers as the commands show them."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from typing import Any

from controller.cli.api_client import ApiError, Client, Nonsense
from controller.cli.output import note
from controller.cli.ways import Wish
from controller.core.quantities import format_cpu, format_memory
from controller.ports import BatchkeeperError
from controller.requests import Answer
from controller.shapes import Document, answer_document

AT_ONCE = 10_000
"""Ids of one request."""
REFUSALS = (403, 409, 422)
ANSWER_KEYS = frozenset(answer_document(Answer("")))


async def retried(
    client: Client, ids: Sequence[str], wish: Wish, admin: Mapping[str, bool]
) -> list[Document]:
    """Retry these; answers in their order. Raises ``BatchkeeperError``."""
    body: Document = {**admin}
    if wish.now:
        body["now"] = True
    if wish.cpu is not None or wish.memory is not None:
        body["resources"] = {
            **({} if wish.cpu is None else {"cpu": format_cpu(wish.cpu)}),
            **({} if wish.memory is None else {"memory": format_memory(wish.memory)}),
        }
    return await _in_portions(client, "jobs/retry", ids, body, wish.dry_run)


async def cancelled(client: Client, ids: Sequence[str], body: Document, dry_run: bool) -> list[Document]:
    """Cancel these; answers in their order. Raises ``BatchkeeperError``."""
    return await _in_portions(client, "jobs/cancel", ids, body, dry_run)


async def _in_portions(
    client: Client, path: str, ids: Sequence[str], body: Document, dry_run: bool
) -> list[Document]:
    """What was done before a portion failed is said: those ids are done all the same."""
    answers: list[Any] = []
    for start in range(0, len(ids), AT_ONCE):
        portion = {**body, "job_ids": list(ids[start : start + AT_ONCE])}
        try:
            told = await client.post(path, portion, dry_run=dry_run, keys=("answers",))
        except BatchkeeperError:
            if start:
                note(f"the first {start:,} of {len(ids):,} ids were answered before this:")
            raise
        answers += told["answers"]
    if not all(isinstance(one, dict) and set(one) >= ANSWER_KEYS for one in answers):
        raise Nonsense("the answers are not such as this version knows: use the controller's version")
    return answers


async def answer_of(batch_id: str, name: str, asked: Awaitable[Document]) -> Document:
    """The answer to an order for one batch; what is refused is told like a refused id."""
    try:
        told = await asked
    except ApiError as error:
        if error.status not in REFUSALS or error.kind == "no-admin":
            raise
        return answer_document(Answer(batch_id, name, error=str(error), stage="preflight"))
    return {key: value for key, value in told.items() if key != "dry_run"}


async def asked_for(
    client: Client, path: str, admin: Mapping[str, bool], dry_run: bool, key: str
) -> list[Document]:
    """What an order for the whole place found."""
    found = (await client.post(path, dict(admin), dry_run=dry_run, keys=(key,)))[key]
    if not isinstance(found, list):
        raise Nonsense(f"{key} is no list: use the controller's version")
    return found
