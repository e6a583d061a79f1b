"""For whoever looks after the place: repair, reap, halt, unhalt. All of them need an admin."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from controller import lifecycle, requests
from controller.api import bodies, examples
from controller.api.context import Asker, Here, Who
from controller.api.documented import answered
from controller.api.orders import Done, Ordered
from controller.api.problems import Problem
from controller.people import Caller
from controller.shapes import job_document
from controller.stuck import overdue_jobs

router = APIRouter(prefix="/api/v1", tags=["operate"])
_AS_ADMIN = bodies.body_document(bodies.AsAdmin, {"as_admin": True}, required=False)
_ANSWER = answered("Did", examples.DID)


def _operator(who: Asker, as_admin: bool) -> Caller:
    caller = who.caller(as_admin)
    if not caller.admin:
        raise Problem(403, "no-admin", f"this is for every batch, and you are {who.user}: ask with as_admin")
    return caller


@router.get("/whoami", summary="As whom you are known", responses=answered("Me", examples.ME))
async def whoami(who: Who) -> Response:
    """Whether you may act with `as_admin`, and whether others' batches are shown to you."""
    return JSONResponse({"user": who.user, "operator": who.operator, "sees_all": who.sees_all})


@router.post(
    "/repair",
    summary="Finish interrupted retries",
    responses=answered("Repaired", examples.REPAIRED),
    openapi_extra=_AS_ADMIN,
)
async def repair(request: Request, world: Here, who: Who, order: Ordered) -> Response:
    """The daemon does so by itself, too; two at once do no harm."""
    _operator(who, (await bodies.read(request, bodies.AsAdmin)).as_admin)

    async def act(_: str) -> Done:
        children = await lifecycle.repair(world.engine, dry_run=order.dry_run)
        after = {job.id: job for job in await world.store.jobs([child.id for child in children])}
        shown = [job_document(after.get(child.id, child)) for child in children]
        return Done({"repaired": shown, "dry_run": order.dry_run}, len(shown))

    return await order.carry_out(world, who, "repair", act)


@router.post(
    "/reap",
    summary="End jobs that are stuck",
    responses=answered("Reaped", examples.REAPED),
    openapi_extra=_AS_ADMIN,
)
async def reap(request: Request, world: Here, who: Who, order: Ordered) -> Response:
    """Says which are overdue, and asks whoever leads to make its pass soon: only the leader reaps."""
    _operator(who, (await bodies.read(request, bodies.AsAdmin)).as_admin)

    async def act(_: str) -> Done:
        found = await overdue_jobs(world.engine)
        if not order.dry_run:
            await world.store.nudge()
        return Done({"overdue": found, "dry_run": order.dry_run}, len(found))

    return await order.carry_out(world, who, "reap", act)


@router.post(
    "/halt",
    summary="The kill switch",
    responses=_ANSWER,
    openapi_extra=bodies.body_document(
        bodies.Halt, {"what": "submissions", "why": "storage is full", "as_admin": True}
    ),
)
async def halt(request: Request, world: Here, who: Who, order: Ordered) -> Response:
    """No submissions, or no automatic retries, of any batch until unhalt."""
    body = await bodies.read(request, bodies.Halt)
    caller = _operator(who, body.as_admin)

    async def act(_: str) -> Done:
        did = await requests.halt(world.people, caller, body.what, body.why, dry_run=order.dry_run)
        return Done({"did": did, "dry_run": order.dry_run})

    return await order.carry_out(world, who, f"halt {body.what}", act)


@router.post(
    "/unhalt",
    summary="Lift the kill switch",
    responses=_ANSWER,
    openapi_extra=bodies.body_document(bodies.Unhalt, {"what": "submissions", "as_admin": True}),
)
async def unhalt(request: Request, world: Here, who: Who, order: Ordered) -> Response:
    """They go on."""
    body = await bodies.read(request, bodies.Unhalt)
    caller = _operator(who, body.as_admin)

    async def act(_: str) -> Done:
        did = await requests.unhalt(world.people, caller, body.what, dry_run=order.dry_run)
        return Done({"did": did, "dry_run": order.dry_run})

    return await order.carry_out(world, who, f"unhalt {body.what}", act)
