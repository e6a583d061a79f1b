"""Looking: from the store and what the cluster showed to the view that a plan is made from.

Called by ``reconcile`` before every plan. Records are read first and the list is asked for after them;
absence is believed only in that order (R11), and even then it is only a reason to ask live.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from controller.core.copying import replace
from controller.core.decide import Lifecycle, Sight
from controller.core.model import ACTIVE, LIVE, Attempt, Batch, Gate, Halts, Origin, Status
from controller.core.naming import longest_prefix
from controller.core.plan import Block, block, without_the_ended
from controller.core.sharing import Demand
from controller.core.sight import ClusterJob, ForeignObject, Observation
from controller.core.view import Allowance, View
from controller.core.waits import Line
from controller.engine import Engine
from controller.specfile import rules_of


@dataclass(frozen=True, slots=True)
class Scene:
    """What one pass has seen: the lists, when they were asked for, and what surrounds the batch."""

    halts: Halts
    life: Lifecycle
    prefixes: Mapping[str, frozenset[str]]
    """Names of unfinished batches by namespace: the longest prefix owns a foreign object (S2)."""
    observation: Observation | None = None
    """A full list, or None for a pass after an event; then nothing is absent."""
    news: Mapping[str, ClusterJob] | None = None
    """By job id: what the watch showed. In a pass after an event, its keys are what to look at."""
    focus: frozenset[str] | None = None
    """Only these records; None: every holder."""
    lives: Mapping[str, Lifecycle] = field(default_factory=dict)
    """By namespace, where time counts for itself (R10); elsewhere ``life`` holds."""
    judged: Mapping[str, Attempt] = field(default_factory=dict)
    """By id: records as they were read before the list was asked for, where that was before this pass."""
    read_at: float = 0.0
    """The monotonic instant before the gate and the halts were read."""
    demands: Sequence[Demand] | None = None
    """What every batch holds and asks for, where an operator's limits bind them; None: no limits."""


async def look(
    engine: Engine,
    batch: Batch,
    gate: Gate,
    scene: Scene,
    allowance: Allowance,
    records: tuple[float, Sequence[Attempt]] | None = None,
    ahead: Sequence[Attempt] = (),
) -> View:
    """One batch's view. ``records``: the holders' records with the monotonic instant of their reading.

    Without them, what the pass under way read or wrote itself is not read again. ``ahead``: the first who
    wait, where they were just read.
    """
    seen = _objects_of(batch, scene)
    if scene.observation is None:
        seen = _beside(engine, gate) | seen
    strange = _without_place(gate, seen)
    held = [holder.job for holder in gate.holders if scene.focus is None or holder.job in scene.focus]
    read_at, holders = records or (engine.clock.monotonic(), ())
    found = await _records(engine, batch, strange if records else [*held, *strange])
    mine = set() if records else set(held)
    holders = [*_still_there(gate, holders), *(job for job in found if job.id in mine)]
    others = tuple(job for job in found if job.id not in mine)
    due = await _due(engine, without_the_ended(gate, holders), scene, ahead)
    orphans = _orphans(seen, strange, others)
    now = engine.now()
    foreign, blind = _foreign(engine, batch, scene)
    view = View(
        batch=batch,
        gate=gate,
        now=now,
        life=scene.lives.get(batch.namespace, scene.life),
        rules=rules_of(batch.settings["retry"].value),
        max_auto_retries=int(batch.spec.get("maxAutoRetries", 6)),
        halts=scene.halts,
        holders=tuple(sorted(holders, key=lambda job: (job.index, job.attempt))),
        due=tuple(due),
        others=others,
        orphans=orphans,
        sights=_sights(batch, (*holders, *others), seen, scene, read_at),
        foreign=foreign,
        blind=blind,
        unserved=engine.seen.unserved if engine.seen else frozenset(),
        allowance=allowance,
        channels=engine.settings.channels,
    )
    view = await _with_line(engine, view)
    return await _with_chains(engine, view)


def _beside(engine: Engine, gate: Gate) -> dict[str, ClusterJob]:
    """What the last list, or the watch since, shows running without a place (R13).

    Nobody starts beside it, and its batch does not end over it, whosever news the pass is about.
    """
    held = {holder.job for holder in gate.holders}
    listed = engine.seen.running(gate.batch_id) if engine.seen else {}
    shown = {**listed, **engine.news.get(gate.batch_id, {})}
    return {job_id: job for job_id, job in shown.items() if job_id not in held and job.active}


