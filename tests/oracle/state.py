"""The world as the entries so far leave it, and the story of each task and batch."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from controller.core.model import Attempt, BatchStatus, Gate, Halts, Status, Stop, Verdict
from tests.oracle.history import Deed, Ending, Entry, Happened, Parent, Side, Weather, Written

STORY = 60
"""Entries kept per task and batch for the story of a violation."""


@dataclass(frozen=True, slots=True)
class Budget:
    """How often automation may retry a verdict, and after how many seconds at least: base · factorⁿ⁻¹."""

    limit: int
    base: float
    factor: float = 2.0
    longest: float = 300.0

    def least_delay(self, n: int) -> timedelta:
        """The shortest lawful wait before retry ``n`` (from 1)."""
        return timedelta(seconds=min(self.base * self.factor ** (n - 1), self.longest))

    def most_delay(self, n: int) -> timedelta:
        """The longest one: a tenth more, to spread them; instants are kept to the millisecond."""
        return self.least_delay(n) * 1.1 + timedelta(milliseconds=1)


BUILTIN: Mapping[Verdict, Budget] = {
    Verdict.MOUNT_FAILURE: Budget(3, 30),
    Verdict.DISRUPTED: Budget(5, 10),
    Verdict.START_TIMEOUT: Budget(2, 60),
    Verdict.IMAGE_PULL: Budget(2, 60),
    Verdict.LOST: Budget(2, 60),
    Verdict.UNKNOWN: Budget(1, 60),
}
"""Lifecycle section 4, written down a second time on purpose."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What the judge is told about the run: the operator's figures and how slow the world may be."""

    hold: timedelta = timedelta(hours=24)
    limits: Mapping[Status, timedelta] = field(
        default_factory=lambda: {Status.CREATED: timedelta(hours=1), Status.QUEUED: timedelta(days=14)}
    )
    """After how long in a status the reaper may stop an attempt."""
    budgets: Mapping[str, Mapping[Verdict, Budget]] = field(default_factory=dict)
    """By batch name: what the spec's rules change about the built-in budgets."""
    most_auto: int = 6
    list_age: timedelta = timedelta(seconds=22.5)
    """How old a foreign list may be when a place is taken (R2)."""
    patience: timedelta = timedelta(seconds=10)
    """Between a fact and the last act of somebody who could not know it yet: the slowest calls, a pause."""
    silence: timedelta = timedelta(seconds=30)
    """An outage longer than this is time in which nobody looked: it counts for no reaper (R10)."""
    total: int | None = None
    per_namespace: int | None = None
    per_user: int | None = None
    """The operator's limits over several batches: on places in all, of a namespace, of a user."""
    shows_ends: bool = False
    """Whether the recorder tells of each end what was shown of it."""
    may_grow: bool = True
    """Whether a rule of the spec may ask for more resources."""

    @property
    def forgets(self) -> timedelta:
        """How long a gate may go on counting what is over: passes in a row may each fail to ask for it."""
        return 4 * self.list_age + 2 * self.patience

    def budget(self, batch: str, verdict: Verdict) -> Budget | None:
        """The budget of a verdict in a batch; None: automation never retries it."""
        return self.budgets.get(batch, {}).get(verdict) or BUILTIN.get(verdict)


@dataclass(slots=True)
class Thing:
    """One object of the cluster, by uid."""

    uid: str
    name: str
    namespace: str
    job_id: str
    created: datetime
    tombstone: bool = False
    started: bool = False
    ended: bool = False
    ended_at: datetime | None = None
    success: bool | None = None
    end: Ending | None = None
    """What it shows, or showed, of its end; None: it has not ended, or nobody recorded that."""
    gone: bool = False
    """It is gone, and so is its pod."""
    touched: datetime | None = None
    """When a third party deleted it."""
    over: datetime | None = None
    """Since when it does not live."""
    orphan: bool = False
    """It has our labels, and no record, or one that waits since the store was set back: it counts like
    others', and nothing is ever done to it (R13)."""
    unlabelled: bool = False
    """Somebody took our labels off: it is nobody's since, and how it ends is nobody's to record."""
    cut_short: bool = False
    """Its deletion was ordered, or others' object went, before anybody need have seen how it ended."""

    @property
    def live(self) -> bool:
        """Whether it runs, or may come to run."""
        return not (self.tombstone or self.ended or self.gone)


