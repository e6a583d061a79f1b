"""Jobs over HTTP: lists, one job with its task's attempts, its log, why it is as it is; retry and cancel."""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import JSONResponse, Response
from pydantic import AwareDatetime, BeforeValidator
from starlette.exceptions import HTTPException

from controller import requests
from controller.api import bodies, examples, paging
from controller.api.context import Asker, Here, Who, World, context_of
from controller.api.documented import answered, paged
from controller.api.finding import batch_named, hidden
from controller.api.orders import Done, Ordered, answers, one_answer
from controller.api.problems import Problem
from controller.core.model import Attempt, Status, Verdict
from controller.explaining import explanation_of_job, log_of
from controller.people import Answer, Caller, not_yours
from controller.ports import JobQuery, JobSort
from controller.retrying import NO_PARENTS
from controller.shapes import explanation_document, job_details, job_document

router = APIRouter(prefix="/api/v1/jobs", tags=["jobs"])

JobId = Annotated[str, Path(alias="id", pattern=r"^[0-9a-f]{24}$", description="The job's id.")]
Text = Annotated[str, Query(max_length=63, pattern=r"^[A-Za-z0-9._-]*$")]
User = Annotated[str, Query(max_length=256, pattern=r"^[^\x00-\x1f\x7f]*$")]
_FIRST, _LAST = datetime(1970, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC)


def _no_number(value: Any) -> Any:
    """pydantic would take it for seconds, or for milliseconds, by how large it is."""
    if isinstance(value, str) and not re.match(r"[0-9]{4}-", value):
        raise ValueError("write an instant as 2026-01-31T12:00:00Z")
    return value


Instant = Annotated[AwareDatetime | None, BeforeValidator(_no_number), Query(ge=_FIRST, le=_LAST)]
_KEYS = {
    JobSort.ORDER: "inn",
    JobSort.ATTEMPT: "n",
    JobSort.SECONDS: "n",
    JobSort.INSERTED: "t",
    JobSort.RUNNING: "t",
    JobSort.FINISHED: "t",
}
"""The kinds of a sort's keys in a cursor; a text where nothing else is said."""


@router.get("", summary="Jobs, every attempt one", responses=paged("Job", examples.JOB))
async def jobs(  # one argument per filter is what OpenAPI is made of
    world: Here,
    who: Who,
    batch: Annotated[
        str,
        Query(
            max_length=63, pattern=r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?)?$", description="A batch's name or id."
        ),
    ] = "",
    status: Annotated[list[Status], Query(description="Only in one of these.")] = [],  # noqa: B006
    verdict: Annotated[list[Verdict], Query(description="Only with one of these.")] = [],  # noqa: B006
    user: User = "",
    task: Text = "",
    name: Text = "",
    namespace: Text = "",
    inserted_since: Instant = None,
    inserted_until: Instant = None,
    finished_since: Instant = None,
    finished_until: Instant = None,
    sort: JobSort = JobSort.ORDER,
    descending: bool = False,
    limit: paging.Limit = paging.PAGE,
    cursor: paging.Cursor = "",
) -> Response:
    """Filters are AND, the values of one of them OR. `task` is a part of the task's id, `name` the whole
    name. `order` is the order of the spec, then of the attempts."""
    batch_id = (await batch_named(world, who, batch)).id if batch else ""
    query = JobQuery(
        batch_id=batch_id,
        namespace=namespace,
        name=name,
        text=task,
        user=user,
        status=tuple(status),
        verdict=tuple(verdict),
        inserted_since=inserted_since,
        inserted_until=inserted_until,
        finished_since=finished_since,
        finished_until=finished_until,
        sort=sort,
        descending=descending,
    )
    return JSONResponse(await _page(world, who, query, limit, cursor))


async def _page(world: World, who: Asker, query: JobQuery, limit: int, cursor: str) -> dict[str, Any]:
    if not who.sees_all:
        if query.user not in ("", who.user):
            return paging.page([], None, 0)
        # Jobs of a batch belong to whoever the batch belongs to, and that was seen: every record would be
        # read to find it out once more.
        query = replace(query, user="" if query.batch_id else who.user)
    order = f"jobs {query.sort.value} {query.descending:d}"
    after = paging.place_of(cursor, order, _KEYS.get(query.sort, "s"))
    found, total = await asyncio.gather(
        world.desk.job_page(query, after, limit), world.desk.count_jobs(query, paging.MOST_COUNTED)
    )
    return paging.page([job_document(job) for job in found.jobs], paging.cursor_of(found.next, order), total)


async def seen(world: World, who: Asker, job_id: str) -> Attempt:
    """A job that may be shown to this caller. Raises ``Problem`` 404."""
    job = await world.store.job(job_id)
    if job is None or not who.sees(job.user):
        raise hidden("job", job_id)
    return job


async def _orders_only(request: Request) -> Response:
    """Another verb than POST at an order's path. What comes next would take it for the id of a job."""
    raise HTTPException(405, headers={"Allow": "POST"})


for _path in ("/retry", "/cancel"):
    router.add_route(router.prefix + _path, _orders_only, ["GET", "PUT", "PATCH", "DELETE"], None, False)


@router.get(
    "/{id}",
    summary="One job, its evidence and its task's attempts",
    responses=answered("JobDetails", examples.JOB_DETAILS),
)
async def job(world: Here, who: Who, job_id: JobId) -> Response:
    """With what it runs, its env too; secrets of the cluster stay there."""
    found = await seen(world, who, job_id)
    chain = await world.store.chain(found.batch_id, found.task_id)
    return JSONResponse(job_details(found, chain))


