"""One pass, told as a story: observe (store, then cluster), plan (pure), act (idempotent, recorded).

Called by the daemon: ``all_batches`` on its interval, ``one_batch`` after an event. A pass is
equivalent to: look at everything, decide every attempt's next move, record each move, then make it. A
crash between any two lines is safe: the next pass starts from the records and the cluster, never from
memory. Events only make a pass come sooner and look at less.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from controller import lifecycle, telling
from controller.allowance import allowance_of, held_now
from controller.batch_deeds import take_for_batch
from controller.core.decide import Act, Reason
from controller.core.model import Attempt, Batch, Gate
from controller.core.plan import (
    CheckForeign,
    Claim,
    CountForeign,
    HoldBatch,
    Leave,
    LookForOthers,
    MoveBatch,
    MoveJob,
    Remember,
    Retry,
    Step,
    Submit,
    WithdrawWaiting,
    plan,
)
from controller.core.retry import new_child
from controller.core.sharing import Demand
from controller.core.view import View
from controller.deeds import carry_out, live_sight, submit
from controller.engine import Engine
from controller.looking import Scene, look
from controller.ports import Invariant, StaleEpoch, Unavailable
from controller.surroundings import all_demands, observe, scene_after_event
from controller.surroundings import lifecycles as lifecycles
from controller.surroundings import longest_silence as longest_silence
from controller.surroundings import open_batches as open_batches
from controller.surroundings import scene_of as scene_of


@dataclass(slots=True)
class Pass:
    """What one pass of one batch has already tried: each thing is tried once, then left to the next."""

    demands: Sequence[Demand] | None = None
    tried: set[tuple[object, ...]] = field(default_factory=set)
    steps: int = 0
    unavailable: Exception | None = None
    """Why the world can't be reached: nothing more is begun."""
    unanswered: list[tuple[Attempt, Unavailable]] = field(default_factory=list)
    """Attempts whose step got no answer: whether that is their own ill is not yet known."""
    owed: set[str] = field(default_factory=set)
    """Ended attempts whose retry is planned and not yet recorded: their places remember it."""

    def first_time(self, step: Step) -> bool:
        """Whether this very step was not yet tried in this pass."""
        key = _key(step)
        if key in self.tried:
            return False
        self.tried.add(key)
        return True


def _key(step: Step) -> tuple[object, ...]:
    match step:
        case MoveJob(reason, job, move):
            return ("job", job.id, move.act, reason)
        case CheckForeign(_, thing):
            return ("foreign", thing.uid)
        case Retry(_, chain, _):
            return ("retry", chain[-1].id)
        case Submit(_, job, _):
            return ("submit", job.id)
        case Claim(_, places):
            return ("claim", tuple((job.id, slot) for job, slot in places))
        case Leave(_, jobs):
            return ("leave", tuple(job.id for job in jobs))
        case Remember(_, told):
            return ("remember", *(topic for topic, _ in told))
        case CountForeign(_, objects):
            return ("count", tuple(thing.uid for thing in objects))
        case _:
            return (type(step).__name__,)


# ------------------------------------------------------------------------------------------ full pass


async def all_batches(engine: Engine) -> int:
    """Every unfinished batch, from one complete look at the cluster; returns the steps taken.

    Raises ``Unavailable`` when the store or the whole cluster can't be read: then nothing was decided,
    and ``StaleEpoch`` when another controller has taken the lead since: its stamps refuse every write
    of this one, so this one would go on for ever without effect.
    """
    engine.must_lead()
    if (newest := await engine.store.epoch()) > engine.epoch:
        raise StaleEpoch(f"epoch {newest} was minted after this controller's {engine.epoch}")
    remembered = engine.remembered()
    batches = await open_batches(engine)
    ids = [batch.id for batch in batches]
    gates = await engine.store.gates(ids)
    if any(gate.epoch < engine.epoch for gate in gates.values()):
        await engine.store.stamp(engine.epoch)  # a batch that came since: no earlier leader may claim in it
    read_at = engine.clock.monotonic()
    records = await _holders(engine, gates)
    namespaces = sorted({batch.namespace for batch in batches})
    observation = await observe(engine, namespaces, ids) if namespaces else None
    scene = replace(
        await scene_of(engine, batches), observation=observation, demands=await all_demands(engine)
    )
    engine.names = scene.prefixes
    steps = 0
    for batch in batches:
        if batch.id not in gates:
            continue  # its intake is between its two writes, or stopped there; intake goes on
        held = (read_at, records.get(batch.id, ()))
        steps += await _guarded_pass(engine, batch, gates[batch.id], scene, held)
    engine.forget(remembered - {batch.id for batch in batches})
    return steps