def _objects_of(batch: Batch, scene: Scene) -> dict[str, ClusterJob]:
    listed = scene.observation.jobs if scene.observation else {}
    seen = {job_id: job for job_id, job in listed.items() if job.batch_id == batch.id}
    if scene.focus is not None and scene.observation is not None:
        seen = {job_id: job for job_id, job in seen.items() if job_id in scene.focus}
    return seen | {job_id: job for job_id, job in (scene.news or {}).items() if not job.tombstone}


def _without_place(gate: Gate, seen: Mapping[str, ClusterJob]) -> list[str]:
    """Job ids of seen objects that hold no place and may still ask for something (R13)."""
    held = {holder.job for holder in gate.holders}
    return [job_id for job_id, job in seen.items() if job_id not in held and (job.active or not job.expiring)]


def _still_there(gate: Gate, holders: Sequence[Attempt]) -> list[Attempt]:
    """A full pass reads the records before the lists: who has left the gate since is no holder, however
    active it was; else a batch that another pass has closed meanwhile would seem to live."""
    there = {holder.job for holder in gate.holders}
    return [job for job in holders if job.id in there]


async def _records(engine: Engine, batch: Batch, ids: Sequence[str]) -> list[Attempt]:
    known = engine.known.get(batch.id, {})
    unknown = [job_id for job_id in ids if job_id not in known]
    for job in await engine.store.jobs(unknown) if unknown else ():
        known.setdefault(job.id, job)  # a pass may have written it meanwhile
    return [known[job_id] for job_id in ids if job_id in known]


def _orphans(
    seen: Mapping[str, ClusterJob], strange: Sequence[str], found: Sequence[Attempt]
) -> tuple[ClusterJob, ...]:
    """Active objects whose record can't be found, or says that they were never asked for.

    Both only where the database was set back: a record is written before its object is asked for, and
    these were read after their objects were seen.
    """
    asked_for = {job.id for job in found if job.status is not Status.WAITING}
    return tuple(seen[job_id] for job_id in strange if job_id not in asked_for and seen[job_id].active)


def _sights(
    batch: Batch,
    jobs: Sequence[Attempt],
    seen: Mapping[str, ClusterJob],
    scene: Scene,
    read_at: float,
) -> dict[str, Sight]:
    """What is known of each object. Absent: a complete list, asked for after the record was read.

    After it was read as it is now, that is: of a look that began before this pass, what was read before it.
    """
    listed = scene.observation
    complete = listed is not None and batch.namespace in listed.namespaces
    before = listed is not None and read_at < listed.asked_for(batch.namespace)
    sights: dict[str, Sight] = {}
    others = _active_others(batch, jobs, listed)
    for job in jobs:
        judged = complete and (before or scene.judged.get(job.id) == job)
        if job.kind:
            thing = others.get(job.scheduler_id)
            if thing and not (thing.started and job.status is Status.QUEUED):
                sights[job.id] = Sight.listed(_as_listed(thing))
            elif thing or judged:
                sights[job.id] = Sight.listed(None)  # gone, ended, or started by now: a live look tells
        elif job.id in seen:
            sights[job.id] = Sight.listed(seen[job.id])
        elif judged or (job.stop and job.id in (scene.news or {})):  # it has gone since: a live look tells
            sights[job.id] = Sight.listed(None)
    return sights


def _active_others(
    batch: Batch, jobs: Sequence[Attempt], listed: Observation | None
) -> dict[str, ForeignObject]:
    """By uid: active objects of others, where some of them were taken over."""
    if listed is None or not any(job.kind for job in jobs):
        return {}
    return {
        thing.uid: thing for thing in listed.foreign if thing.active and thing.namespace == batch.namespace
    }


def _as_listed(thing: ForeignObject) -> ClusterJob:
    return ClusterJob(name=thing.name, namespace=thing.namespace, uid=thing.uid, job_id="", batch_id="")


def _foreign(engine: Engine, batch: Batch, scene: Scene) -> tuple[Sequence[ForeignObject] | None, str]:
    """Foreign objects under this batch's prefix, from a list no older than a pass; else None and why."""
    seen = engine.seen
    if seen is None:
        return None, "the cluster has not been listed yet"
    if batch.namespace in seen.blind:
        return None, seen.blind[batch.namespace]
    if batch.namespace not in seen.namespaces:
        return None, f"namespace {batch.namespace} has not been listed yet"
    if not in_time(engine, seen, batch.namespace):
        age = engine.clock.monotonic() - seen.asked_for(batch.namespace)
        return None, f"the last list of namespace {batch.namespace} is {age:.0f} s old"
    names = scene.prefixes.get(batch.namespace, frozenset()) | {batch.name}
    mine = tuple(
        thing
        for thing in seen.foreign
        if thing.namespace == batch.namespace and longest_prefix(thing.name, names) == batch.name
    )
    return mine, ""


