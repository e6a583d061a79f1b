"""What every pass works with: the ports, the settings, the epoch, and the few things it remembers.

Nothing here decides. What is remembered may be lost at any instant: hints, back-offs and counters that
make the next pass sooner or quieter, never right.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from controller.core.change import Change
from controller.core.copying import replace
from controller.core.decide import Lifecycle
from controller.core.machine import TABLE, Writer
from controller.core.model import Attempt, Counts, Status
from controller.core.notices import Channel
from controller.core.sharing import Demand, Limits
from controller.core.sight import ClusterJob, Observation
from controller.counts import Tally
from controller.expiries import Expiries
from controller.grouping import Writes
from controller.inquiries import Inquiries
from controller.looks import Looks
from controller.ports import (
    Clock,
    Cluster,
    Conflict,
    Created,
    Invariant,
    Journal,
    NewJob,
    StaleEpoch,
    Store,
    Unavailable,
)
from controller.posts import Posts

REACHED = 20_000
"""Records of which a process remembers to which status it brought them: more than any view is old."""


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """The operator's figures for the engine; made from ``config.yaml`` by ``app``."""

    life: Lifecycle = field(default_factory=Lifecycle)
    interval: timedelta = timedelta(seconds=15)
    """Between two full passes; a foreign list older than one and a half of it allows no claim."""
    repair_after: timedelta = timedelta(seconds=30)
    clock_skew: timedelta = timedelta(seconds=30)
    limits: Limits = field(default_factory=Limits)
    rate: float = 10.0
    """Submissions a second, in the long run; 0: no limit."""
    burst: int = 20
    concurrency: int = 16
    """Calls to the cluster in flight at once, per batch; what is written to the store goes together."""
    log_tail_bytes: int = 4096
    channels: frozenset[Channel] = frozenset()
    """The ways by which people are told what happens; none: nothing is written for it."""
    max_rounds: int = 12
    """Rounds of look, plan, act in one pass of one batch; what is left waits for the next pass."""

    @property
    def foreign_age(self) -> float:
        """How old, in seconds, a foreign list may be when a claim is planned (R2)."""
        return self.interval.total_seconds() * 1.5

    @property
    def patience(self) -> float:
        """For how many seconds a full pass waits for the lists; a slower one is a later pass's."""
        return self.interval.total_seconds()


@dataclass(slots=True)
class Pacer:
    """A token bucket on the monotonic clock: how many submissions may go out now (S4)."""

    rate: float
    burst: int
    tokens: float = -1.0
    at: float = 0.0

    def available(self, now: float) -> int:
        """Whole submissions that may go out at this monotonic instant."""
        if self.rate <= 0:
            return 1_000_000_000
        if self.tokens < 0:
            self.tokens = float(self.burst)
        else:
            self.tokens = min(float(self.burst), self.tokens + max(0.0, now - self.at) * self.rate)
        self.at = now
        return int(self.tokens)

    def take(self, n: int) -> None:
        """Spend ``n`` of what was available."""
        if self.rate > 0:
            self.tokens -= n

    def seconds_until_one(self, now: float) -> float:
        """How long from this monotonic instant until the next submission may go out."""
        return 0.0 if self.available(now) >= 1 else (1.0 - self.tokens) / self.rate


FORGOTTEN_AFTER = 3600.0
"""Seconds after its rest at which a sick item that never came back is forgotten."""


@dataclass(slots=True)
class Sickbed:
    """Items that failed in an unforeseen way: left alone for a while that doubles, up to five minutes."""

    until: dict[str, tuple[int, float, str]] = field(default_factory=dict)

    def rests(self, item: str, now: float) -> bool:
        """Whether the item is to be left alone at this monotonic instant."""
        return item in self.until and now < self.until[item][1]

    def fell_ill(self, item: str, now: float, why: str) -> float:
        """Note one more failure; returns for how many seconds the item is left alone."""
        times = self.until[item][0] + 1 if item in self.until else 1
        seconds = min(300.0, 2.0**times)
        self.until[item] = (times, now + seconds, why)
        return seconds

    def recovered(self, item: str) -> None:
        """The item went through."""
        self.until.pop(item, None)

    def forget(self, now: float) -> None:
        """Drop items that nobody has tried for long after their rest: they are gone, not well."""
        self.until = {item: ill for item, ill in self.until.items() if now < ill[1] + FORGOTTEN_AFTER}