@dataclass(frozen=True, slots=True)
class CalledOff:
    """A batch that came to its end by a cancel, and when."""

    cancel: Stop
    at: datetime


@dataclass(slots=True)
class State:
    """Everything that the rules look at; they never change it."""

    facts: Facts
    jobs: dict[str, Attempt] = field(default_factory=dict)
    gates: dict[str, Gate] = field(default_factory=dict)
    born: dict[str, datetime] = field(default_factory=dict)
    """By batch id: when its gate was written first."""
    parents: dict[str, Parent] = field(default_factory=dict)
    closed: dict[str, datetime] = field(default_factory=dict)
    """By batch id, of those that are over: since when."""
    opened: dict[str, datetime] = field(default_factory=dict)
    """By batch id, of those that are not: since when."""
    reigns: dict[int, datetime] = field(default_factory=dict)
    """By epoch: when its leader wrote first."""
    active_since: dict[str, datetime] = field(default_factory=dict)
    """By job id: when it became active."""
    halts: Halts = field(default_factory=Halts)
    halted: dict[str, datetime] = field(default_factory=dict)
    shut: dict[str, datetime] = field(default_factory=dict)
    """By batch id: since when its gate is paused, held or cancelled."""
    full: dict[str, datetime] = field(default_factory=dict)
    """By batch id: since when its gate counts its maximum without attempts that have no object."""
    bereft: set[str] = field(default_factory=set)
    """Ids of batches whose gates were lost: active records get their places again while they are held."""
    entered: dict[str, datetime] = field(default_factory=dict)
    """By job id: when it entered its status, by the store's clock and nobody else's."""
    forbidden: dict[str, datetime] = field(default_factory=dict)
    """By job id: when ``no_retry`` was set."""
    toggled: dict[str, datetime] = field(default_factory=dict)
    """By job id of a retry: when its toggle was set."""
    cancelled: set[str] = field(default_factory=set)
    """Ids of batches that were ever cancelled: what failed meanwhile is owed no retry."""
    called_off: dict[str, CalledOff] = field(default_factory=dict)
    """By batch id: the last cancel that was carried out to its end."""
    things: dict[str, Thing] = field(default_factory=dict)
    names: dict[tuple[str, str], Thing] = field(default_factory=dict)
    """What is under a name now."""
    by_job: defaultdict[str, list[Thing]] = field(default_factory=lambda: defaultdict(list))
    by_task: defaultdict[tuple[str, str], list[str]] = field(default_factory=lambda: defaultdict(list))
    """Job ids of a task, in the order of insertion."""
    active: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    """By batch id: attempts that are created, queued or running."""
    live: dict[str, Thing] = field(default_factory=dict)
    """By uid: every live object, foreign ones included."""
    out: dict[Side, datetime] = field(default_factory=dict)
    """Which sides are out of reach, and since when."""
    refused: dict[str, datetime] = field(default_factory=dict)
    """Which namespaces of the cluster are, and since when."""
    outages: list[tuple[datetime, datetime, str]] = field(default_factory=list)
    """Those that are over and were long, by their ends, and the namespace, if it was only one."""
    stories: defaultdict[str, deque[Entry]] = field(
        default_factory=lambda: defaultdict(lambda: deque(maxlen=STORY))
    )

    def task(self, job: Attempt) -> list[Attempt]:
        """All attempts of the job's task, in the order of insertion."""
        return [self.jobs[job_id] for job_id in self.by_task[job.batch_id, job.task_id]]

    def objects(self, job: Attempt) -> list[Thing]:
        """The objects of an attempt: those that carry its job id, or the one that was taken over for it."""
        taken = self.things.get(job.scheduler_id) if job.kind else None
        return [*self.by_job[job.id], *([taken] if taken else [])]

    def before(self, job: Attempt) -> Attempt | None:
        """The attempt before this one."""
        return next((other for other in self.task(job) if other.attempt == job.attempt - 1), None)

    def foreign(self, batch_id: str, known_since: datetime) -> Iterator[Thing]:
        """Live foreign objects and orphans that it must count: under its prefix, since then or longer.

        What was under a longer prefix until that batch closed is under this one since it closed.
        """
        mine = self.parents[batch_id].batch
        left = {batch for batch, at in self.closed.items() if at <= known_since}
        names = [
            parent.batch.name
            for parent in self.parents.values()
            if parent.batch.namespace == mine.namespace
            and (parent.batch.id not in left or parent.batch.id == batch_id)
        ]
        for thing in self.live.values():
            if (thing.job_id and not thing.orphan) or thing.namespace != mine.namespace:
                continue
            if thing.created > known_since:
                continue
            owners = [name for name in names if thing.name.startswith(f"{name}-")]
            if owners and max(owners, key=len) == mine.name:
                yield thing

    def open_names(self, namespace: str) -> Iterator[tuple[str, datetime]]:
        """The names of the batches of a namespace that are not over, and since when they are not."""
        for batch_id, since in self.opened.items():
            batch = self.parents[batch_id].batch
            if batch.namespace == namespace:
                yield batch.name, since

    def taken_names(self, batch_id: str) -> list[str]:
        """Names of its waiting first attempts under which others had an object when its gate came in."""
        waiting = [job for job in self.jobs.values() if job.batch_id == batch_id and not job.attempt]
        names = {(job.namespace, job.name) for job in waiting if job.status is Status.WAITING}
        things = [thing for name in sorted(names) if (thing := self.names.get(name))]
        return [one.name for one in things if not one.job_id and one.created < self.born[batch_id]]

    def blind_since(self, namespace: str) -> datetime | None:
        """Since when nothing of a namespace can be seen."""
        return min(filter(None, (self.out.get(Side.CLUSTER), self.refused.get(namespace))), default=None)

    def unseen(self, since: datetime, until: datetime, namespace: str) -> timedelta:
        """How much of that stretch lay in long outages of a namespace; where two overlap it counts once."""
        total, reached = timedelta(), since
        for begin, end, where in sorted(self.outages):
            if where not in ("", namespace):
                continue
            begin, end = max(begin, reached), min(end, until)
            if begin < end:
                total, reached = total + (end - begin), end
        return total

    def _crossed(self, thing: Thing, at: datetime) -> bool:
        """Whether a delete was asked for before the end, or crossed with it: a stop had been ordered."""
        if thing.ended_at is None:
            return True
        job = self.jobs.get(thing.job_id)
        return bool(job and job.stop) and self._unseen_end(thing, at)

    def _unseen_end(self, thing: Thing, at: datetime) -> bool:
        """Whether it goes so soon after its end that nobody need have looked in between."""
        return thing.ended_at is not None and at - thing.ended_at < self.facts.list_age + self.facts.patience

    # -- taking an entry in, after the rules have looked at it

    def take(self, entry: Entry) -> None:
        """Bring the world up to this entry."""
        if isinstance(entry, Written):
            self._write(entry)
        elif isinstance(entry, Happened):
            self._happen(entry)
        else:
            self._blow(entry)

    def set_back(
        self, waiting: Iterable[Attempt], gate: Gate, at: datetime, *, without_gate: bool = False
    ) -> None:
        """The store was set back: these attempts wait again without places (``without_gate``: that is gone,
        too), and what runs for them is an orphan's from now on."""
        for job in waiting:
            self._record(job, at)
            self.active_since.pop(job.id, None)
            for thing in self.by_job[job.id]:
                thing.orphan = True
        self.gates[gate.batch_id] = gate
        if without_gate:
            del self.gates[gate.batch_id]
            self.bereft.add(gate.batch_id)
        self._mark(gate.batch_id, at)

    def _blow(self, entry: Weather) -> None:
        out: dict[Any, datetime] = self.refused if entry.namespace else self.out
        which = entry.namespace or entry.side
        if entry.out:
            out.setdefault(which, entry.at)
        elif (since := out.pop(which, None)) and entry.at - since > self.facts.silence:
            self.outages.append((since, entry.at, entry.namespace))

    def _write(self, entry: Written) -> None:
        if entry.writer is not None:
            self.reigns.setdefault(entry.writer, entry.at)
        match entry.after:
            case Attempt() as job:
                self._record(job, entry.at)
                self._mark(job.batch_id, entry.at)
            case Gate() as gate:
                self.gates[gate.batch_id] = gate
                self._mark(gate.batch_id, entry.at)
                self.born.setdefault(gate.batch_id, entry.at)
                if gate.cancel:
                    self.cancelled.add(gate.batch_id)
            case Parent() as parent:
                self._call_off(parent, entry.at)
                self.parents[parent.batch.id] = parent
                if parent.batch.status.closed:
                    self.closed.setdefault(parent.batch.id, entry.at)
                    self.opened.pop(parent.batch.id, None)
                else:
                    self.closed.pop(parent.batch.id, None)
                    self.opened.setdefault(parent.batch.id, entry.at)
            case Halts() as halts:
                self.halts = halts
                for what in ("submissions", "retries"):
                    if getattr(halts, what):
                        self.halted.setdefault(what, entry.at)
                    else:
                        self.halted.pop(what, None)

    def _mark(self, batch_id: str, at: datetime) -> None:
        """Since when a gate lets nothing start."""
        gate = self.gates.get(batch_id)
        if gate is None:
            return
        running = (Status.QUEUED, Status.RUNNING)
        held = (self.jobs.get(holder.job) for holder in gate.holders)
        places = sum(job is not None and job.status in running for job in held)
        for marks, so in (
            (self.shut, bool(gate.paused or gate.hold or gate.cancel)),
            (self.full, places + len(gate.foreign) >= gate.max),
        ):
            if so:
                marks.setdefault(batch_id, at)
            else:
                marks.pop(batch_id, None)

    def _call_off(self, parent: Parent, at: datetime) -> None:
        batch, gate, before = parent.batch, self.gates.get(parent.batch.id), self.parents.get(parent.batch.id)
        ends = batch.status is BatchStatus.CANCELLED and not (before and before.batch.status.closed)
        if ends and gate and gate.cancel:
            self.called_off[batch.id] = CalledOff(gate.cancel, at)

    def _record(self, job: Attempt, at: datetime) -> None:
        old = self.jobs.get(job.id)
        if old is None:
            self.by_task[job.batch_id, job.task_id].append(job.id)
        if old is None or old.status is not job.status:
            self.entered[job.id] = at
        if job.no_retry:
            self.forbidden.setdefault(job.id, at)
        if job.retry_toggle:
            self.toggled.setdefault(job.id, at)
        self.jobs[job.id] = job
        if job.status.active:
            self.active[job.batch_id].add(job.id)
            self.active_since.setdefault(job.id, at)
        else:
            self.active[job.batch_id].discard(job.id)

    def _appear(self, entry: Happened) -> None:
        thing = Thing(entry.uid, entry.name, entry.namespace, entry.job_id, entry.at)
        thing.tombstone, thing.orphan = entry.deed is Deed.BURIED, entry.orphan
        self.things[thing.uid] = thing
        self.names[thing.namespace, thing.name] = thing
        if thing.job_id:
            self.by_job[thing.job_id].append(thing)

    def _happen(self, entry: Happened) -> None:
        if entry.deed in (Deed.CREATED, Deed.BURIED):
            self._appear(entry)
        found = self.things.get(entry.uid)
        if found is None:
            return
        match entry.deed:
            case Deed.STARTED:
                found.started = True
            case Deed.ENDED:
                found.ended, found.ended_at = True, entry.at
                found.success, found.end = entry.success, entry.end
            case Deed.UNLABELLED:
                found.unlabelled = True
            case Deed.DELETE:
                found.touched = found.touched or (None if entry.ours else entry.at)
                found.cut_short |= self._crossed(found, entry.at)
            case Deed.GONE:
                found.gone = not entry.lingers
                found.cut_short |= not found.job_id and self._unseen_end(found, entry.at)
                if self.names.get((found.namespace, found.name)) is found:
                    del self.names[found.namespace, found.name]
            case _:
                pass
        if found.live:
            self.live[found.uid] = found
        else:
            found.over = found.over or entry.at
            self.live.pop(found.uid, None)
