"""The six methods that EE2's clients call: what each asks of `requests`, and how its answer looks.

`rpc` calls `run`. Who may do what, and what a retry or a cancel does, is decided where the command line and
/api/v1 have it decided; here is only EE2's way of putting it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from controller import requests
from controller.api import rpc_params as read
from controller.api.audit import UNTOLD, Entry
from controller.api.context import Asker
from controller.api.rpc_call import METHOD_NOT_FOUND, SERVER_ERROR, Call, Fault
from controller.api.rpc_shapes import State, batch_state, job_state, unreadable
from controller.core.model import Attempt, Batch
from controller.people import Answer, Caller, NotAllowed, NotFound, People, Refused
from controller.ports import JobFilter
from controller.telemetry import get_logger

SERVICE = "execution_engine2"
MAX_CHILDREN = 10_000
"""Children of batch parents that one answer lists."""
AT_ONCE = 200
"""Jobs that are put into words before the event loop gets its turn."""
WHY = "asked over JSON-RPC"

_audit = get_logger("audit")


Method = Callable[[People, Asker, Mapping[str, Any]], Awaitable[list[Any]]]


def method_of(call: Call) -> Method:
    """The method that a call names. Raises ``Fault``."""
    service, _, name = call.method.partition(".")
    method = METHODS.get(name) if service == SERVICE else None
    if method is None:
        known = ", ".join(f"{SERVICE}.{each}" for each in METHODS)
        raise Fault(METHOD_NOT_FOUND, f"there is no such method; there are {known}")
    return method


async def run(method: Method, people: People, asker: Asker, call: Call) -> list[Any]:
    """The results of a call; of one that writes, the audit log is told what came of it.

    Raises ``Fault``, and what the store raises.
    """
    if method not in WRITING:
        return await method(people, asker, call.params)
    audit = _audit.bind(
        who=asker.user,
        how=asker.identity.how,
        what=call.method,
        ids=len(_named(call.params)),
        request=asker.request_id,
    )
    try:
        results = await method(people, asker, call.params)
    except (Refused, NotAllowed, NotFound) as error:
        audit.info("order", outcome="refused")
        raise Fault(SERVER_ERROR, str(error)) from error
    except BaseException as error:
        audit.info("order", outcome="refused" if isinstance(error, Fault) else type(error).__name__)
        raise
    refused = sum("error" in each for each in results[0]) if method is retry_jobs else 0
    audit.info("order", outcome="done", refused=refused)
    return results


def not_begun(method: Method, call: Call, entry: Entry, outcome: str) -> None:
    """Tell the audit log of an order that came to nothing before anything was asked of it."""
    if method in WRITING:
        _audit.info("order", **entry.sender, what=call.method, ids=len(_named(call.params)), outcome=outcome)


def not_let_in(entry: Entry, outcome: str) -> None:
    """Tell the audit log of a call that was not read, for its sender was not let in: it may be an order."""
    if outcome not in UNTOLD:
        _audit.info("order", **entry.sender, what="POST /rpc", ids=0, outcome=outcome)


def _acting(asker: Asker, params: Mapping[str, Any]) -> Caller:
    """As whom they act. Raises ``Fault`` for somebody who wants to act as an admin and is none."""
    as_admin = read.flag(params, "as_admin")
    if as_admin and not asker.operator:
        raise Fault(SERVER_ERROR, f"Access Denied: {asker.user} is not an administrator")
    return Caller(asker.user, admin=as_admin)  # whose a job is is said, as EE2 does


def _named(params: Mapping[str, Any]) -> Sequence[Any]:
    found = params.get("job_ids", [params.get("job_id")])
    return found if isinstance(found, list) else []


# ------------------------------------------------------------------------------------------- retries


async def retry_job(people: People, asker: Asker, params: Mapping[str, Any]) -> list[Any]:
    """Record one retry, or fail."""
    job_id, caller = read.job_id(params), _acting(asker, params)
    answer = (await requests.retry(people, caller, [job_id], request_id=asker.request_id))[0]
    if answer.error:
        raise Fault(SERVER_ERROR, answer.error)
    return [_retried(answer)]


async def retry_jobs(people: People, asker: Asker, params: Mapping[str, Any]) -> list[Any]:
    """Record many; each id has its own result or its own error, in the order of the ids."""
    job_ids = read.job_ids(params, "No job_ids provided to retry")
    caller = _acting(asker, params)
    answers = await requests.retry(people, caller, job_ids, request_id=asker.request_id)
    return [[_retried(answer) for answer in answers]]


def _retried(answer: Answer) -> State:
    """A retry is the root's, whichever attempt was named; a refusal is the named one's. As EE2 does."""
    if answer.error:
        return {"job_id": answer.job_id, "error": answer.error}
    return {"job_id": answer.root_id, "retry_id": answer.retry_id}


# ------------------------------------------------------------------------------------------- cancel


async def cancel_job(people: People, asker: Asker, params: Mapping[str, Any]) -> list[Any]:
    """Cancel an attempt, or all of a batch; what has ended already is no error. Gives nothing back."""
    job_id, caller = read.job_id(params), _acting(asker, params)
    read.terminated_code(params)  # checked, and not believed: the record says who it really was
    batch = await people.store.batch(job_id)
    if batch:
        await _cancel_batch(people, caller, batch)
        return []
    answer = (await requests.cancel_jobs(people, caller, [job_id], WHY))[0]
    if answer.error and not await _is_cancelled(people, caller, job_id):
        raise Fault(SERVER_ERROR, answer.error)
    return []


async def _cancel_batch(people: People, caller: Caller, batch: Batch) -> None:
    if not (batch.status.closed and caller.may(batch.user)):
        await requests.cancel_batch(people, caller, batch, WHY)


async def _is_cancelled(people: People, caller: Caller, job_id: str) -> bool:
    """Whether what a cancel would do has been done, or can't be any more."""
    job = await people.store.job(job_id)
    if job is None or not caller.may(job.user):
        return False
    return job.status.terminal or (job.stop is not None and job.stop.code is not None)


