"""The attempts of the in-memory store: one dictionary and the indexes that make every look-up quick.

Used by ``memory_store``. The unique keys are those of MongoDB's indexes; the sorted lists are the lines
of records that wait.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import defaultdict
from collections.abc import Hashable, Iterator
from datetime import UTC, datetime

from controller.core.model import LIVE, Attempt, Status, When

Place = tuple[datetime, int, str]
"""Where a record stands in its line: ``not_before``, spec index, id."""
NO_INSTANT = datetime.min.replace(tzinfo=UTC)


def place(job: Attempt) -> Place:
    """Where the record stands in its line."""
    return (job.not_before or NO_INSTANT, job.index, job.id)


def line(job: Attempt) -> tuple[str, str]:
    """Which line a waiting record stands in: its batch's roots, retries or ``batch-end`` children."""
    return (job.batch_id, "roots" if job.attempt == 0 else job.when.value)


class Attempts:
    """Every record by id, kept consistent by ``put``."""

    def __init__(self) -> None:
        self.by_id: dict[str, Attempt] = {}
        self.of_task: dict[tuple[str, str], dict[int, str]] = defaultdict(dict)
        self.active: dict[str, None] = {}
        self.unfinished: dict[str, None] = {}
        self.live_of: dict[str, int] = defaultdict(int)
        self._unique: dict[Hashable, str] = {}
        self._with_status: dict[tuple[str, Status], dict[str, None]] = defaultdict(dict)
        self._lines: dict[tuple[str, str], list[Place]] = defaultdict(list)
        self._of_batch: dict[str, dict[str, None]] = defaultdict(dict)

    def named(self, namespace: str, name: str) -> Attempt | None:
        """The record of this cluster name."""
        return self.by_id.get(self._unique.get(("name", namespace, name), ""))

    def chain(self, batch_id: str, task_id: str) -> list[Attempt]:
        """All attempts of one task, by attempt number."""
        attempts = self.of_task.get((batch_id, task_id), {})
        return [self.by_id[attempts[number]] for number in sorted(attempts)]

    def newest(self, job: Attempt) -> bool:
        """Whether the record is its task's newest attempt."""
        return job.attempt == max(self.of_task[job.batch_id, job.task_id])

    def clash(self, job: Attempt) -> bool:
        """Whether a unique key of this record is another one's."""
        return any(self._unique.get(key, job.id) != job.id for key in _unique_keys(job))

    def put(self, job: Attempt) -> None:
        """Insert or replace a record; the caller has asked ``clash``."""
        before = self.by_id.get(job.id)
        if before is not None:
            self._unlink(before)
        self.by_id[job.id] = job
        for key in _unique_keys(job):
            self._unique[key] = job.id
        self.of_task[job.batch_id, job.task_id][job.attempt] = job.id
        self._of_batch[job.batch_id][job.id] = None
        self._with_status[job.batch_id, job.status][job.id] = None
        self.live_of[job.batch_id] += job.status in LIVE
        if job.status.active:
            self.active[job.id] = None
        if job.retry_parent and job.retry_toggle is False:
            self.unfinished[job.id] = None
        if job.status is Status.WAITING:
            insort(self._lines[line(job)], place(job))

    def _unlink(self, job: Attempt) -> None:
        for key in _unique_keys(job):
            del self._unique[key]
        del self._with_status[job.batch_id, job.status][job.id]
        self.live_of[job.batch_id] -= job.status in LIVE
        self.active.pop(job.id, None)
        self.unfinished.pop(job.id, None)
        if job.status is Status.WAITING:
            standing = self._lines[line(job)]
            del standing[bisect_left(standing, place(job))]

    def with_status(self, batch_id: str, status: Status) -> dict[str, None]:
        """Ids of a batch's records in this status."""
        return self._with_status[batch_id, status]

    def of_batch(self, batch_id: str) -> Iterator[Attempt]:
        """All records of a batch."""
        return (self.by_id[job] for job in self._of_batch[batch_id])

    def in_line(self, batch_id: str, which: str, until: datetime | None = None) -> Iterator[Attempt]:
        """Waiting records of one line, in its order, up to those due at ``until``."""
        for not_before, _, job in self._lines[batch_id, which]:
            if until is not None and not_before > until:
                return
            yield self.by_id[job]

    def next_due(self, batch_id: str, after: datetime) -> datetime | None:
        """The earliest ``not_before`` later than that in the lines of retries."""
        found = []
        for when in (When.NOW, When.BATCH_END):
            standing = self._lines[batch_id, when.value]
            at = bisect_left(standing, (after, 2**63, ""))
            found += [not_before for not_before, _, _ in standing[at : at + 1]]
        return min(found, default=None)


def _unique_keys(job: Attempt) -> Iterator[Hashable]:
    yield "id", job.id
    yield "attempt", job.batch_id, job.task_id, job.attempt
    yield "name", job.namespace, job.name
    if job.slot is not None:
        yield "slot", job.batch_id, job.slot
    if job.request_id is not None and job.retry_parent is not None:
        yield "request", job.request_id, job.retry_parent