@dataclass(slots=True)
class Engine:
    """The ports and the memory that passes share. One per process."""

    cluster: Cluster
    store: Store
    clock: Clock
    journal: Journal
    settings: EngineSettings
    jitter: Callable[[str], float]
    """An attempt's id → a number in [0, 1]; the same for the same id."""
    new_token: Callable[[], str]
    epoch: int = 0
    """This process's epoch while it leads; 0 while it does not."""
    trusted_clock: bool = True
    """False: nothing is reaped. Set by the daemon before each full pass."""
    good_at: dict[str, float] | None = None
    """By namespace: the monotonic instant at which the last good pass was recorded; in one that is not here
    nothing is reaped. None: this process is no daemon, and only the store's gaps are known (R10)."""
    news: dict[str, dict[str, ClusterJob]] = field(default_factory=dict)
    """By batch id and job id: objects as the watch showed them since the last list was asked for."""
    again: Callable[[str, frozenset[str] | None], None] = lambda batch_id, focus: None
    """Told of a batch that wants a pass soon, and because of which attempts; None: all of it."""
    later: Callable[[str, frozenset[str]], None] = lambda batch_id, focus: None
    """The same of attempts whose news can wait for others'."""
    ending: list[Callable[[str], object]] = field(default_factory=list)
    """Each is told of a batch whose end is about to be written, however often it ends."""
    seen: Observation | None = None
    """The last complete list of each namespace."""
    looks: Looks = field(default_factory=Looks)
    asked: dict[str, asyncio.Task[Observation]] = field(default_factory=dict)
    """By namespace: the look that people wait for, beside the passes'."""
    listed: frozenset[str] = frozenset()
    """Namespaces of which the last full pass had a list."""
    unseen: frozenset[str] = frozenset()
    """Namespaces whose lists the last full pass did not wait for any longer."""
    under_way: str = ""
    """Id of the batch that a full pass has come to; after one that was broken off, where that was."""
    blind: str = ""
    """Why the cluster could not be listed when it was last asked to; empty: it could. For people."""
    names: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """By namespace: names of unfinished batches as of that list; they tell its foreign objects apart."""
    demands: Sequence[Demand] | None = None
    """What every batch held and asked for at the last full pass; None: no operator's limit binds them."""
    pacer: Pacer = field(init=False)
    sick: Sickbed = field(default_factory=Sickbed)
    known: dict[str, dict[str, Attempt]] = field(default_factory=dict)
    """By id of a batch whose pass is under way, then by job id: records as it read or wrote them last."""
    expiries: Expiries = field(default_factory=Expiries)
    writes: Writes = field(default_factory=Writes)
    """Changes of records that are asked for side by side go to the store together."""
    inquiries: Inquiries = field(default_factory=Inquiries)
    posts: Posts = field(default_factory=Posts)
    counts: Tally = field(default_factory=Tally)
    passed: dict[str, float] = field(default_factory=dict)
    """By batch id: the monotonic instant at which its last pass was over."""
    freed: dict[str, list[float]] = field(default_factory=dict)
    """By batch id: monotonic instants at which places became free, for the refill latency."""
    refilling: dict[str, float] = field(default_factory=dict)
    """By id of a job that is being created: when the place became free that it takes."""
    ended_retries: set[str] = field(default_factory=set)
    """Ids of retries that have ended here and whose places were not given back yet: they are to be told."""
    locks: defaultdict[str, asyncio.Lock] = field(default_factory=lambda: defaultdict(asyncio.Lock))
    """By batch id: one pass of a batch at a time; for quiet, not for safety."""
    hands: defaultdict[str, asyncio.Semaphore] = field(init=False)
    """By batch id: creates under way at one time. Their records are written without holding one."""
    claims: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Limits over several batches are arithmetic over all gates: one claim at a time (S13)."""
    places_doubted: bool = False
    """A slot was found to be another one's, or a batch without a gate: the next full pass looks for active
    records without a place, and makes that gate."""
    _reached: dict[str, Status] = field(default_factory=dict)
    """By job id, the latest last: the status to which this process brought a record."""
    _clock: tuple[datetime, float] | None = None
    """What the store's clock said, and the monotonic instant of its answer."""

    def __post_init__(self) -> None:
        self.pacer = Pacer(self.settings.rate, self.settings.burst)
        self.hands = defaultdict(lambda: asyncio.Semaphore(self.settings.concurrency))

    async def read_clock(self) -> datetime:
        """Ask the store for its clock, and go by it from here on."""
        now = await self.store.now()
        self._clock = now, self.clock.monotonic()
        return now

    def now(self) -> datetime:
        """The store's clock as it was last read, carried on by the monotonic one; before that, our own.

        Every instant on a record is the store's: a wall clock that is ahead of it would take an open
        create for a closed one (R5) and a retry for due. A slow answer makes this one late, never early.
        """
        if self._clock is None:
            return self.clock.now()
        read, at = self._clock
        return read + timedelta(seconds=self.clock.monotonic() - at)

    async def apply(self, job: Attempt, change: Change) -> Attempt | None:
        """Write one change; None when the record is no longer as the change demands.

        ``job`` is the record as it was read before; it feeds the counters and the log line.
        """
        epoch, row = None, TABLE[change.event]
        if row.writer is Writer.LEADER:
            self.must_lead()  # it may have stepped down since this pass began
            epoch = self.epoch
        if "scheduler_id" in change.fields and "scheduler_type" in row.writes:  # whose id that is
            fields = {**change.fields, "scheduler_type": self.cluster.scheduler_type}
            change = replace(change, fields=fields)
        with self.counts.changing(job.batch_id):
            return await self._written(job, change, epoch)

    async def _written(self, job: Attempt, change: Change, epoch: int | None) -> Attempt | None:
        try:
            after = await self.writes.change(self.store, change, epoch)
        except Conflict:
            if "slot" in change.fields:
                self.places_doubted = True
                self.journal.violated(Invariant.SLOT, job=job.name, slot=change.fields["slot"])
            raise
        known = self.known.get(job.batch_id, {})
        known.pop(job.id, None)
        if after is None or self._was_brought_there(job, after):
            self.journal.skipped(job, change)
            return None
        if job.batch_id in self.known:
            known[job.id] = after
        if after.status is not job.status:
            self.counts.add(job, after)
            if after.status.terminal and job.status.active and job.attempt:
                self.ended_retries.add(job.id)
        self.journal.moved(job, after, change)
        return after

    def _was_brought_there(self, job: Attempt, after: Attempt) -> bool:
        """Whether this process made that change before, and ``job`` is older still.

        Of changes written together it is known how the records stand, not who brought them there. An attempt
        never comes back to a status; nobody else moves one that this leader has stamped.
        """
        if after.status is job.status:
            return False
        if self._reached.get(job.id) is after.status:
            return True
        self._reached.pop(job.id, None)
        self._reached[job.id] = after.status
        if len(self._reached) > REACHED:
            del self._reached[next(iter(self._reached))]
        return False

    async def create(self, job: NewJob, epoch: int) -> Created:
        """Ask the cluster for an object, one of so many at a time; see ``Cluster.create``.

        What has waited for its turn for longer than this process leads is not asked for any more.
        """
        async with self.hands[job.batch_id]:
            self.must_lead(epoch)
            return await self.cluster.create(job)

    async def flush_counts(self, batch_id: str) -> None:
        """Bring the batch's cached counts up to date with what this process changed."""
        await self.counts.flush(self.store, batch_id)

    async def recount(self, batch_id: str) -> Counts:
        """Count all of the batch's records now."""
        return await self.counts.recount(self.store, batch_id)

    @contextlib.contextmanager
    def guarded(self, item: str, **facts: object) -> Iterator[None]:
        """One sick item costs one item: it is left alone for a while, counted and named.

        It is well again when it has gone through, which a create that goes on beside the passes has not yet.
        What may happen to anybody (``Unavailable``, ``StaleEpoch``, a cancel) passes through.
        """
        try:
            yield
        except (Unavailable, StaleEpoch):
            raise
        except Exception as error:  # noqa: BLE001 -- the per-item guard
            seconds = self.sick.fell_ill(item, self.clock.monotonic(), f"{type(error).__name__}: {error}")
            self.journal.quarantined(item, error, seconds, **facts)
        else:
            if not self.posts.goes_on(item):
                self.sick.recovered(item)

    def remembered(self) -> frozenset[str]:
        """Ids of batches of which something is remembered."""
        return frozenset((*self.freed, *self.locks))

    def forget(self, over: Iterable[str]) -> None:
        """Let go of what is remembered of batches that are over, so that weeks cost no memory.

        They were remembered before the open ones were read: a batch that came since is not over.
        """
        for batch_id in over:
            self.freed.pop(batch_id, None)
            self.counts.forget(batch_id)
            self.passed.pop(batch_id, None)
            if (lock := self.locks.get(batch_id)) is not None and not lock.locked():
                del self.locks[batch_id]
                self.hands.pop(batch_id, None)
                self.expiries.over(batch_id)
        self.sick.forget(self.clock.monotonic())

    def forget_refills(self) -> None:
        """Places that became free in an earlier lead: who takes them now did not wait for this process."""
        self.freed.clear()
        self.refilling.clear()
        self.ended_retries.clear()

    def must_lead(self, since: int | None = None) -> None:
        """Raise ``StaleEpoch`` when this process does not lead (any more), or not by that epoch."""
        if not self.epoch or since not in (None, self.epoch):
            raise StaleEpoch("this controller does not lead; another one does, or will within seconds")
