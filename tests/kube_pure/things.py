"""Objects as an API server sends them, for tests without one."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from controller.adapters import labels
from controller.core.model import JobInput
from controller.ports import NewJob

Json = dict[str, Any]
Read = Callable[[bytes], Awaitable[Json]]
"""How a client's answer is read."""

INSTANCE = "lab"
JOB_ID = "5" * 24
BATCH_ID = "b" * 24


def new_job(what: JobInput | None = None, **more: Any) -> NewJob:
    """Attempt 0 of task 2 of a batch; ``more`` are fields of ``NewJob``."""
    fields: dict[str, Any] = {
        "name": "trait-2",
        "namespace": "runai-lab",
        "batch": "trait",
        "batch_id": BATCH_ID,
        "task_id": "2",
        "attempt": 0,
        "job_id": JOB_ID,
        "input": what or JobInput(image="example.org/scan:1.0"),
    }
    return NewJob(**(fields | more))


def owner(kind: str, uid: str, api: str = "batch/v1", *, controller: bool = True) -> Json:
    """A reference to whoever made an object."""
    return {"apiVersion": api, "kind": kind, "name": "x", "uid": uid, "controller": controller}


def thing(name: str, *, owners: Sequence[Json] = (), marks: Json | None = None, **parts: Any) -> Json:
    """Any object; its uid is its name with ``u-`` before it."""
    about: Json = {"name": name, "namespace": "runai-lab", "uid": f"u-{name}", "labels": marks or {}}
    return {"metadata": about | ({"ownerReferences": list(owners)} if owners else {}), **parts}


def condition(kind: str, status: str = "True", **more: Any) -> Json:
    """One entry of an object's conditions."""
    return {"type": kind, "status": status, **more}


def job(name: str, *conditions: Json, spec: Json | None = None, **more: Any) -> Json:
    """A Job that runs one pod."""
    given = {"backoffLimit": 0, "completions": 1, "parallelism": 1} if spec is None else spec
    return thing(name, spec=given, status={"conditions": list(conditions)}, **more)


def pod(name: str, phase: str = "Running", state: Json | None = None, **more: Any) -> Json:
    """A Pod, with the state of its one container."""
    node = more.pop("node", "node-1")
    statuses = [{"name": "main", "state": state, **more.pop("container", {})}] if state is not None else []
    status = {"phase": phase, "containerStatuses": statuses, **more.pop("status", {})}
    return thing(name, spec={"nodeName": node}, status=status, **more)


def ours(attempt: int = 0, **more: str) -> Json:
    """The labels of an object of ours; ``more``: the last part of a label and its value."""
    marks = labels.labels_of(new_job(attempt=attempt), INSTANCE)
    return marks | {f"batchkeeper.io/{key.replace('_', '-')}": value for key, value in more.items()}


async def answered(page: Json, read: Read | None) -> Json:
    """A page as the client's caller reads it."""
    return await read(json.dumps(page).encode()) if read else page
