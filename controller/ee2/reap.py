"""The reaper of EE2's jobs: those stuck in created or queued are cancelled, then ended in place (E10).

The scheduler is asked first, through the hook; without its yes nothing is written. The record is read
again before it is asked and after it said yes, and the end is one update whose filter repeats status,
time and age. ``estimating`` is left alone, as EE2's own purge leaves it; batch parents are never ended.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from controller.core.ee2 import ENTERED, Malformed, Record, Stuck, read_stuck
from controller.core.ee2_decide import Outcome, limit_passed, wait_after
from controller.core.model import Status
from controller.core.reaping import Reaper
from controller.ee2.desk import PAGE, Ee2Desk, Finding, Read, pages
from controller.ee2.repair import QUARANTINED
from controller.ports import Rejected, StaleEpoch, Unavailable
from controller.ports.ee2 import EVERYWHERE, Canceller

REAP = "reap"
"""The name under which this pass quarantines."""
REAPABLE = (Status.CREATED, *ENTERED)
MOST_REFUSALS = 3
"""Refusals without a yes between them after which a pass asks no more: the scheduler, not a job, is sick."""


@dataclass(frozen=True, slots=True)
class Overdue:
    """A job that is stuck, and the limit that it has passed."""

    job: Stuck
    limit: timedelta
    now: datetime

    @property
    def finding(self) -> Finding:
        """For people."""
        job, hours = self.job, (self.now - self.job.entered) / timedelta(hours=1)
        at = f"scheduler id {job.scheduler_id}" if job.scheduler_id else "no scheduler id"
        return Finding(job.id, "cancel, then terminate", f"{job.status.value} for {hours:.1f} h, {at}")


async def reaper_of(desk: Ee2Desk, *, trusted: bool = True) -> Reaper:
    """The limits at this instant; no trust where our clock and the database's disagree (E11)."""
    skew = abs(await desk.records.now() - desk.clock.now())
    if skew > desk.figures.clock_skew:
        desk.journal.said("ee2-clocks-disagree", seconds=round(skew.total_seconds(), 1))
        trusted = False
    gaps = tuple((await desk.records.blind_gaps()).get(EVERYWHERE, ()))
    return replace(desk.figures.reaper, trusted=trusted, gaps=gaps)


async def overdue(desk: Ee2Desk, reaper: Reaper, *, write: bool) -> AsyncIterator[Overdue | Finding]:
    """Every job that is stuck, and a finding for every malformed record; ``write``: quarantine those."""
    now = await desk.records.now()
    for status in REAPABLE:
        limit = reaper.limit(status)
        if limit is None or not reaper.trusted:
            continue
        async for page in pages(_reading(desk, status, now - limit)):
            for record in page:
                if found := await _judged(desk, record, reaper, now, write):
                    yield found


def _reading(desk: Ee2Desk, status: Status, before: datetime) -> Read:
    return lambda after: desk.records.stuck(status.value, before, after, PAGE)


async def _judged(
    desk: Ee2Desk, record: Record, reaper: Reaper, now: datetime, write: bool
) -> Overdue | Finding | None:
    try:
        job = read_stuck(record, now, desk.figures.clock_skew.total_seconds())
    except Malformed as error:
        if write:
            await desk.records.set_aside(record["_id"], REAP, str(error))
        return Finding(record["_id"], QUARANTINED, str(error))
    limit = limit_passed(job, now, reaper) if job else None
    return Overdue(job, limit, now) if job and limit else None


async def would_reap(desk: Ee2Desk) -> Sequence[Finding]:
    """What a pass would do now, for a dry run; nothing is written and nobody is asked."""
    found = overdue(desk, await reaper_of(desk), write=False)
    return [one if isinstance(one, Finding) else one.finding async for one in found]


async def reap(desk: Ee2Desk, epoch: int, *, trusted: bool) -> Counter[Outcome]:
    """End what is stuck; how many came to which outcome. Raises ``StaleEpoch`` when another one leads."""
    outcomes: Counter[Outcome] = Counter()
    began = await desk.records.now()
    reaper = await reaper_of(desk, trusted=trusted)
    if not reaper.trusted:
        return outcomes
    until = desk.clock.monotonic() + desk.figures.budget.total_seconds()
    refusals = 0
    async for found in overdue(desk, reaper, write=True):
        if isinstance(found, Finding):
            continue
        if desk.canceller is None:
            outcomes[Outcome.WAITS] += 1
            continue
        outcome = await _Case(desk, desk.canceller, epoch, found).outcome()
        outcomes[outcome] += 1
        if outcome is Outcome.REFUSED:
            refusals += 1
        elif outcome is Outcome.REAPED:
            refusals = 0
        if refusals >= MOST_REFUSALS or desk.clock.monotonic() > until:
            desk.journal.said("ee2-reaping-goes-on-later", refusals=refusals)
            return outcomes
    await desk.records.release(REAP, began)
    if desk.canceller is None and outcomes:
        desk.journal.said(
            "ee2-nothing-reaped", overdue=outcomes[Outcome.WAITS], why="store.ee2.cancel names no hook"
        )
    return outcomes


class _Case:
    """One job that is stuck, on its way to its end."""

    def __init__(self, desk: Ee2Desk, canceller: Canceller, epoch: int, found: Overdue) -> None:
        self._desk = desk
        self._canceller = canceller
        self._epoch = epoch
        self._job = found.job
        self._limit = found.limit

    async def outcome(self) -> Outcome:
        """Claim, look again, ask, look again, write."""
        records, job = self._desk.records, self._job
        if await records.epoch() != self._epoch:
            raise StaleEpoch("another controller keeps EE2's records now")
        claim = await records.claim(job, self._epoch, self._desk.figures.claim_term)
        if claim is None:
            return Outcome.WAITS
        if not await self._still_so():
            return self._moved_on()
        if not claim.cancelled:
            if not await self._cancelled(claim.failures):
                return Outcome.REFUSED
            if not await self._still_so():
                return self._moved_on()
        return await self._ended()

    async def _still_so(self) -> bool:
        """Whether the record is what was judged, to the very value."""
        record = await self._desk.records.record(self._job.id)
        now, skew = await self._desk.records.now(), self._desk.figures.clock_skew.total_seconds()
        try:
            return record is not None and read_stuck(record, now, skew) == self._job
        except Malformed:
            return False

    def _moved_on(self) -> Outcome:
        self._desk.journal.said("ee2-moved-on", job=self._job.id, was=self._job.status.value)
        return Outcome.MOVED_ON

    async def _cancelled(self, failures: int) -> bool:
        desk, job = self._desk, self._job
        try:
            note = await self._canceller.cancel(job)
        except (Unavailable, Rejected) as error:
            rest = wait_after(failures + 1)
            await desk.records.answered(job, self._epoch, str(error), rest)
            desk.journal.trouble("ee2 cancel hook", error, job=job.id, again_in_seconds=rest.total_seconds())
            return False
        await desk.records.answered(job, self._epoch, note, None)
        return True

    async def _ended(self) -> Outcome:
        desk, job = self._desk, self._job
        try:
            ended = await desk.records.terminate(job, self._limit)
        except Rejected as error:
            await desk.records.set_aside(job.id, REAP, str(error))
            return Outcome.WAITS
        if not ended:
            return self._moved_on()
        desk.journal.reaped(job.status.value)
        desk.journal.said("ee2-reaped", job=job.id, was=job.status.value, scheduler_id=job.scheduler_id)
        return Outcome.REAPED