async def _holders(engine: Engine, gates: Mapping[str, Gate]) -> dict[str, list[Attempt]]:
    ids = [holder.job for gate in gates.values() for holder in gate.holders]
    records: dict[str, list[Attempt]] = {}
    for job in await engine.store.jobs(ids) if ids else ():
        records.setdefault(job.batch_id, []).append(job)
    return records


# ------------------------------------------------------------------------------------ after an event


async def one_batch(engine: Engine, batch_id: str, focus: frozenset[str] | None) -> int:
    """One batch, from news of its objects (``focus``: which) or because somebody asked (None: all)."""
    engine.must_lead()
    (batch, gate), halts = await asyncio.gather(_as_it_stands(engine, batch_id), engine.store.halts())
    if batch is None or gate is None:
        return 0
    scene = await scene_after_event(engine, batch, halts, focus)
    return await _guarded_pass(engine, batch, gate, scene, None)


async def _as_it_stands(engine: Engine, batch_id: str) -> tuple[Batch | None, Gate | None]:
    batch, gates = await asyncio.gather(engine.store.batch(batch_id), engine.store.gates([batch_id]))
    return batch and engine.counted(batch), gates.get(batch_id)


async def _guarded_pass(
    engine: Engine,
    batch: Batch,
    gate: Gate,
    scene: Scene,
    records: tuple[float, Sequence[Attempt]] | None,
) -> int:
    """One batch's pass; a batch that fails in an unforeseen way is left alone, the others go on."""
    item = f"batch:{batch.id}"
    if engine.sick.rests(item, engine.clock.monotonic()):
        return 0
    trial = Pass(scene.demands)
    async with engine.locks[batch.id], engine.guarded(item, batch=batch.name):
        if gate.cancel:  # it may be done since it was read, and a retry be in line: that is not withdrawn
            batch_now, gate_now = await _as_it_stands(engine, batch.id)
            batch, gate = batch_now or batch, gate_now or gate
        await _rounds(engine, batch, gate, scene, records, trial)
    await engine.flush_counts(batch.id)
    if trial.unavailable:
        engine.journal.trouble("pass", trial.unavailable, batch=batch.name)
    return trial.steps


async def _rounds(
    engine: Engine,
    batch: Batch,
    gate: Gate,
    scene: Scene,
    records: tuple[float, Sequence[Attempt]] | None,
    trial: Pass,
) -> None:
    """Look, plan, act, until nothing more follows from what is known or the cluster can't be reached."""
    for _ in range(engine.settings.max_rounds):
        allowance = await allowance_of(engine, batch, gate, scene.demands)
        view = await look(engine, batch, gate, scene, allowance, records)
        planned = plan(view, engine.jitter)
        telling.forget_idle_places(engine, view)
        trial.owed = {step.chain[-1].id for step in planned if isinstance(step, Retry)}
        steps = [step for step in planned if trial.first_time(step)]
        if not steps or not await act(engine, view, steps, trial) or trial.unavailable:
            return
        again, its_gate = await _as_it_stands(engine, batch.id)
        if again is None or its_gate is None:
            return
        batch, gate, records = again, its_gate, None


# ----------------------------------------------------------------------------------------------- act


async def act(engine: Engine, view: View, steps: Sequence[Step], trial: Pass) -> bool:
    """Take the steps in the plan's order, independent attempts side by side. True: something changed.

    Nothing waits for an ended object's time to live to be set: it is set beside what follows the ends.
    """
    first = (Remember, CountForeign, CheckForeign, LookForOthers, HoldBatch, WithdrawWaiting)
    before = [step for step in steps if isinstance(step, first)]
    moves = [step for step in steps if isinstance(step, (MoveJob, Submit)) and not _expires(step)]
    after = [step for step in steps if isinstance(step, (Retry, Leave, Claim, MoveBatch))]
    expiries = [step for step in steps if _expires(step)]
    changed = await _one_by_one(engine, view, before, trial)
    changed |= await _side_by_side(engine, view, moves, trial)
    followed, _ = await asyncio.gather(
        _one_by_one(engine, view, after, trial), _side_by_side(engine, view, expiries, trial)
    )
    return changed | followed


def _expires(step: Step) -> bool:
    return isinstance(step, MoveJob) and step.move.act is Act.EXPIRE


async def _one_by_one(engine: Engine, view: View, steps: Sequence[Step], trial: Pass) -> bool:
    """Each after the one before it; an unavailable world ends the row."""
    changed = False
    for step in steps:
        if trial.unavailable:
            break
        changed |= await _one(engine, view, step, trial)
    return changed


async def _side_by_side(engine: Engine, view: View, steps: Sequence[Step], trial: Pass) -> bool:
    limit = asyncio.Semaphore(engine.settings.concurrency)

    async def one(step: Step) -> bool:
        async with limit:
            return await _one(engine, view, step, trial)

    # Whatever ends one of them: none may go on by itself, outside this pass.
    ends = await asyncio.gather(*(one(step) for step in steps), return_exceptions=True)
    for end in ends:
        if isinstance(end, BaseException):
            raise end
    await _whose_ill(engine, view, trial)
    return any(ends)


