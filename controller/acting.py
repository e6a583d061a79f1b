"""Acting: the steps of one batch's plan, in an order in which each may be the last before a crash.

Called by ``reconcile`` after each plan. Attempts move side by side, then retries are recorded, then places
change hands, and last the batch itself moves. What each step does stands in ``deeds`` and ``batch_deeds``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from controller import counting, lifecycle
from controller.allowance import allowance_now
from controller.batch_deeds import take_for_batch
from controller.core.decide import Act, Reason
from controller.core.model import Attempt, Gate, Status
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
    once_gone,
)
from controller.core.retry import new_child
from controller.core.sharing import Demand
from controller.core.view import View
from controller.deeds import carry_out, free_hands, submit, with_chains
from controller.engine import Engine
from controller.ports import Invariant, StaleEpoch, Unavailable

LONG_AGO = 1.0
"""Seconds after which what was read of halts and of a gate is read again before anything starts by it."""
SENT_BY_THEN = 3
"""Turns of the event loop after which what was begun side by side has been sent; for speed only."""


@dataclass(slots=True)
class Pass:
    """What one pass of one batch has already tried: each thing is tried once, then left to the next."""

    demands: Sequence[Demand] | None = None
    epoch: int | None = None
    """By which it was begun: in another term it is nothing to go by."""
    looked: float = 0.0
    """The monotonic instant at which this round began to act."""
    tried: set[tuple[object, ...]] = field(default_factory=set)
    steps: int = 0
    unavailable: Exception | None = None
    """Why the world can't be reached: nothing more is begun."""
    unanswered: list[tuple[Attempt, Unavailable]] = field(default_factory=list)
    """Attempts whose step got no answer: whether that is their own ill is not yet known."""
    ill: dict[str, Unavailable] = field(default_factory=dict)
    """By id: attempts whose own ill it was."""
    owed: set[str] = field(default_factory=set)
    """Ended attempts whose retry is planned and not yet recorded: their places remember it."""
    leaving: tuple[Attempt, ...] = ()
    """Ended attempts whose retries are recorded: the next write of the gate gives their places up."""
    gate: Gate | None = None
    """The gate as this pass's last write left it; None: to be read again."""
    ahead: Sequence[Attempt] = ()
    """The first who wait, read while ends were being recorded, for the places that these free."""

    def first_time(self, step: Step) -> bool:
        """Whether this very step was not yet tried in this pass."""
        key = _key(step)
        if key in self.tried:
            return False
        self.tried.add(key)
        return True

    def not_now(self, step: Step) -> None:
        """It was not tried after all."""
        self.tried.discard(_key(step))


def _key(step: Step) -> tuple[object, ...]:
    match step:
        case MoveJob(reason, job, move):
            return ("job", job.id, job.status, move.act, reason)
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
        case MoveBatch(_, move):
            return ("batch", move.status)
        case _:
            return (type(step).__name__,)


async def act(engine: Engine, view: View, steps: Sequence[Step], trial: Pass) -> bool:
    """Take the steps in the plan's order, independent attempts side by side. True: something changed.

    Nothing waits for an ended object's time to live to be set, but the batch's own end: nobody looks at a
    closed batch again. Nobody starts by what was seen before a long wait: then it is looked again.
    """
    first = (Remember, CountForeign, CheckForeign, LookForOthers, HoldBatch, WithdrawWaiting)
    before = [step for step in steps if isinstance(step, first)]
    moves = _moves(engine, view, steps, trial)
    retries = [step for step in steps if isinstance(step, Retry)]
    places = [step for step in steps if isinstance(step, (Leave, Claim))]
    last = [step for step in steps if isinstance(step, MoveBatch)]
    for step in steps:
        if isinstance(step, MoveJob) and _expires(step):
            engine.expiries.note(view, step, engine.clock.monotonic())
    trial.looked = engine.clock.monotonic()
    changed = await _one_by_one(engine, view, before, trial)
    changed |= await _with_read_ahead(engine, view, moves, trial)
    changed |= await _one_by_one(engine, view, retries, trial)
    changed |= await _hand_over(engine, view, places, trial)
    if any(step.move.status.closed for step in last):
        trial.unavailable = await let_expire(engine, view.batch.id) or trial.unavailable
    return changed | await _one_by_one(engine, view, last, trial)


def _moves(engine: Engine, view: View, steps: Sequence[Step], trial: Pass) -> list[MoveJob | Submit]:
    """The attempts' moves; of half-taken places only those for whose creates there is a hand: the others are
    looked at when there is one."""
    free, moves = free_hands(engine, view.batch.id), list[MoveJob | Submit]()
    for step in steps:
        if isinstance(step, Submit):
            if free <= 0:
                trial.not_now(step)
                engine.posts.wanting[view.batch.id] = None
                continue
            free -= 1
        elif not isinstance(step, MoveJob) or _expires(step):
            continue
        moves.append(step)
    return moves


