"""How a batch stands at this moment, from the store alone: cheap enough to be asked every second.

Read by ``list``, by ``status`` and by the progress of ``run``. Counted from the batch's cached counts and
its gate, never by reading all of its records.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from controller.core.model import Batch, BatchStatus, Gate, Status, Verdict
from controller.ports import JobFilter, Store

MOST_LOOKED_AT = 500
"""Waiting records that are looked through for retries; those stand first, for their tasks began first."""


@dataclass(frozen=True, slots=True)
class Standing:
    """One batch in numbers of tasks. ``ended`` of them ended without success.

    The numbers are those of one instant; ``places`` is newer by the moment since they were last counted.
    """

    batch: Batch
    gate: Gate
    completed: int
    ended: int
    active: int
    waiting: int
    back_off: int = 0
    """Retries that wait for their time, as far as they were looked for."""

    @property
    def total(self) -> int:
        """All tasks."""
        return self.batch.tasks

    @property
    def places(self) -> int:
        """Active jobs in the batch, by the gate."""
        return len(self.gate.holders)

    @property
    def done(self) -> int:
        """Tasks with nothing left to do."""
        return self.completed + self.ended

    @property
    def failures(self) -> Mapping[Verdict, int]:
        """First attempts that failed, by verdict, since the start or the last resume; most first."""
        failed = {v: n for v, n in self.batch.counts.first.items() if v is not Verdict.SUCCEEDED and n > 0}
        return dict(sorted(failed.items(), key=lambda item: (-item[1], item[0].value)))

    @property
    def state(self) -> str:
        """Its status, or what its gate says already, with the result once it is over."""
        batch = self.batch
        if batch.status is BatchStatus.FINISHED and batch.result:
            return f"finished ({batch.result.value})"
        if batch.status.closed or batch.status is BatchStatus.EXPANDING:
            return batch.status.value
        if self.gate.cancel:
            return "cancelling"
        if self.gate.waits_for_people:
            return BatchStatus.HELD.value
        return BatchStatus.PAUSED.value if self.gate.paused else BatchStatus.RUNNING.value


def standing(batch: Batch, gate: Gate | None, back_off: int = 0) -> Standing:
    """A batch's numbers from its record and its gate (None: it is only just being made)."""
    gate = gate or Gate(batch.id, 0)
    counts = batch.counts.status
    completed, waiting = counts.get(Status.COMPLETED, 0), counts.get(Status.WAITING, 0)
    active = sum(counts.get(status, 0) for status in Status if status.active)
    ended = 0 if batch.status is BatchStatus.EXPANDING else batch.tasks - completed - active - waiting
    return Standing(batch, gate, completed, max(0, ended), active, waiting, back_off)


async def standing_of(store: Store, batch_id: str, now: datetime) -> Standing | None:
    """The same, read now, with the retries in back-off; None when there is no such batch."""
    batch = await store.batch(batch_id)
    if batch is None:
        return None
    gate = (await store.gates([batch_id])).get(batch_id)
    retries = sum(batch.counts.status.values()) > batch.tasks
    return standing(batch, gate, await _in_back_off(store, batch_id, now) if retries else 0)


async def _in_back_off(store: Store, batch_id: str, now: datetime) -> int:
    waiting = store.find_jobs(JobFilter(batch_id=batch_id, status=(Status.WAITING,)), limit=MOST_LOOKED_AT)
    return len([1 async for job in waiting if job.not_before and job.not_before > now])
