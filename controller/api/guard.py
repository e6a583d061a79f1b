"""Around every request: an id for the logs, its audit line, the limit of its body, headers for browsers.

Pure ASGI, so that a stream stays a stream. Put on the application by ``application``.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from controller.api.audit import KEY, Entry
from controller.api.problems import MEDIA_TYPE, Problem

HEADERS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "content-security-policy": (
        "default-src 'self'; img-src 'self' data:; style-src 'self'; script-src 'self'; object-src 'none'; "
        "base-uri 'none'; frame-ancestors 'none'; form-action 'self'"
    ),
    "cache-control": "no-store",
}
"""Set where the route has not set its own. There is no CORS: no other origin reads anything."""
OWN_WORDS = frozenset({"/rpc"})
"""Paths whose routes answer too long a body as their own protocol has it, when they read it."""


PATIENCE = 60.0
"""Seconds within which a whole body must come: who sends it keeps a connection from others."""


class Guard:
    """The outermost layer of the application."""

    def __init__(self, app: ASGIApp, max_body: int) -> None:
        self._app = app
        self._max = max_body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = secrets.token_hex(8)
        entry = Entry(scope, request_id)
        scope.setdefault("state", {}).update({"request_id": request_id, KEY: entry})
        answer = _Answer(send, request_id, entry)
        if _told_length(scope) > self._max and scope["path"] not in OWN_WORDS:
            await _refuse(scope, answer, self._too_large(), request_id)
            return
        try:
            await self._app(scope, self._bounded(receive), answer)
        except BaseException as error:
            entry.tell(type(error).__name__)
            raise
        finally:
            entry.over()

    def _bounded(self, receive: Receive) -> Receive:
        """The body as it comes; more of it than is allowed, or too slow, is an error where it is read."""
        read, whole, until = 0, False, asyncio.get_running_loop().time() + PATIENCE

        async def bounded() -> Message:
            nonlocal read, whole
            try:
                async with asyncio.timeout_at(None if whole else until):
                    message = await receive()
            except TimeoutError:
                raise _too_slow() from None
            whole = not message.get("more_body", False)
            read += len(message.get("body", b""))
            if read > self._max:
                raise self._too_large()
            return message

        return bounded

    def _too_large(self) -> Problem:
        return Problem(
            413,
            "too-large",
            f"the body has more than {self._max:,} bytes: send less at once; nothing was done",
            headers={"Connection": "close"},
        )


def _too_slow() -> Problem:
    return Problem(
        408,
        "too-slow",
        f"the body did not come within {PATIENCE:g} s: send it at once; nothing was done",
        headers={"Connection": "close"},
    )


class _Answer:
    """``send`` with the headers of every answer; an order is in the audit log before it is answered."""

    def __init__(self, send: Send, request_id: str, entry: Entry) -> None:
        self._send = send
        self._request_id = request_id
        self._entry = entry

    async def __call__(self, message: Message) -> None:
        """One message of the answer."""
        if message["type"] == "http.response.start":
            self._entry.tell()
            present = {name.lower() for name, _ in message.get("headers", ())}
            more = {**HEADERS, "x-request-id": self._request_id}
            added = [(n.encode(), v.encode()) for n, v in more.items() if n.encode() not in present]
            message = {**message, "headers": [*message.get("headers", ()), *added]}
        await self._send(message)


def _told_length(scope: Scope) -> int:
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit():
            return int(value)
    return 0


async def _refuse(scope: Scope, send: Any, problem: Problem, request_id: str) -> None:
    body = {
        "type": f"urn:batchkeeper:problem:{problem.kind}",
        "title": "Content Too Large",
        "status": problem.status,
        "detail": problem.detail,
        "instance": scope["path"],
        "request_id": request_id,
    }
    content = json.dumps(body).encode()
    headers = [(b"content-type", MEDIA_TYPE.encode()), (b"content-length", str(len(content)).encode())]
    headers += [(name.lower().encode(), value.encode()) for name, value in problem.headers.items()]
    await send({"type": "http.response.start", "status": problem.status, "headers": headers})
    await send({"type": "http.response.body", "body": content})