async def _with_read_ahead(
    engine: Engine, view: View, moves: Sequence[MoveJob | Submit], trial: Pass
) -> bool:
    """The attempts' moves; while ends among them are recorded, who comes next is read.

    Whoever is claimed is claimed by guarded writes: a line that has moved on since costs a look.
    """
    ends = sum(isinstance(step, MoveJob) and step.move.act is Act.END for step in moves)
    steps = [(view, step) for step in moves]
    trial.ahead = ()
    if not ends or not view.gate.open or view.halts.retries or view.halts.submissions:
        return await _side_by_side(engine, steps, trial)
    line = asyncio.create_task(_line(engine, view, ends))
    try:
        changed = await _side_by_side(engine, steps, trial)
        trial.ahead = await line
    finally:
        line.cancel()
    return changed


async def _line(engine: Engine, view: View, ends: int) -> Sequence[Attempt]:
    """Nobody, where it can't be read: whoever needs it reads it again.

    The ends are sent first: it is their journal that a refill waits for.
    """
    for _ in range(SENT_BY_THEN):
        await asyncio.sleep(0)
    try:
        room = ends + max(0, view.gate.free)
        return await engine.store.waiting(view.batch.id, room, engine.now())
    except Unavailable:
        return ()


def _writes(step: Step) -> bool:
    return isinstance(step, MoveJob) and step.move.act is Act.WRITE


def _expires(step: Step) -> bool:
    return isinstance(step, MoveJob) and step.move.act is Act.EXPIRE


async def _hand_over(engine: Engine, view: View, steps: Sequence[Leave | Claim], trial: Pass) -> bool:
    """Places go from what has ended to what comes next, where both are known in one write."""
    leave = next((step for step in steps if isinstance(step, Leave)), None)
    claim = next((step for step in steps if isinstance(step, Claim)), None)
    ended = leave.jobs if leave else ()
    trial.leaving = tuple(job for job in ended if job.id not in trial.owed)
    late = False
    if claim is not None and engine.clock.monotonic() - trial.looked > LONG_AGO:  # logs were waited for, say
        trial.not_now(claim)
        claim, late = None, True
    if claim is not None and len(trial.leaving) < len(ended):
        claim = once_gone(claim, view.gate, trial.leaving)
    changed = late | await _one_by_one(engine, view, [claim] if claim else [], trial)
    if leave and trial.leaving:  # no claim has taken them out with it
        changed |= await _one_by_one(engine, view, [leave], trial)
    return changed


async def let_expire(engine: Engine, batch_id: str, most: int | None = None) -> Exception | None:
    """Keep the logs of ended objects and set their times to live, of all that are noted or of so many; why
    some are to be asked again, if so."""
    async with engine.expiries.locks[batch_id]:
        trial, due = Pass(), engine.expiries.take(batch_id, most)
        await _side_by_side(engine, [(each.view, each.step) for each in due], trial)
        if trial.unavailable is None:
            due = engine.expiries.to_try_again(due, trial.ill)
        engine.expiries.keep(due)
        return trial.unavailable or (trial.ill[due[-1].step.job.id] if due else None)


async def _one_by_one(engine: Engine, view: View, steps: Sequence[Step], trial: Pass) -> bool:
    """Each after the one before it; an unavailable world ends the row."""
    changed = False
    for step in steps:
        if trial.unavailable:
            break
        changed |= await _one(engine, view, step, trial)
    return changed


async def _side_by_side(engine: Engine, steps: Sequence[tuple[View, Step]], trial: Pass) -> bool:
    """Each for itself; those that ask the cluster first of all, so many at a time."""
    if not steps:
        return False
    limit = asyncio.Semaphore(engine.settings.concurrency)

    async def one(view: View, step: Step) -> bool:
        if isinstance(step, Submit) or _writes(step):
            return await _one(engine, view, step, trial)  # all of them are written in one go
        async with limit:
            changed = not trial.unavailable and await _one(engine, view, step, trial)
        if len(trial.unanswered) >= engine.settings.concurrency:  # the others are not to wait for nothing
            await _whose_ill(engine, view, trial)
        return changed

    # Whatever ends one of them: none may go on by itself, outside this pass.
    ends = await asyncio.gather(*(one(view, step) for view, step in steps), return_exceptions=True)
    for end in ends:
        if isinstance(end, BaseException):
            raise end
    await _whose_ill(engine, steps[-1][0], trial)
    return any(ends)


async def _whose_ill(engine: Engine, view: View, trial: Pass) -> None:
    """Steps that got no answer: an outage ends the pass, a sick item costs one item; a look tells which.

    A webhook that fails for one object's create answers 500 for as long as it likes, while everything else
    can be read: the others go on, and the next pass asks again for that one. What was taken over may be of a
    kind that is served no more: a job of ours by its name can always be asked for.
    """
    if not trial.unanswered or trial.unavailable:
        return
    job, error = trial.unanswered[-1]
    ill = {job.id: error for job, error in trial.unanswered}
    trial.unanswered.clear()
    try:
        await engine.store.epoch()
        await engine.cluster.get(job.namespace, job.name, job.id)
    except Unavailable:
        trial.unavailable = error
    else:
        trial.ill |= ill
        engine.journal.trouble("step", error, batch=view.batch.name, job=job.name)


