"""Batches over HTTP: lists, one batch, its report, why it waits; a spec that is sent; orders for a batch."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import JSONResponse, Response

from controller import requests
from controller.adopting import ask_to_adopt
from controller.api import bodies, examples, paging
from controller.api.context import Here, Who, World
from controller.api.documented import answered, paged
from controller.api.finding import batch_named
from controller.api.orders import Done, Ordered
from controller.batch_document import listed_batch, whole_batch
from controller.core.model import Batch, BatchStatus
from controller.explaining import explanation_of_batch
from controller.people import Answer, Caller, NotAllowed, not_yours
from controller.ports import BatchQuery
from controller.reporting import report_of
from controller.shapes import answer_document, explanation_document, report_document

router = APIRouter(prefix="/api/v1/batches", tags=["batches"])

NAME = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
BatchId = Annotated[
    str,
    Path(
        alias="id",
        max_length=63,
        pattern=NAME,
        description="The batch's id, or its name where one only has it.",
    ),
]


@router.get("", summary="Batches, the newest first", responses=paged("Batch", examples.BATCH))
async def batches(
    world: Here,
    who: Who,
    status: Annotated[list[BatchStatus], Query(description="Only in one of these.")] = [],  # noqa: B006
    name: Annotated[str, Query(max_length=63, pattern=r"^[-a-z0-9]*$")] = "",
    namespace: Annotated[str, Query(max_length=63, pattern=r"^[-a-z0-9]*$")] = "",
    user: Annotated[str, Query(max_length=256, pattern=r"^[^\x00-\x1f\x7f]*$")] = "",
    limit: paging.Limit = paging.PAGE,
    cursor: paging.Cursor = "",
) -> Response:
    """Each as in the status file beside its spec."""
    query = BatchQuery(namespace, name, user, tuple(status))
    if not who.sees_all:
        if user not in ("", who.user):
            return JSONResponse(paging.page([], None, 0))
        query = replace(query, user=who.user)
    found = await world.desk.batch_page(query, paging.place_of(cursor, "batches", "t"), limit)
    gates = await world.store.gates([batch.id for batch in found.batches])
    items = [listed_batch(batch, gates.get(batch.id)) for batch in found.batches]
    total = await world.desk.count_batches(query, paging.MOST_COUNTED)
    return JSONResponse(paging.page(items, paging.cursor_of(found.next, "batches"), total))


@router.get("/{id}", summary="One batch", responses=answered("Batch", examples.BATCH))
async def batch(world: Here, who: Who, batch_id: BatchId) -> Response:
    """How it stands now: why it waits, what failed last, its settings and whence they are."""
    found = await batch_named(world, who, batch_id)
    return JSONResponse(await whole_batch(world.engine, world.settings.cluster.kind, found, fresh=False))


@router.get(
    "/{id}/report", summary="What became of every task", responses=answered("Report", examples.REPORT)
)
async def report(world: Here, who: Who, batch_id: BatchId) -> Response:
    """Found, succeeded, retried, failed, skipped, each with its reason; every task has a line."""
    return JSONResponse(
        report_document(await report_of(world.store, await batch_named(world, who, batch_id)))
    )


@router.get(
    "/{id}/explain", summary="Why a batch waits", responses=answered("Explanation", examples.EXPLANATION)
)
async def explain(world: Here, who: Who, batch_id: BatchId) -> Response:
    """One sentence: the cause, the number that decides it, what will change it and when."""
    found = await batch_named(world, who, batch_id)
    why = await explanation_of_batch(world.engine, found, fresh=False)
    return JSONResponse(explanation_document(found.name, why))


# -------------------------------------------------------------------------------------------- orders


Asked = Callable[[Caller, Batch], Awaitable[str]]


async def _for_batch(
    world: World, who: Who, order: Ordered, batch_id: str, as_admin: bool, what: str, asked: Asked
) -> Response:
    """An order for one batch; ``asked`` says in a sentence what it did. Raises ``Problem``."""
    caller = who.caller(as_admin)

    async def act(_: str) -> Done:
        found = await batch_named(world, who, batch_id)
        if not caller.may(found.user):
            raise NotAllowed(not_yours(caller, f"batch {found.name}", found.user))
        did = await asked(caller, found)
        answer = answer_document(Answer(found.id, found.name, did=did))
        return Done({**answer, "dry_run": order.dry_run})

    return await order.carry_out(world, who, what, act)


_AS_ADMIN = bodies.body_document(bodies.AsAdmin, {"as_admin": False}, required=False)
_ANSWER = answered("Answer", examples.ANSWER)


@router.post(
    "/{id}/pause", summary="Start nothing more of a batch", responses=_ANSWER, openapi_extra=_AS_ADMIN
)
async def pause(request: Request, world: Here, who: Who, order: Ordered, batch_id: BatchId) -> Response:
    """Active jobs go on."""
    body = await bodies.read(request, bodies.AsAdmin)

    async def asked(caller: Caller, found: Batch) -> str:
        return await requests.pause(world.people, caller, found, dry_run=order.dry_run)

    return await _for_batch(world, who, order, batch_id, body.as_admin, "pause", asked)


@router.post(
    "/{id}/resume", summary="Let a paused or held batch go on", responses=_ANSWER, openapi_extra=_AS_ADMIN
)
async def resume(request: Request, world: Here, who: Who, order: Ordered, batch_id: BatchId) -> Response:
    """The tally of like failures starts anew."""
    body = await bodies.read(request, bodies.AsAdmin)

    async def asked(caller: Caller, found: Batch) -> str:
        return await requests.resume(world.people, caller, found, dry_run=order.dry_run)

    return await _for_batch(world, who, order, batch_id, body.as_admin, "resume", asked)


@router.post(
    "/{id}/adopt",
    summary="Take over what others run under a batch's names",
    responses=_ANSWER,
    openapi_extra=_AS_ADMIN,
)
async def adopt(request: Request, world: Here, who: Who, order: Ordered, batch_id: BatchId) -> Response:
    """Theirs are followed and never touched; whoever leads does it in its next pass."""
    body = await bodies.read(request, bodies.AsAdmin)

    async def asked(caller: Caller, found: Batch) -> str:
        return await ask_to_adopt(world.people, caller, found, dry_run=order.dry_run)

    return await _for_batch(world, who, order, batch_id, body.as_admin, "adopt", asked)


@router.post(
    "/{id}/cancel",
    summary="Cancel a batch",
    responses=_ANSWER,
    openapi_extra=bodies.body_document(bodies.Cancel, {"why": "wrong reference"}, required=False),
)
async def cancel(request: Request, world: Here, who: Who, order: Ordered, batch_id: BatchId) -> Response:
    """Nothing more starts, active jobs are stopped."""
    body = await bodies.read(request, bodies.Cancel)

    async def asked(caller: Caller, found: Batch) -> str:
        return await requests.cancel_batch(world.people, caller, found, body.why, dry_run=order.dry_run)

    return await _for_batch(world, who, order, batch_id, body.as_admin, "cancel", asked)


@router.post(
    "/{id}/scale",
    summary="Change how many jobs may be active",
    responses=_ANSWER,
    openapi_extra=bodies.body_document(bodies.Scale, {"max_concurrent": 20}),
)
async def scale(request: Request, world: Here, who: Who, order: Ordered, batch_id: BatchId) -> Response:
    """Lowering it stops nothing, but nothing starts until the count is below."""
    body = await bodies.read(request, bodies.Scale)

    async def asked(caller: Caller, found: Batch) -> str:
        return await requests.scale(world.people, caller, found, body.max_concurrent, dry_run=order.dry_run)

    return await _for_batch(world, who, order, batch_id, body.as_admin, "scale", asked)
