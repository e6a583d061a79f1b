"""Rules about what happened in the cluster: starts, deletes, and what is not ours."""

from __future__ import annotations

from collections.abc import Iterator

from controller.core.model import Attempt, Status
from tests.oracle.history import Deed, Happened, Side
from tests.oracle.invariants import Broken, Invariant
from tests.oracle.rules_gate import ABOUT_OTHERS
from tests.oracle.state import State, Thing


def judge_deed(state: State, entry: Happened) -> Iterator[Broken]:
    """One event of an object, before it is taken in."""
    if entry.deed is Deed.CREATED and entry.job_id and not entry.orphan:
        yield from _created(state, entry)
    if entry.deed in (Deed.DELETE, Deed.EXPIRE) and entry.ours:
        yield from _touched(state, entry)
    if entry.ours and entry.deed in (Deed.CREATED, Deed.BURIED, Deed.DELETE):
        since = state.out.get(Side.STORE)
        if since is not None and entry.at - since > state.facts.patience:
            what = f"{entry.name}: {entry.deed} {entry.at - since} into an outage of the store"
            yield Invariant.OUTAGE, what


def _created(state: State, entry: Happened) -> Iterator[Broken]:
    job = state.jobs.get(entry.job_id)
    if job is None:
        yield Invariant.STRANGER, f"{entry.name} was created for {entry.job_id}, which has no record"
        return
    task = state.task(job)
    kept = _was_taken_away(state, job)
    others = [thing for attempt in task for thing in state.objects(attempt) if thing.uid != entry.uid]
    alive = [f"{thing.name} ({thing.uid})" for thing in others if thing.live and not _lingers(thing, job)]
    if job.status.terminal and not kept:
        yield Invariant.AFTER_END, f"{job.name} started after its record was {job.status}"
    elif not job.status.active and not kept:
        yield Invariant.ORDER, f"{job.name} started while its record is {job.status}"
    if not job.open_creates and job.status.active:
        yield Invariant.TOKEN, f"{job.name} was created, and its record has no open create"
    if alive and not kept:
        yield Invariant.ONE_LIVE, f"{job.name} ({entry.uid}) started beside {alive}"
    succeeded = [thing for thing in others if thing.success and not _forgotten(state, thing)]
    if any(not (thing.touched or thing.cut_short) for thing in succeeded) and not kept:
        yield Invariant.COMPLETED_AGAIN, f"{job.name} started, and its task had succeeded already"
    for earlier in task:
        if earlier.attempt < job.attempt and not earlier.status.terminal:
            what = f"{job.name} started while {earlier.name} is {earlier.status}"
            yield Invariant.ORDER, what
    gate = state.gates.get(job.batch_id)
    under_way = job.batch_id in state.bereft and gate and gate.hold.startswith(ABOUT_OTHERS)  # since before
    without = gate and job.id not in {holder.job for holder in gate.holders}
    if job.status.active and without and not under_way:
        yield Invariant.PLACES, f"{job.name} started without a place in the gate"


def _forgotten(state: State, thing: Thing) -> bool:
    """Its record waited since the store was set back, and was withdrawn: no retry is told of its success."""
    job = state.jobs.get(thing.job_id)
    return thing.orphan and job is not None and job.status is Status.TERMINATED and job.created is None


def _was_taken_away(state: State, job: Attempt) -> bool:
    """A third party deleted what kept the name of an attempt that has ended, or of one that nobody knows to
    have begun: nothing could help. Whoever recorded the end may have looked a while before."""
    known = state.entered[job.id] - state.facts.patience
    hands = [thing.touched for thing in state.by_job[job.id] if thing.touched]
    return not job.status.active and any(job.status is Status.WAITING or at >= known for at in hands)


def _lingers(thing: Thing, job: Attempt) -> bool:
    """A third party deleted it and its pod runs on, and a create of the same attempt lands on its name."""
    return bool(thing.touched) and thing.job_id == job.id


def _touched(state: State, entry: Happened) -> Iterator[Broken]:
    thing = state.things.get(entry.uid)
    if thing is None or not thing.job_id:
        name = thing.name if thing else entry.name
        yield Invariant.STRANGER, f"{name} ({entry.uid}) is not ours: {entry.deed}"
        return
    job = state.jobs.get(thing.job_id)
    if job is None:
        yield Invariant.STRANGER, f"{thing.name} has no record: {entry.deed}"
    elif entry.deed is Deed.DELETE:
        yield from _deleted(state, thing, job)
    elif not job.status.terminal:
        yield Invariant.UNORDERED, f"{thing.name} may expire, and its record is {job.status}"


def _deleted(state: State, thing: Thing, job: Attempt) -> Iterator[Broken]:
    """By an order, which a withdrawal of a record that was set back is too; or what should not be there."""
    ghost = job.status.terminal and thing.live
    if job.stop is None and not ghost and not _forgotten(state, thing):
        yield Invariant.UNORDERED, f"{thing.name} was deleted; its record is {job.status}, no stop is set"
    if job.status is Status.COMPLETED and not thing.live:
        yield Invariant.UNORDERED, f"{thing.name} was deleted, and it is the result of a completed job"
