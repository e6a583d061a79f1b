"""Jobs as EE2 shows them to its clients: our records in its words.

Pure; `rpc_methods` calls it. Times are integer milliseconds since 1970; what a record does not have is left
out; no status is shown that EE2 does not know.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from controller.core.model import (
    Attempt,
    Batch,
    BatchStatus,
    JobInput,
    Result,
    Status,
    Verdict,
)

State = dict[str, Any]

OWNER_DECIDES = "execution_engine"
"""EE2's word for "who may is decided by the job's owner": there are no workspaces here."""
MEGABYTE = 2**20
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

UNKNOWN_ERROR, CRASHED, BY_AUTOMATION, OVER_TIME_LIMIT, NOT_SUBMITTED = 0, 1, 2, 3, 6
"""EE2's error codes; 4 (no output) and 5 (token expired) have nothing here that they would mean."""
ERROR_CODES = {
    Verdict.MOUNT_FAILURE: CRASHED,
    Verdict.CONFIGURATION_ERROR: CRASHED,
    Verdict.OUT_OF_MEMORY: CRASHED,
    Verdict.APPLICATION_ERROR: CRASHED,
    Verdict.DISRUPTED: BY_AUTOMATION,
    Verdict.START_TIMEOUT: BY_AUTOMATION,
    Verdict.DEADLINE: OVER_TIME_LIMIT,
    Verdict.IMAGE_PULL: NOT_SUBMITTED,
    Verdict.REJECTED: NOT_SUBMITTED,
    Verdict.NAME_COLLISION: NOT_SUBMITTED,
}


def job_state(job: Attempt, exclude: frozenset[str] = frozenset()) -> State:
    """An attempt. ``exclude``: fields that its reader does not want; the id always stays."""
    state: State = {
        "job_id": job.id,
        "user": job.user,
        "authstrat": OWNER_DECIDES,
        "status": (Status.CREATED if job.status is Status.WAITING else job.status).value,
        "created": milliseconds(job.inserted),
        "updated": milliseconds(job.updated),
        "batch_id": job.batch_id,
        "batch_job": False,
        "child_jobs": [],
        "retry_ids": list(job.retry_ids),
        "retry_count": len(job.retry_ids),
        "retry_saved_toggle": bool(job.retry_toggle),
        "job_input": _job_input(job),
        **_instants(job),
        **_end(job),
    }
    optional = {
        "retry_parent": job.retry_parent,
        "scheduler_type": job.scheduler_type,
        "scheduler_id": job.scheduler_id,
    }
    return _without(exclude, {**state, **{name: value for name, value in optional.items() if value}})


def batch_state(batch: Batch, children: Sequence[str], exclude: frozenset[str] = frozenset()) -> State:
    """A batch parent and the ids of its children."""
    state: State = {
        "job_id": batch.id,
        "user": batch.user,
        "authstrat": OWNER_DECIDES,
        "status": _batch_status(batch).value,
        "created": milliseconds(batch.inserted),
        "updated": milliseconds(batch.updated),
        "batch_id": None,
        "batch_job": True,
        "child_jobs": list(children),
        "retry_ids": [],
        "retry_count": 0,
        "retry_saved_toggle": False,
        "job_input": {"method": "batch", "app_id": "batch", "service_ver": "batch", "params": []},
    }
    if batch.finished:
        state["finished"] = milliseconds(batch.finished)
    return _without(exclude, state)


def unreadable(job_id: str) -> State:
    """What stands in a list for a job that its reader may not see."""
    return {"failure": f"No read permissions for {job_id}", "check_job_error": True}


def milliseconds(instant: datetime) -> int:
    """Since 1970, as EE2's clients count time."""
    return (instant - EPOCH) // timedelta(milliseconds=1)


def _without(exclude: frozenset[str], state: State) -> State:
    return {name: value for name, value in state.items() if name not in exclude or name == "job_id"}


def _instants(job: Attempt) -> State:
    entered = {"queued": job.queued, "running": job.running, "finished": job.finished}
    return {name: milliseconds(instant) for name, instant in entered.items() if instant}


def _end(job: Attempt) -> State:
    if job.status is Status.TERMINATED:
        by = job.terminated_code
        return {"terminated_code": by.value, "msg": job.error} if by is not None else {}
    if job.status is not Status.ERROR:
        return {}
    code = ERROR_CODES.get(job.verdict, UNKNOWN_ERROR) if job.verdict else UNKNOWN_ERROR
    name = (job.verdict or Verdict.UNKNOWN).value
    block = {"name": name, "code": code, "message": job.error, "error": job.evidence.message}
    return {"error_code": code, "errormsg": job.error, "error": block}


def _job_input(job: Attempt) -> State:
    """What the attempt runs: the command as the method, its env as the one parameter."""
    given: JobInput = job.job_input
    return {
        "method": " ".join(given.command),
        "app_id": job.name,
        "service_ver": job.image_digest or given.image,
        "params": [dict(given.env)],
        "source_ws_objects": [],
        "requirements": {
            "cpu": -(-given.resources.cpu // 1000),
            "memory": -(-given.resources.memory // MEGABYTE),
        },
    }


def _batch_status(batch: Batch) -> Status:
    if batch.status is BatchStatus.CANCELLED:
        return Status.TERMINATED
    if batch.status is not BatchStatus.FINISHED:
        return Status.RUNNING
    return Status.COMPLETED if batch.result is Result.COMPLETED else Status.ERROR
