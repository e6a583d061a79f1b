"""A spec that is sent: what it would do, or a batch of it."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse, Response

from controller.api import bodies, examples
from controller.api.audit import entry_of
from controller.api.context import Asker, Here, Who, World, context_of
from controller.api.documented import answered
from controller.api.orders import CREATED, DONE, Done, Ordered
from controller.api.problems import Problem
from controller.core.spec import BatchSpec
from controller.intake import Outcome
from controller.plan_document import plan_document
from controller.submitting import submit_spec

router = APIRouter(prefix="/api/v1/batches", tags=["batches"])

YAML = frozenset({"application/yaml", "application/x-yaml", "text/yaml", "text/x-yaml"})
_ACCEPTED = {
    "requestBody": {
        "required": True,
        "content": {
            bodies.JSON: {"schema": {"$ref": "#/components/schemas/Spec"}, "example": examples.SPEC},
            "application/yaml": {"schema": {"type": "string"}, "example": examples.SPEC_YAML},
        },
    }
}


@router.post(
    "",
    summary="Submit a spec",
    responses={
        **answered("Taken", examples.TAKEN, more=("Plan",)),
        **answered("Taken", examples.TAKEN, status=CREATED),
    },
    openapi_extra=_ACCEPTED,
)
async def submit(
    request: Request,
    world: Here,
    who: Who,
    order: Ordered,
    plan: Annotated[bool, Query(description="Only say what it would do: jobs, names, peak, rules.")] = False,
    as_admin: Annotated[
        bool, Query(description="Change others' batches, or make one for its owner.")
    ] = False,
) -> Response:
    """Makes a batch (201), or brings the batch of its name up to it (200). It may name no csv file: there
    is nothing beside a spec that is sent."""
    entry_of(request).note(what="submit", dry_run=plan or order.dry_run)
    spec, warnings = await _read(request, world, who)
    if plan:
        return JSONResponse({**plan_document(world.settings.cluster.kind, spec), "warnings": warnings})
    caller = who.caller(as_admin)
    if not caller.may(spec.owner):
        raise Problem(
            403,
            "not-allowed",
            f"specs for namespace {spec.namespace} belong to {spec.owner}: ask them, or an admin",
        )

    async def act(_: str) -> Done:
        source = f"{who.user}: sent"
        taken = await submit_spec(world.store, caller, spec, source, dry_run=order.dry_run)
        if taken.outcome is Outcome.REFUSED:
            raise Problem(409, "refused", "; ".join(taken.sentences))
        document = {
            "outcome": taken.outcome.value,
            "batch": f"{spec.namespace}/{spec.name}",
            "batchId": taken.batch.id if taken.batch and not order.dry_run else None,
            "sentences": list(taken.sentences),
            "warnings": warnings,
            "dry_run": order.dry_run,
        }
        made = taken.outcome is Outcome.ACCEPTED and not order.dry_run
        return Done(document, status=CREATED if made else DONE)

    return await order.carry_out(world, who, "submit", act)


async def _read(request: Request, world: World, who: Asker) -> tuple[BatchSpec, list[str]]:
    """The spec and its warnings. Raises ``Problem``: 415, 422 with everything that is wrong with it, or 429
    and 503 as ``Turns`` does."""
    content, kind = await request.body(), bodies.media_type(request)
    if kind != bodies.JSON and kind not in YAML:
        raise Problem(
            415, "media-type", f"the body is {kind or 'of no type'}: send application/yaml or {bodies.JSON}"
        )
    with context_of(request).turns.of(who.user):
        name = "spec.json" if kind == bodies.JSON else "spec.yaml"
        reading = await world.read_spec(content, name, who.user)
    if reading.spec is None:
        errors = [{"where": "spec", "problem": problem} for problem in reading.problems]
        raise Problem(
            422, "invalid", "; ".join(reading.problems[:3]) + ": nothing was started", errors=errors
        )
    return reading.spec, list(reading.warnings)