@router.get("/{id}/log", summary="The end of a job's output", responses=answered("Log", examples.LOG))
async def log(
    request: Request,
    world: Here,
    who: Who,
    job_id: JobId,
    size: Annotated[int, Query(alias="bytes", ge=1, le=2**20, description="How much of its end.")] = 65536,
) -> Response:
    """Live from the cluster, else what was kept with its record; `from` says which."""
    context, found = context_of(request), await seen(world, who, job_id)
    context.slow_down_logs(who.user)
    async with context.logs:
        text, whence = await log_of(world.engine, found, size)
    return JSONResponse({"job": found.name, "job_id": found.id, "from": whence, "text": text})


@router.get(
    "/{id}/explain",
    summary="Why a job waits, runs or failed",
    responses=answered("Explanation", examples.EXPLANATION),
)
async def explain(world: Here, who: Who, job_id: JobId) -> Response:
    """One sentence: the cause, the number that decides it, what will change it and when."""
    found = await seen(world, who, job_id)
    why = await explanation_of_job(world.engine, found, fresh=False)
    return JSONResponse(explanation_document(found.name, why))


# -------------------------------------------------------------------------------------------- orders


@router.post(
    "/retry",
    summary="Retry many jobs",
    responses=answered("Answers", examples.ANSWERS),
    openapi_extra=bodies.body_document(bodies.RetryMany, {"job_ids": [examples.JOB_ID]}),
)
async def retry_many(request: Request, world: Here, who: Who, order: Ordered) -> Response:
    """Each as the next attempt of its task. All are checked first and recorded in bulk; the answer is per
    id and waits for no cluster. An id that is named twice refuses the whole request."""
    asked = await bodies.read(request, bodies.RetryMany)
    caller = who.caller(asked.as_admin)

    async def act(request_id: str) -> Done:
        found = await _retried(world, caller, asked.job_ids, asked, request_id, order.dry_run)
        return answers(found, order)

    return await order.carry_out(world, who, "retry", act, ids=len(asked.job_ids))


@router.post(
    "/{id}/retry",
    summary="Retry one job",
    responses=answered("Answer", examples.ANSWER),
    openapi_extra=bodies.body_document(bodies.Retry, {"resources": {"memory": "64Gi"}}, required=False),
)
async def retry_one(request: Request, world: Here, who: Who, order: Ordered, job_id: JobId) -> Response:
    """As the next attempt of its task; whichever attempt is named."""
    asked = await bodies.read(request, bodies.Retry)
    caller = who.caller(asked.as_admin)

    async def act(request_id: str) -> Done:
        await _must_be_theirs(world, who, caller, job_id)
        (found,) = await _retried(world, caller, [job_id], asked, request_id, order.dry_run)
        return one_answer(found, order)

    return await order.carry_out(world, who, "retry", act)


async def _retried(
    world: World,
    caller: Caller,
    ids: list[str],
    asked: bodies.Retry,
    request_id: str,
    dry_run: bool,
) -> list[Answer]:
    change = asked.resources.over if asked.resources else None
    retry = requests.retry_or_hurry if asked.now else requests.retry
    return await retry(world.people, caller, ids, resources=change, request_id=request_id, dry_run=dry_run)


async def _must_be_theirs(world: World, who: Asker, caller: Caller, job_id: str) -> None:
    """Raises ``Problem``: 404 for what they may not see, 403 for somebody else's, 409 for a batch parent."""
    found = await world.store.job(job_id)
    if found is None:
        parent = await world.store.batch(job_id)
        if parent and who.sees(parent.user):
            raise Problem(409, "refused", f"{NO_PARENTS}: list the jobs of the batch, and retry those")
        raise hidden("job", job_id)
    if not who.sees(found.user):
        raise hidden("job", job_id)
    if not caller.may(found.user):
        raise Problem(403, "not-allowed", not_yours(caller, found.name, found.user))


@router.post(
    "/cancel",
    summary="Cancel many jobs",
    responses=answered("Answers", examples.ANSWERS),
    openapi_extra=bodies.body_document(
        bodies.CancelMany, {"job_ids": [examples.JOB_ID], "why": "wrong column"}
    ),
)
async def cancel_many(request: Request, world: Here, who: Who, order: Ordered) -> Response:
    """What waits is withdrawn, what is active is stopped, what failed is not retried automatically."""
    asked = await bodies.read(request, bodies.CancelMany)
    caller = who.caller(asked.as_admin)

    async def act(_: str) -> Done:
        found = await requests.cancel_jobs(
            world.people, caller, asked.job_ids, asked.why, dry_run=order.dry_run
        )
        return answers(found, order)

    return await order.carry_out(world, who, "cancel", act, ids=len(asked.job_ids))


@router.post(
    "/{id}/cancel",
    summary="Cancel one job",
    responses=answered("Answer", examples.ANSWER),
    openapi_extra=bodies.body_document(bodies.Cancel, {"why": "wrong column"}, required=False),
)
async def cancel_one(request: Request, world: Here, who: Who, order: Ordered, job_id: JobId) -> Response:
    """As for many."""
    asked = await bodies.read(request, bodies.Cancel)
    caller = who.caller(asked.as_admin)

    async def act(_: str) -> Done:
        await _must_be_theirs(world, who, caller, job_id)
        (found,) = await requests.cancel_jobs(
            world.people, caller, [job_id], asked.why, dry_run=order.dry_run
        )
        return one_answer(found, order)

    return await order.carry_out(world, who, "cancel", act)
