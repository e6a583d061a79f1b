"""What the store suites share: a store with a way to let its clock move, and records to put into it."""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from controller.core.model import (
    Attempt,
    Batch,
    BatchStatus,
    Gate,
    JobInput,
    Origin,
    Status,
    Stop,
    TerminatedCode,
)
from controller.ports import Store

HOUR = timedelta(hours=1)
SECOND = timedelta(seconds=1)


@dataclass
class StoreWorld:
    """One store under test. ``tick`` lets at least five milliseconds pass on the store's clock."""

    store: Store
    tick: Callable[[], Awaitable[None]]
    now: datetime
    """The store's clock when the test began."""
    batch_id: str = ""
    made: int = field(default=0)

    async def add_batch(self, name: str = "gwas", max_active: int = 5, **fields: Any) -> Batch:
        """A batch in the store, with its gate; the records of this world belong to the last one."""
        batch_id = self.store.new_id()
        values: dict[str, Any] = {
            "id": batch_id,
            "namespace": "lab",
            "name": name,
            "user": "ada",
            "status": BatchStatus.RUNNING,
            "spec": {},
            "spec_hash": "0" * 64,
            "source": f"{name}.yaml",
            "settings": {},
            "tasks": 3,
            "inserted": self.now,
            "updated": self.now,
        }
        batch = Batch(**(values | fields))
        await self.store.add_batch(batch, Gate(batch_id, max_active))
        self.batch_id = batch_id
        return batch

    def attempt(self, status: Status = Status.WAITING, **fields: Any) -> Attempt:
        """A record that no store has seen, consistent with its status; every one of another task."""
        self.made += 1
        number = fields.get("attempt", 0)
        task = fields.get("task_id", f"t{self.made}")
        values: dict[str, Any] = {
            "id": self.store.new_id(),
            "batch_id": self.batch_id,
            "namespace": "lab",
            "user": "ada",
            "task_id": task,
            "index": self.made,
            "attempt": number,
            "name": f"gwas-{task}" + (f"-r{number}" if number else ""),
            "status": status,
            "job_input": JobInput("image@sha256:0"),
            "origin": Origin.SPEC,
            "inserted": self.now - 3 * HOUR,
            "updated": self.now - 3 * HOUR,
        }
        return Attempt(**(values | self._since(status) | fields))

    def _since(self, status: Status) -> dict[str, Any]:
        """What a record in this status has: the instants on the way to it, a slot, an end."""
        way = [Status.CREATED, Status.QUEUED, Status.RUNNING]
        if status.terminal:
            return {"finished": self.now - 2 * HOUR}
        if status not in way:
            return {}
        entered = {step.value: self.now - 2 * HOUR for step in way[: way.index(status) + 1]}
        return {**entered, "slot": self.made}

    async def put(self, status: Status = Status.WAITING, **fields: Any) -> Attempt:
        """Such a record in the store, as the store reads it back."""
        job = self.attempt(status, **fields)
        assert list(await self.store.add_jobs([job])) == [True]
        return await self.read(job.id)

    async def put_retry(self, root: Attempt, number: int = 1, **fields: Any) -> Attempt:
        """A waiting retry of a root, its lifecycle unfinished."""
        values: dict[str, Any] = {
            "task_id": root.task_id,
            "index": root.index,
            "attempt": number,
            "retry_parent": root.id,
            "retry_toggle": False,
            "origin": Origin.AUTO,
        }
        return await self.put(**(values | fields))

    async def read(self, job_id: str) -> Attempt:
        """The record as it is now."""
        job = await self.store.job(job_id)
        assert job is not None
        return job

    async def gate(self) -> Gate:
        """The gate of the last batch as it is now."""
        return (await self.store.gates([self.batch_id]))[self.batch_id]

    def stop(self, code: TerminatedCode | None = None, why: str = "mount-failure") -> Stop:
        """An order to stop, given just now."""
        return Stop(why, "ada", self.now, code)


def differing(one: Attempt, other: Attempt) -> set[str]:
    """Names of the fields in which two records differ."""
    names = (each.name for each in dataclasses.fields(Attempt))
    return {name for name in names if getattr(one, name) != getattr(other, name)}