# ------------------------------------------------------------------------------------------ reading


async def check_job(people: People, asker: Asker, params: Mapping[str, Any]) -> list[Any]:
    """One job, or one batch parent."""
    job_id = read.job_id(params)
    return [await _one(people, asker, job_id, params)]


async def check_jobs(people: People, asker: Asker, params: Mapping[str, Any]) -> list[Any]:
    """Many, as a list by default, else by their ids; an empty list stands for what is not there."""
    job_ids = read.job_ids(params, "Please provide a non empty list of job ids")
    _acting(asker, params)
    as_list = read.flag(params, "return_list", True)
    found = await _states(people, asker, job_ids, read.excluded(params))
    states: dict[str, Any] = {job_id: found.get(job_id, []) for job_id in job_ids}
    if not any(states.values()):
        raise Fault(SERVER_ERROR, f"Cannot find job with ids: {job_ids}")
    return [{"job_states": list(states.values())} if as_list else states]


async def check_job_batch(people: People, asker: Asker, params: Mapping[str, Any]) -> list[Any]:
    """One batch parent and all its children."""
    job_id, exclude = read.job_id(params), read.excluded(params)
    if "child_jobs" in exclude:
        raise Fault(SERVER_ERROR, "You can't exclude child jobs from this endpoint")
    parent = await _one(people, asker, job_id, params)
    children: Sequence[Attempt] = ()
    if await people.store.batch(job_id):
        children = await _children(people, job_id, MAX_CHILDREN)
    states = await _shown_all(asker, children, exclude)
    return [{"batch_jobstate": parent, "child_jobstates": list(states.values())}]


async def _one(people: People, asker: Asker, job_id: str, params: Mapping[str, Any]) -> State:
    _acting(asker, params)
    found = await _states(people, asker, [job_id], read.excluded(params))
    state = found.get(job_id)
    if state is None:
        raise Fault(SERVER_ERROR, f"Cannot find job with ids: {[job_id]}")
    if "check_job_error" in state:
        raise Fault(SERVER_ERROR, state["failure"])
    return state


async def _states(
    people: People, asker: Asker, job_ids: Sequence[str], exclude: frozenset[str]
) -> dict[str, State]:
    """What is there, by id. Raises ``Fault`` when it would be too much for one answer."""
    found = await _shown_all(asker, await people.store.jobs(job_ids), exclude)
    left = MAX_CHILDREN
    parents = await people.store.batches_with(job_id for job_id in job_ids if job_id not in found)
    for job_id, batch in parents.items():
        if not asker.sees(batch.user):
            found[job_id] = unreadable(job_id)
            continue
        children = () if "child_jobs" in exclude else await _children(people, job_id, left)
        left -= len(children)
        found[job_id] = batch_state(batch, [child.id for child in children], exclude)
    return found


async def _shown_all(asker: Asker, jobs: Sequence[Attempt], exclude: frozenset[str]) -> dict[str, State]:
    states = {}
    for n, job in enumerate(jobs, 1):
        if n % AT_ONCE == 0:
            await asyncio.sleep(0)  # ten thousand jobs must not hold up everybody else on this loop
        states[job.id] = job_state(job, exclude) if asker.sees(job.user) else unreadable(job.id)
    return states


async def _children(people: People, batch_id: str, at_most: int) -> Sequence[Attempt]:
    """The attempts of a batch in spec order. Raises ``Fault`` when there are more."""
    found = [job async for job in people.store.find_jobs(JobFilter(batch_id=batch_id), limit=at_most + 1)]
    if len(found) > at_most:
        raise Fault(
            SERVER_ERROR,
            f"more than {MAX_CHILDREN} children in one answer: leave out child_jobs, or page /api/v1/jobs",
        )
    return found


WRITING: frozenset[Method] = frozenset((retry_job, retry_jobs, cancel_job))
METHODS: Mapping[str, Method] = {
    "retry_job": retry_job,
    "retry_jobs": retry_jobs,
    "check_job": check_job,
    "check_jobs": check_jobs,
    "check_job_batch": check_job_batch,
    "cancel_job": cancel_job,
}