async def _whose_ill(engine: Engine, view: View, trial: Pass) -> None:
    """Steps that got no answer: an outage ends the pass, a sick item costs one item; a look tells which.

    A webhook that fails for one object's create answers 500 for as long as it likes, while everything else
    can be read: the others go on, and the next pass asks again for that one.
    """
    if not trial.unanswered or trial.unavailable:
        return
    job, error = trial.unanswered[-1]
    trial.unanswered.clear()
    try:
        await engine.store.epoch()
        await live_sight(engine, job)
    except Unavailable:
        trial.unavailable = error
    else:
        engine.journal.trouble("step", error, batch=view.batch.name, job=job.name)


async def _one(engine: Engine, view: View, step: Step, trial: Pass) -> bool:
    """One step under its guard: an unavailable world stops the rounds, a sick item rests alone."""
    item = _item(step)
    if engine.sick.rests(item, engine.clock.monotonic()):
        return False
    trial.steps += 1
    changed = False
    try:
        async with engine.guarded(item, batch=view.batch.name, reason=step.reason.value):
            changed = await _take(engine, view, step, trial)
    except StaleEpoch:
        raise
    except Unavailable as error:
        if isinstance(step, (MoveJob, Submit)):
            trial.unanswered.append((step.job, error))
        else:
            trial.unavailable = error
    return changed


def _item(step: Step) -> str:
    match step:
        case MoveJob(_, job, _) | Submit(_, job, _):
            return f"job:{job.id}"
        case _:
            return f"step:{_key(step)[:2]}"


async def _take(engine: Engine, view: View, step: Step, trial: Pass) -> bool:
    match step:
        case MoveJob(reason, job, move):
            changed = await carry_out(engine, view, job, move)
            return changed and not (reason is Reason.STARTED and job.stop is None)  # it runs: that is all
        case Submit(_, job, slot):
            return await submit(engine, view, job, slot)
        case Claim(_, places):
            return await _claim(engine, view, places, trial)
        case Retry(_, chain, _):
            recorded = await _retry(engine, view, step)
            trial.owed.discard(chain[-1].id)
            return recorded
        case Leave(_, jobs):
            leaving = [job for job in jobs if job.id not in trial.owed]
            if leaving:
                await engine.store.leave(view.batch.id, [job.id for job in leaving])
                telling.retries_ended(engine, view, leaving)
            return bool(leaving)
        case _:
            return await take_for_batch(engine, view, step)


async def _claim(engine: Engine, view: View, places: Sequence[tuple[Attempt, int]], trial: Pass) -> bool:
    """One guarded update takes the places; each attempt then goes its own way."""
    async with engine.claims:
        # Another batch may have taken places since this one was planned.
        others = await held_now(engine, trial.demands) if trial.demands else None
        places = places[: (await allowance_of(engine, view.batch, view.gate, others)).places]
        if not places:
            return False
        taken = await engine.store.claim(
            view.batch.id, [(job.id, slot) for job, slot in places], engine.epoch
        )
    if not taken:
        engine.journal.said("claim-refused", batch=view.batch.name, asked=len(places))
        return True  # the gate moved on since it was read: look again
    engine.pacer.take(len(places))
    await _side_by_side(engine, view, [Submit(Reason.PLACE_FREE, job, slot) for job, slot in places], trial)
    telling.places_taken(engine, view, len(places))
    return True


async def _retry(engine: Engine, view: View, step: Retry) -> bool:
    """Step 1: the child's record. A duplicate key means that somebody else has recorded it: go on."""
    now = await engine.store.now()  # repair judges its age by that clock
    child = new_child(step.chain, step.decision, id=engine.store.new_id(), now=now)
    (added,) = await engine.store.add_jobs([child])
    if not added:
        await _check_name(engine, view, child)
        return True
    engine.tally(None, child)
    engine.journal.retried(step.chain[-1], child)
    await lifecycle.complete(engine.store, [child])
    return True


async def _check_name(engine: Engine, view: View, child: Attempt) -> None:
    """Say it when the retry is missing because a job of another batch has its name."""
    other = await engine.store.job_named(child.namespace, child.name)
    if other is not None and other.batch_id != child.batch_id:
        facts = {"batch": view.batch.name, "job": child.name, "by": other.batch_id}
        engine.journal.violated(Invariant.RETRY_NAME_TAKEN, **facts)


# --------------------------------------------------------------------------------------- afterwards


async def next_wake(engine: Engine, batch_id: str, now: datetime) -> float | None:
    """Seconds until something of this batch falls due by itself, as far as the store knows."""
    due = await engine.store.next_due(batch_id, now)
    return max(0.0, (due - now).total_seconds()) if due else None
