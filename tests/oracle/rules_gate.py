"""Rules about one revision of a gate: places, foreign objects, and whose hand it was."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from controller.core.model import Gate, Holder, Status
from tests.oracle.history import Written
from tests.oracle.invariants import Broken, Invariant
from tests.oracle.rules_batch import ghosts
from tests.oracle.state import State

ABOUT_OTHERS = ("looking", "adoption-needed", "adopting")
"""The holds under which what others run under a batch's names is looked at and taken over."""


def judge_gate(state: State, entry: Written) -> Iterator[Broken]:
    """One revision of a gate, before it is taken in."""
    after = entry.after
    assert isinstance(after, Gate)
    yield from _each_once(after)
    before = state.gates.get(after.batch_id)
    if before is None:
        if not after.hold.startswith("looking"):
            yield Invariant.ADOPTION, f"a gate is born with hold {after.hold!r}: nothing was looked for"
        return
    held = {holder.job for holder in before.holders}
    stay = {holder.job for holder in after.holders}
    new = [holder for holder in after.holders if holder.job not in held]
    if after.batch_id in state.bereft and before.hold.startswith(ABOUT_OTHERS):
        new = [holder for holder in new if holder.job not in state.active[after.batch_id]]  # given back
    if new and before.hold.startswith("adopting"):
        yield from _taken_over(state, before, new)
    elif new:
        yield from _claimed(state, before, after, new, entry)
    for gone in held - stay:
        if not (gone in state.jobs and state.jobs[gone].status.terminal):
            name = state.jobs[gone].name if gone in state.jobs else gone
            yield Invariant.PLACES, f"{name} left the gate before it was recorded terminal"
    yield from _dropped(state, before, after)
    yield from _opened(state, before, after)
    if after.epoch < before.epoch:
        yield Invariant.EPOCH, f"a gate's epoch went from {before.epoch} to {after.epoch}"
    if before.cancel and not after.cancel and state.active[after.batch_id]:
        names = sorted(state.jobs[job].name for job in state.active[after.batch_id])
        yield Invariant.CANCEL_LOST, f"the cancel was lifted while {names} were active"


def _each_once(after: Gate) -> Iterator[Broken]:
    slots = [holder.slot for holder in after.holders]
    jobs = [holder.job for holder in after.holders]
    if len(set(slots)) < len(slots) or len(set(jobs)) < len(jobs):
        yield Invariant.SLOT, f"a job or slot is in the gate twice: {after.holders}"


def _opened(state: State, before: Gate, after: Gate) -> Iterator[Broken]:
    """The look at what others run comes to its end: what was there before the gate is bound, and recorded."""
    if not before.hold.startswith(ABOUT_OTHERS) or after.hold.startswith(ABOUT_OTHERS) or after.cancel:
        return
    if names := state.taken_names(after.batch_id):
        yield Invariant.ADOPTION, f"the hold {before.hold!r} was lifted, and others have {names}"
    without = state.active[after.batch_id] - {holder.job for holder in after.holders}
    if without and after.batch_id in state.bereft:
        names = sorted(state.jobs[job].name for job in without)
        yield Invariant.PLACES, f"the hold {before.hold!r} was lifted, and {names} have no places"
    places = [state.jobs[one.job] for one in after.holders if one.uid and one.job in state.jobs]
    if half := [job.name for job in places if job.status is Status.WAITING]:
        yield Invariant.ADOPTION, f"the hold {before.hold!r} was lifted, and {half} only have their places"


def _taken_over(state: State, before: Gate, new: Sequence[Holder]) -> Iterator[Broken]:
    """Places of what others run: even above max, for a first attempt each, and for a live object by uid.

    One that somebody withdraws between the look and the place gets it for a moment, as in a claim.
    """
    if before.cancel:
        yield Invariant.GATE_SHUT, f"{len(new)} places were taken over although {before.cancel}"
    for holder in new:
        job, thing = state.jobs.get(holder.job), state.things.get(holder.uid)
        name = job.name if job else holder.job
        withdrawn = job is not None and job.status is Status.TERMINATED and job.created is None
        if job is None or job.attempt or not (job.status is Status.WAITING or withdrawn):
            yield Invariant.ADOPTION, f"{name} got a place, and is {job and job.status}"
        elif holder.uid and (thing is None or thing.job_id or thing.name != job.name):
            yield Invariant.ADOPTION, f"{name} got a place for {thing and thing.name} ({holder.uid})"