async def _one(engine: Engine, view: View, step: Step, trial: Pass) -> bool:
    """One step under its guard: an unavailable world stops the rounds, a sick item rests alone."""
    item = _item(view, step)
    if engine.sick.rests(item, engine.clock.monotonic()):
        return False
    trial.steps += 1
    changed = False
    engine.must_lead(trial.epoch)
    try:
        with engine.guarded(item, batch=view.batch.name, reason=step.reason.value):
            changed = await _take(engine, view, step, trial)
    except StaleEpoch:
        raise
    except Unavailable as error:
        if isinstance(step, (MoveJob, Submit)):
            trial.unanswered.append((step.job, error))
        else:
            trial.unavailable = error
    return changed


def _item(view: View, step: Step) -> str:
    match step:
        case MoveJob(_, job, _) | Submit(_, job, _):
            return f"job:{job.id}"
        case _:
            return f"step:{view.batch.id}:{_key(step)[:2]}"


async def _take(engine: Engine, view: View, step: Step, trial: Pass) -> bool:
    match step:
        case MoveJob(reason, job, move):
            if move.act is Act.LOOK:
                engine.known.get(job.batch_id, {}).pop(job.id, None)  # it reads the record itself
            changed = await carry_out(engine, view, job, move)
            if move.act in (Act.LOOK, Act.GHOST) or _failed(engine, job):
                trial.gate = None  # a ghost has entered it; or a retry is planned, unless there is a cancel
            return changed and not (reason is Reason.STARTED and job.stop is None)  # it runs: that is all
        case Submit(_, job, slot):
            changed = await submit(engine, view, job, slot)
            if _failed(engine, job):
                trial.gate = None  # it was refused: the same
            return changed
        case Claim(_, places):
            return await _claim(engine, view, places, trial)
        case Retry(_, chain, _):
            recorded = await _retry(engine, view, step)
            trial.owed.discard(chain[-1].id)
            return recorded
        case Leave():
            trial.gate = await engine.store.leave(view.batch.id, [job.id for job in trial.leaving])
            _have_left(engine, view, trial)
            return True
        case _:
            trial.gate = None
            return await take_for_batch(engine, view, step)


def _failed(engine: Engine, job: Attempt) -> bool:
    after = engine.known.get(job.batch_id, {}).get(job.id)
    return after is not None and after.status in (Status.ERROR, Status.TERMINATED)


async def _claim(engine: Engine, view: View, places: Sequence[tuple[Attempt, int]], trial: Pass) -> bool:
    """One guarded update takes the places; each attempt then goes its own way."""
    view = await with_chains(engine, view, [job for job, _ in places])
    async with engine.claims:
        free = free_hands(engine, view.batch.id)
        if free < len(places):
            engine.posts.wanting.setdefault(view.batch.id, frozenset())
            places = places[:free]
        places = places[: (await allowance_now(engine, view.batch, view.gate, trial.demands)).places]
        if not places:
            return False
        asked = [(job.id, slot) for job, slot in places]
        leaving = [job.id for job in trial.leaving]
        trial.gate = await engine.store.claim(view.batch.id, asked, engine.epoch, leaving)
    if trial.gate is None:
        engine.journal.said("claim-refused", batch=view.batch.name, asked=len(places))
        return True  # the gate moved on since it was read: look again
    _have_left(engine, view, trial)
    engine.pacer.take(len(places))
    submits = [(view, Submit(Reason.PLACE_FREE, job, slot)) for job, slot in places]
    counting.places_taken(engine, view, [job for job, _ in places])
    try:
        await _side_by_side(engine, submits, trial)
    finally:
        for job, _ in places:
            if not engine.posts.under_way(job.id):
                counting.refilled(engine, job.id)
    return True


async def _retry(engine: Engine, view: View, step: Retry) -> bool:
    """Step 1: the child's record. A duplicate key means that somebody else has recorded it: go on."""
    now = await engine.store.now()  # repair judges its age by that clock
    child = new_child(step.chain, step.decision, id=engine.store.new_id(), now=now)
    (added,) = await engine.store.add_jobs([child])
    if not added:
        await _check_name(engine, view, child)
        return True
    engine.counts.add(None, child)
    engine.journal.retried(step.chain[-1], child)
    done = await lifecycle.complete(engine.store, [child])
    lifecycle.tell_unlisted(engine, [child], done)
    return True


def _have_left(engine: Engine, view: View, trial: Pass) -> None:
    ended, trial.leaving = trial.leaving, ()
    counting.retries_ended(engine, view, ended)


async def _check_name(engine: Engine, view: View, child: Attempt) -> None:
    """Say it when the retry is missing because a job of another batch has its name."""
    other = await engine.store.job_named(child.namespace, child.name)
    if other is not None and other.batch_id != child.batch_id:
        facts = {"batch": view.batch.name, "job": child.name, "by": other.batch_id}
        engine.journal.violated(Invariant.RETRY_NAME_TAKEN, **facts)
