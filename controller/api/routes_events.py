"""Server-sent events: what changed, live."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from controller.api.context import Here, Who, context_of
from controller.api.finding import batch_named
from controller.api.live import Listener, Live
from controller.api.problems import Problem

router = APIRouter(prefix="/api/v1", tags=["events"])
SHARE = 4
"""One user may have one in so many of all streams, and one at least."""
_EXAMPLE = 'event: changed\ndata: {"batch_id":"6745f09ac3d4e5f60718292f","jobs":[],"more":false}\n\n'
_STREAM: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "A stream that ends after 15 minutes at most",
        "content": {"text/event-stream": {"schema": {"type": "string"}, "example": _EXAMPLE}},
    }
}


@router.get("/events", summary="What changes, live", responses=_STREAM)
async def events(
    request: Request,
    world: Here,
    who: Who,
    batch: Annotated[
        str,
        Query(
            max_length=63,
            pattern=r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?)?$",
            description="Only of this batch.",
        ),
    ] = "",
) -> Response:
    """`changed` names a batch and up to 100 of its jobs; `reset` says: read everything again. Both say
    that something changed, not what: read it. A comment comes every 15 s when nothing does."""
    context = context_of(request)
    batch_id = (await batch_named(world, who, batch)).id if batch else ""
    live = context.live
    most = context.settings.api.streams
    if live is None or live.listeners >= most:
        raise _too_many(503, "too many listen at this time: ask again")
    share = max(1, most // SHARE)
    if live.of(who.user) >= share:
        told = f"{who.user} listens {share} times already: close one of them (a tab of the page), or wait"
        raise _too_many(429, told)
    return Stream(live, Listener(who.sees, batch_id, who.user))


class Stream(StreamingResponse):
    """Has its place from when it is made until it is over, also one whose client left before it began."""

    def __init__(self, live: Live, listener: Listener) -> None:
        live.take(listener)
        headers = {"X-Accel-Buffering": "no"}
        super().__init__(live.listen(listener), media_type="text/event-stream", headers=headers)
        self._leave = partial(live.leave, listener)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The whole of it."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._leave()


def _too_many(status: int, detail: str) -> Problem:
    return Problem(status, "too-many-listeners", detail, headers={"Retry-After": "30"})