def _claimed(
    state: State, before: Gate, after: Gate, new: Sequence[Holder], entry: Written
) -> Iterator[Broken]:
    names = [state.jobs[holder.job].name for holder in new if holder.job in state.jobs]
    yield from _bounded(state, after, names, entry.at)
    if before.paused or before.hold or before.cancel:
        shut = f"paused={before.paused} hold={before.hold!r} cancel={before.cancel}"
        yield Invariant.GATE_SHUT, f"{names} took places although {shut}"
    if entry.writer is not None and entry.writer < before.epoch:
        yield Invariant.EPOCH, f"epoch {entry.writer} took places in a gate stamped {before.epoch}"
    yield from _by_the_leader(state, after, names, new, entry.at)


def _bounded(state: State, after: Gate, names: Sequence[str], at: datetime) -> Iterator[Broken]:
    """Invariant 1, counted thrice: by the gate, by the records, by the objects that are there."""
    n, m = len(after.holders), len(after.foreign)
    if n + m > after.max:
        yield Invariant.PLACES, f"{names} started: {n} places and {m} foreign, max {after.max}"
    held = {holder.job for holder in after.holders}
    if outside := state.active[after.batch_id] - held:
        yield (
            Invariant.PLACES,
            f"{sorted(state.jobs[job].name for job in outside)} are active without a place",
        )
    since = at - state.facts.list_age - state.facts.patience
    uids = after.counted
    things = (*state.foreign(after.batch_id, since), *ghosts(state, after.batch_id, since))
    uncounted = [thing.name for thing in things if thing.uid not in uids]
    if uncounted and len(after.holders) + len(after.foreign) + len(uncounted) > after.max:
        yield Invariant.FOREIGN_COUNTED, f"{names} started beside {uncounted}, which nobody counted"


def _by_the_leader(
    state: State, after: Gate, names: Sequence[str], new: Sequence[Holder], at: datetime
) -> Iterator[Broken]:
    """What only the leader's plan holds back: halts, limits over batches, an outage."""
    facts = state.facts
    halted = state.halted.get("submissions")
    if halted is not None and at - halted > facts.patience:
        yield Invariant.GATE_SHUT, f"{names} took places {at - halted} after submissions were halted"
    retries = state.halted.get("retries")
    if retries is not None and at - retries > facts.patience:
        auto = [
            state.jobs[h.job].name for h in new if h.job in state.jobs and state.jobs[h.job].origin == "auto"
        ]
        if auto:
            yield Invariant.GATE_SHUT, f"{auto} took places {at - retries} after retries were halted"
    since = state.blind_since(state.parents[after.batch_id].batch.namespace)
    if since is not None and at - since > facts.list_age + facts.patience:
        yield Invariant.OUTAGE, f"{names} took places {at - since} into an outage of the cluster"
    yield from _shared(state, after, names)


def _shared(state: State, after: Gate, names: Sequence[str]) -> Iterator[Broken]:
    """The operator's limits over several batches: all places, those of a namespace, those of a user."""
    facts, mine = state.facts, state.parents[after.batch_id].batch
    places = [(after.batch_id, len(after.holders))]
    places += [(other, len(gate.holders)) for other, gate in state.gates.items() if other != after.batch_id]
    held = [(state.parents[other].batch, n) for other, n in places]
    for what, limit, n in (
        ("in all batches", facts.total, sum(n for _, n in held)),
        (
            f"in namespace {mine.namespace}",
            facts.per_namespace,
            sum(n for batch, n in held if batch.namespace == mine.namespace),
        ),
        (f"of {mine.user}", facts.per_user, sum(n for batch, n in held if batch.user == mine.user)),
    ):
        if limit is not None and n > limit:
            yield Invariant.PLACES, f"{names} started: {n} {what}, the limit is {limit}"


def _dropped(state: State, before: Gate, after: Gate) -> Iterator[Broken]:
    counted = after.counted
    if twice := counted & {foreign.uid for foreign in after.foreign} & {one.uid for one in after.holders}:
        yield Invariant.ADOPTION, f"{sorted(twice)} count twice: as foreign and by a place"
    for foreign in before.foreign:
        thing = state.things.get(foreign.uid)
        if foreign.uid not in counted and thing is not None and thing.live:
            yield Invariant.FOREIGN_DROPPED, f"{foreign.name} is counted no more, and is active"