def in_time(engine: Engine, seen: Observation | None, namespace: str) -> bool:
    """Whether the list of this namespace was asked for within the last pass (R2)."""
    if seen is None or namespace not in seen.namespaces:
        return False
    return engine.clock.monotonic() - seen.asked_for(namespace) <= engine.settings.foreign_age


def _room(gate: Gate) -> int:
    return min(max(gate.free, 0), 2 * gate.max)


async def _due(engine: Engine, gate: Gate, scene: Scene, ahead: Sequence[Attempt] = ()) -> Sequence[Attempt]:
    """The first waiting ones, as many as there are places."""
    room, now = _room(gate), engine.now()
    if not room:
        return ()
    with_auto, held = scene.halts.retries is None, {holder.job for holder in gate.holders}
    orphans = sum(thing.ours for thing in gate.foreign)
    line = ahead[:room] if with_auto else ()
    if not line:
        line = await engine.store.waiting(gate.batch_id, room, now, with_auto=with_auto)
    if orphans or any(job.id in held for job in line):
        # A crash left them half-claimed, or a job of their task runs: they keep nobody from the line.
        more = room + len(held) + orphans
        line = await engine.store.waiting(gate.batch_id, more, now, with_auto=with_auto)
    return line


async def _with_line(engine: Engine, view: View) -> View:
    """Add whether anything is left at all, when nothing is due and nothing shows that there is."""
    batch_id, store, room = view.batch.id, engine.store, _room(view.gate)
    unseen = len(view.gate.holders) > len(view.holders)
    if view.due or any(job.status.active for job in view.holders) or (unseen and not room):
        return view  # neither idle nor done
    if await store.has(batch_id, LIVE, when="now"):
        return view
    active = await store.has(batch_id, ACTIVE)
    idle = not active and not view.gate.holders  # the end of a holder may still owe a retry
    ready = room and idle and view.halts.retries is None  # they are all automatic
    at_end = await store.waiting_for_end(batch_id, room, view.now) if ready else ()
    done = not active and not at_end and not await store.has(batch_id, [Status.WAITING])
    return replace(view, at_end=tuple(at_end), idle=idle, done=done)


async def with_result(engine: Engine, view: View, *, keep: bool = True) -> View:
    """Add how many completed, where the batch ends, or has ended and something still happened to it.

    ``keep=False``: for who merely looks; what is counted is not written.
    """
    if not view.done or view.gate.holders:
        return view
    counting = engine.recount(view.batch.id) if keep else engine.store.recount(view.batch.id, keep=False)
    return replace(view, completed=(await counting).status.get(Status.COMPLETED, 0))


async def line_of(engine: Engine, view: View) -> Line | None:
    """What the records tell of who waits, for ``explain``; None where nobody starts whoever waits."""
    blocked, store, batch_id = block(view)[0], engine.store, view.batch.id
    if view.batch.status.closed or blocked not in (Block.FULL, Block.NOTHING_DUE):
        return None
    ready: Sequence[Attempt] = ()
    if blocked is Block.FULL:
        # As in ``_due``: neither who has a place already nor whose task runs keeps anybody from the line.
        first = 1 + sum(job.status is Status.WAITING for job in view.holders) + len(view.unrecorded)
        with_auto = view.halts.retries is None
        ready = await store.waiting(batch_id, first, view.now, with_auto=with_auto)
    return Line(
        waits=await store.has(batch_id, [Status.WAITING]),
        ready=tuple(ready),
        at_end=bool(await store.waiting_for_end(batch_id, 1, view.now)),
        next_due=await store.next_due(batch_id, view.now),
    )


async def _with_chains(engine: Engine, view: View) -> View:
    """Add the whole chain of every task about whose retry something may be decided, or told."""
    ended = [job.root_id for job in view.holders if _failed_or_retried(job)]
    may_start = (*view.due, *view.at_end, *(job for job in view.holders if job.status is Status.WAITING))
    retries = [job.root_id for job in may_start if job.origin is Origin.AUTO]
    roots = frozenset((*ended, *retries))
    if not roots:
        return view
    return replace(view, chains=await engine.store.chains(sorted(roots)))


def _failed_or_retried(job: Attempt) -> bool:
    """Whether this end may lead to a retry, or is that of one."""
    return job.status is Status.ERROR or (job.status.terminal and job.attempt > 0)
