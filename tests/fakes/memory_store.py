"""The Store in memory: deterministic, single-threaded and fast, for the simulator and for unit tests.

It passes the same contract suite as the MongoDB adapter. Its clock and its ids are arguments, no method
ever waits, and every write is kept in ``oplog`` for an oracle to judge. Batches, gates and the
installation's own facts are in ``memory_batches``, what is to be told in ``memory_notices``, which this
extends by the attempts.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from heapq import nlargest
from itertools import islice

from controller.core.change import Change, stands
from controller.core.copying import replace
from controller.core.machine import TABLE
from controller.core.model import Attempt, Origin, Status, TerminatedCode, When
from controller.ports import Conflict, JobFilter, Rejected, Standing
from tests.fakes.memory_changes import changed, kept_attempt, kept_field, target_of
from tests.fakes.memory_notices import MemoryNotices

_REQUESTED = frozenset({"stop", "no_retry", "not_before"})
"""Fields of a record that requests write."""
_BY_PEOPLE = (TerminatedCode.USER, TerminatedCode.ADMIN)
"""How a record ends that a person takes out of the line."""


class MemoryStore(MemoryNotices):
    """``ports.Store`` over dictionaries."""

    async def standing(self, batch_id: str, job_ids: Iterable[str] = ()) -> Standing:
        """The batch, its gate, the halts, and these records."""
        gates = await self.gates([batch_id])
        jobs = await self.jobs(job_ids)
        return Standing(await self.batch(batch_id), gates.get(batch_id), await self.halts(), jobs)

    # ------------------------------------------------------------------------------------- attempts

    async def job(self, job_id: str) -> Attempt | None:
        """One record, or None."""
        return self._attempts.by_id.get(job_id)

    async def jobs(self, job_ids: Iterable[str]) -> Sequence[Attempt]:
        """The records with these ids that exist."""
        return [self._attempts.by_id[job] for job in dict.fromkeys(job_ids) if job in self._attempts.by_id]

    async def job_named(self, namespace: str, name: str) -> Attempt | None:
        """The record of this cluster name, or None."""
        return self._attempts.named(namespace, name)

    async def add_jobs(self, jobs: Sequence[Attempt]) -> Sequence[bool]:
        """Insert records; False for each that hits a unique key."""
        return [self._add(kept_attempt(job)) for job in jobs]

    def _add(self, job: Attempt) -> bool:
        if job.id in self._attempts.by_id or self._attempts.clash(job):
            return False
        self._put(job)
        if job.status is Status.WAITING:
            self._hint(job.batch_id)
        return True

    def _put(self, job: Attempt) -> None:
        before = self._attempts.by_id.get(job.id)
        self._attempts.put(job)
        self._log("jobs", job.id, before, job)

    async def change(self, change: Change, epoch: int | None = None) -> Attempt | None:
        """Execute one row of the state machine."""
        return self._change(change, epoch)

    def _change(self, change: Change, epoch: int | None) -> Attempt | None:
        target = target_of(TABLE[change.event], change, epoch)
        before = self._attempts.by_id.get(change.job)
        after = changed(before, change, target, epoch, self._now()) if before else None
        if after is None:
            return None
        if self._attempts.clash(after):
            raise Conflict(f"a unique key of {change.job} is taken by another record")
        self._put(after)
        in_line = before is not None and before.status is Status.WAITING
        withdrawn = in_line and after.terminated_code in _BY_PEOPLE
        if withdrawn or any(getattr(before, name) != getattr(after, name) for name in _REQUESTED):
            self._hint(after.batch_id)
        return after

    async def changes_many(
        self, changes: Sequence[Change], epoch: int | None = None
    ) -> Sequence[Attempt | Conflict | Rejected | None]:
        """Changes of different records; what became of each."""
        if len({change.job for change in changes}) < len(changes):
            raise ValueError("two changes of one record")
        for change in changes:
            target_of(TABLE[change.event], change, epoch)
        return [await self._answered(change, epoch) for change in changes]

    async def _answered(self, change: Change, epoch: int | None) -> Attempt | Conflict | Rejected | None:
        try:
            after = await self.change(change, epoch)
        except (Conflict, Rejected) as error:
            return error
        found = self._attempts.by_id.get(change.job)
        return after or (found if found and stands(found, change, kept_field) else None)

    # ------------------------------------------------------------------------------ standing in line

    async def waiting(
        self, batch_id: str, limit: int, now: datetime, *, with_auto: bool = True
    ) -> Sequence[Attempt]:
        """The first waiting records that are due: retries by ``not_before``, then roots by index."""
        retries = (
            job
            for job in self._attempts.in_line(batch_id, When.NOW.value, now)
            if with_auto or job.origin is not Origin.AUTO
        )
        found = list(islice(retries, max(0, limit)))
        return [*found, *islice(self._attempts.in_line(batch_id, "roots"), max(0, limit - len(found)))]

    async def waiting_for_end(self, batch_id: str, limit: int, now: datetime) -> Sequence[Attempt]:
        """The first due ``batch-end`` children."""
        return list(islice(self._attempts.in_line(batch_id, When.BATCH_END.value, now), max(0, limit)))

    async def next_due(self, batch_id: str, after: datetime) -> datetime | None:
        """The earliest ``not_before`` later than ``after`` among waiting records."""
        return self._attempts.next_due(batch_id, after)

    async def has(self, batch_id: str, statuses: Iterable[Status], *, when: str = "") -> bool:
        """Whether the batch has a record in one of these statuses."""
        ids = (job for status in statuses for job in self._attempts.with_status(batch_id, status))
        return any(not when or self._attempts.by_id[job].when.value == when for job in ids)

    async def waiting_ids(self, batch_id: str, limit: int) -> Sequence[str]:
        """Ids of waiting records."""
        return list(islice(self._attempts.with_status(batch_id, Status.WAITING), max(0, limit)))

    # ---------------------------------------------------------------------------- active, and lineage

    async def active(self, but: Collection[str] = ()) -> Sequence[Attempt]:
        """All active records but these."""
        return [self._attempts.by_id[job] for job in self._attempts.active if job not in but]

    async def last_failures(self, batch_id: str, limit: int) -> Sequence[Attempt]:
        """The attempts that ended in error or terminated last, the newest first."""
        ids = (
            job
            for status in (Status.ERROR, Status.TERMINATED)
            for job in self._attempts.with_status(batch_id, status)
        )
        failed = (self._attempts.by_id[job] for job in ids)
        return nlargest(max(0, limit), failed, key=lambda job: (job.finished, job.id))

    async def roots(self, batch_id: str) -> Sequence[str]:
        """Ids of the batch's attempts 0, in spec order."""
        roots = (job for job in self._attempts.of_batch(batch_id) if job.attempt == 0)
        return [job.id for job in sorted(roots, key=lambda job: job.index)]

    async def chain(self, batch_id: str, task_id: str) -> Sequence[Attempt]:
        """All attempts of one task, by attempt number."""
        return self._attempts.chain(batch_id, task_id)

    async def roots_of(self, job_ids: Iterable[str]) -> Mapping[str, str]:
        """The root of each of these attempts that exists, by its id."""
        return {job.id: job.root_id for job in await self.jobs(job_ids)}

    async def chains(self, root_ids: Iterable[str]) -> Mapping[str, Sequence[Attempt]]:
        """The same for many tasks, by root id."""
        roots = await self.jobs(root_ids)
        return {root.id: self._attempts.chain(root.batch_id, root.task_id) for root in roots}

    async def find_jobs(self, what: JobFilter, after: str = "", limit: int = 0) -> AsyncIterator[Attempt]:
        """Records by batch, then in spec order, then by attempt; ``after`` is a record to go on from."""
        if after and after not in self._attempts.by_id:
            raise ValueError(f"there is no job {after} to go on from")
        past = _order(self._attempts.by_id[after]) if after else None
        shown = (job for job in self._attempts.by_id.values() if self._matches(job, what))
        ordered = sorted((job for job in shown if past is None or _order(job) > past), key=_order)
        for job in ordered[: limit or None]:
            yield job

    def _matches(self, job: Attempt, what: JobFilter) -> bool:
        return (
            (not what.batch_id or job.batch_id == what.batch_id)
            and (not what.status or job.status in what.status)
            and (not what.verdict or job.verdict in what.verdict)
            and (not what.user or job.user == what.user)
            and (not what.newest_only or self._attempts.newest(job))
        )

    # -------------------------------------------------------------------------- the retry lifecycle

    async def list_children(self, batch_id: str, ids: Iterable[str]) -> None:
        """Step 2, as a set."""
        listed = self._children.get(batch_id)
        new = [job for job in dict.fromkeys(ids) if listed is not None and job not in listed]
        if listed is not None and new:
            listed.update(dict.fromkeys(new))
            self._batches[batch_id] = replace(self._batches[batch_id], updated=self._now())
            self._log("child_jobs", batch_id, None, tuple(new))

    async def list_retries(self, by_root: Mapping[str, Iterable[str]]) -> None:
        """Step 3, as a set for each root."""
        for root_id, ids in by_root.items():
            root = self._attempts.by_id.get(root_id)
            merged = tuple(dict.fromkeys((*root.retry_ids, *ids))) if root else ()
            if root and merged != root.retry_ids:
                self._put(self._touched(root, retry_ids=merged))

    async def listed(self, children: Sequence[Attempt]) -> Mapping[str, tuple[str, ...]]:
        """Those children that both their batch parent and their root are read to list, by id."""
        return {
            child.id: self._oldest_first(root.retry_ids)
            for child in children
            if child.id in self._children.get(child.batch_id, {})
            and (root := self._attempts.by_id.get(child.retry_parent or ""))
            and child.id in root.retry_ids
        }

    def _oldest_first(self, retries: tuple[str, ...]) -> tuple[str, ...]:
        if len(retries) < 2:
            return retries
        there = [job for job in retries if job in self._attempts.by_id]
        ordered = sorted(there, key=lambda job: self._attempts.by_id[job].attempt)
        return (*ordered, *(job for job in retries if job not in self._attempts.by_id))

    async def toggle(self, ids: Iterable[str]) -> int:
        """Step 4; returns how many toggles it set."""
        toggled = [job for job in dict.fromkeys(ids) if job in self._attempts.unfinished]
        for job in toggled:
            self._put(self._touched(self._attempts.by_id[job], retry_toggle=True))
        return len(toggled)

    async def unfinished_lifecycles(
        self, before: datetime, limit: int, after: Attempt | None = None
    ) -> Sequence[Attempt]:
        """Records with a retry parent and the toggle false, inserted before then, oldest first."""
        unfinished = (self._attempts.by_id[job] for job in self._attempts.unfinished)
        found = sorted((job for job in unfinished if job.inserted < before), key=_by_age)
        return [job for job in found if after is None or _by_age(job) > _by_age(after)][: limit or None]


def _by_age(job: Attempt) -> tuple[datetime, str]:
    return (job.inserted, job.id)


def _order(job: Attempt) -> tuple[str, int, int, str]:
    return (job.batch_id, job.index, job.attempt, job.id)
