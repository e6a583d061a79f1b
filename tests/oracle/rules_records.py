"""Rules about one revision of a record: the table, slots, the one terminal write, who may write it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import compress
from operator import attrgetter, ne

from controller.core.model import Attempt, Origin, Status, TerminatedCode, Verdict
from tests.oracle.history import Written
from tests.oracle.invariants import Broken, Invariant
from tests.oracle.state import State, Thing

_W, _C, _Q, _R = Status.WAITING, Status.CREATED, Status.QUEUED, Status.RUNNING
_OK, _ERROR, _ENDED = Status.COMPLETED, Status.ERROR, Status.TERMINATED
ADOPTED = frozenset({_Q, _R, _OK, _ERROR})
"""What a waiting first attempt may become at once, when an object of others is taken over for it."""
EDGES = frozenset(
    {(_W, _C), (_W, _ENDED), (_C, _Q), (_Q, _R)}
    | {(active, end) for active in (_C, _Q, _R) for end in (_OK, _ERROR, _ENDED)}
)
"""Every lawful move of a record's status."""
FROZEN = ("status", "exit_code", "verdict", "finished", "slot", "terminated_code", "stop")
"""What never changes once a record is terminal."""
ANYONES = frozenset({"stop", "no_retry", "retry_ids", "retry_toggle", "not_before", "updated", "reason"})
"""What a request may change; everything else is a leader's decision."""
IDENTITY = ("batch_id", "task_id", "attempt", "name", "namespace", "job_input", "origin", "retry_parent")

_FIELDS = attrgetter(*Attempt.__slots__)


def changed_fields(before: Attempt, after: Attempt) -> set[str]:
    """The names of the fields that differ."""
    return set(compress(Attempt.__slots__, map(ne, _FIELDS(before), _FIELDS(after))))


def judge_record(state: State, entry: Written) -> Iterator[Broken]:
    """One revision of an attempt, before it is taken in."""
    after = entry.after
    assert isinstance(after, Attempt)
    before = state.jobs.get(after.id)
    yield from _slot(state, after)
    if before is None:
        return
    changed = changed_fields(before, after)
    taken_over = before.status is _W and bool(after.kind)
    if taken_over:
        yield from _adopted(state, before, after, entry)
        changed -= {"origin", "kind"}
    elif "kind" in changed:
        yield Invariant.TABLE, f"{after.name}: kind changed from {before.kind!r} to {after.kind!r}"
    yield from _table(before, after, changed, EDGES | {(_W, to) for to in ADOPTED if taken_over})
    yield from _epoch(before, entry, changed)
    if before.status is _W and after.status is _C:
        yield from _claimed(state, before, after, entry.at)
    if not before.status.terminal and after.status.terminal and before.status is not _W:
        yield from _ended(state, before, after, entry.at)
        yield from _followed(state, after)
    yield from _ordered(state, before, after, changed, entry.at)
    if "stop" in changed and after.stop and after.kind:
        yield Invariant.STRANGER, f"{after.name} is not ours, and {after.stop.by} ordered it to stop"
    if "stop" in changed and after.stop and after.stop.code is TerminatedCode.AUTOMATION:
        yield from _reaped(state, before, entry.at)


def _ordered(
    state: State, before: Attempt, after: Attempt, changed: set[str], at: datetime
) -> Iterator[Broken]:
    """An order to stop is carried out once: no second one takes its place (R4), and a cancel of a whole
    batch that was over says nothing to what was asked for since."""
    coded = before.stop is not None and before.stop.code is not None
    if coded and "stop" in changed and before.status.active:
        yield Invariant.ONCE, f"{after.name} was to stop by {before.stop}, and now by {after.stop}"
    withdrawn = after.status is _ENDED and before.status is _W
    aborted = after.terminated_code if withdrawn else after.stop.code if after.stop else None
    over = state.called_off.get(after.batch_id)
    gate = state.gates.get(after.batch_id)
    if not (withdrawn or "stop" in changed) or aborted is not TerminatedCode.BATCH_ABORT or over is None:
        return
    again = gate is None or gate.cancel is None or gate.cancel == over.cancel
    if again and after.inserted > over.at and at - over.at > state.facts.patience:
        yield (
            Invariant.ONCE,
            f"{after.name} came after a cancel that was over at {over.at}, and is stopped by it",
        )


def _slot(state: State, after: Attempt) -> Iterator[Broken]:
    if (after.slot is not None) is not after.status.active:
        yield Invariant.SLOT, f"{after.name} is {after.status} with slot {after.slot}"
    if after.slot is None:
        return
    for other in state.active[after.batch_id]:
        if other != after.id and state.jobs[other].slot == after.slot:
            yield Invariant.SLOT, f"{after.name} and {state.jobs[other].name} both have slot {after.slot}"


def _table(
    before: Attempt, after: Attempt, changed: set[str], edges: frozenset[tuple[Status, Status]]
) -> Iterator[Broken]:
    if before.status is not after.status and (before.status, after.status) not in edges:
        yield Invariant.TABLE, f"{after.name} went {before.status} → {after.status}"
    if moved := changed.intersection(IDENTITY):
        yield Invariant.TABLE, f"{after.name}: {sorted(moved)} changed"
    if before.status.terminal and (moved := changed.intersection(FROZEN)):
        now = {name: str(getattr(after, name)) for name in sorted(moved)}
        yield Invariant.IMMUTABLE, f"{after.name} had ended as {before.status}, and now {now}"


def _adopted(state: State, before: Attempt, after: Attempt, entry: Written) -> Iterator[Broken]:
    """A take-over binds one object of others under the very name, truly, while nothing can start (S11)."""
    thing, gate = state.things.get(after.scheduler_id), state.gates.get(after.batch_id)
    if after.attempt or after.origin is not Origin.ADOPTED:
        yield Invariant.ADOPTION, f"{after.name} was taken over as attempt {after.attempt} by {after.origin}"
    if thing is None or thing.job_id or (thing.namespace, thing.name) != (after.namespace, after.name):
        yield Invariant.ADOPTION, f"{after.name} was bound to {thing and thing.name} ({after.scheduler_id})"
        return
    if gate is None or not gate.hold.startswith("adopting"):
        yield Invariant.ADOPTION, f"{after.name} was taken over while its gate is not held for it"
    place = {holder.job: holder for holder in gate.holders}.get(after.id) if gate else None
    if after.status.active and (place is None or (place.slot, place.uid) != (after.slot, thing.uid)):
        yield Invariant.ADOPTION, f"{after.name} is active with slot {after.slot}; its place is {place}"
    if after.status.terminal and thing.live:
        yield Invariant.ADOPTION, f"{after.name} was taken over as {after.status}, and {thing.uid} lives"
    if after.status is _OK and thing.success is False:
        yield Invariant.TRUTH, f"{after.name} is completed, and {thing.uid} did not succeed"
    if after.status is _ERROR and thing.success:
        yield Invariant.TRUTH, f"{after.name} is an error, and {thing.uid} succeeded"


def _epoch(before: Attempt, entry: Written, changed: set[str]) -> Iterator[Broken]:
    """Once a new leader has stamped a record, an older one decides nothing about it, nor starts it (R12)."""
    if entry.writer is None or before.status.terminal or entry.writer >= before.epoch:
        return
    starts = isinstance(entry.after, Attempt) and entry.after.status is _C
    if before.status is _W and not starts:
        return  # whoever may withdraw it needs no epoch
    if decided := changed - ANYONES:
        what = f"{before.name} is stamped {before.epoch}; epoch {entry.writer} changed {sorted(decided)}"
        yield Invariant.EPOCH, what


def _claimed(state: State, before: Attempt, after: Attempt, at: datetime) -> Iterator[Broken]:
    gate = state.gates.get(after.batch_id)
    place = {holder.job: holder.slot for holder in gate.holders} if gate else {}
    if gate and gate.hold.startswith(("looking", "adopting", "adoption-needed")):
        yield Invariant.GATE_SHUT, f"{after.name} was claimed while its gate says {gate.hold!r}"
    if place.get(after.id) != after.slot:
        yield Invariant.PLACES, f"{after.name} took slot {after.slot}; its place is {place.get(after.id)}"
    if before.not_before and at < before.not_before:
        yield Invariant.BACK_OFF, f"{after.name} was claimed {before.not_before - at} too early"
    previous = state.before(after)
    if previous and not previous.status.terminal:
        yield Invariant.ORDER, f"{after.name} was claimed while {previous.name} is {previous.status}"
    if previous and after.origin == "auto":
        since = state.forbidden.get(previous.id)
        if since is not None and at - since > state.facts.patience:
            yield (
                Invariant.FORBIDDEN,
                f"{after.name} starts; {previous.name} says no retry since {at - since}",
            )


def _ended(state: State, before: Attempt, after: Attempt, at: datetime) -> Iterator[Broken]:
    """The one terminal write of an active attempt (R4, R5)."""
    things = state.objects(before)
    if alive := [thing.uid for thing in things if thing.live]:
        yield Invariant.SLOT_FREED, f"{after.name} ended as {after.status} while {alive} live"
    still_open = [token for token in before.open_creates if at - token.at < state.facts.hold]
    occupant = state.names.get((after.namespace, after.name))
    kept = occupant is not None and occupant.job_id == after.id
    if still_open and not kept and not _taken_away(state, things, at):
        taken = "is free" if occupant is None else "is somebody else's"
        yield Invariant.NAME_FREE, f"{after.name} ended with {len(still_open)} open creates; its name {taken}"
    yield from _truth(before, after, any(thing.success for thing in things))
    since = state.blind_since(after.namespace)
    if since is not None and at - since > state.facts.patience and not _shown(after, things, since):
        yield Invariant.OUTAGE, f"{after.name} was judged {at - since} into an outage of the cluster"


def _shown(after: Attempt, things: Sequence[Thing], since: datetime) -> bool:
    """Whether an end was there to be seen before the outage: an end stays one, and may be recorded late.

    That nothing is there any more is no such end: only who asks then may say so.
    """
    ends = [thing.ended_at for thing in things if not thing.tombstone]
    return bool(ends) and after.verdict is not Verdict.LOST and all(end and end <= since for end in ends)


def _taken_away(state: State, things: Sequence[Thing], at: datetime) -> bool:
    """Whether a third party deleted what kept the name, once buried or just now: nothing could help."""
    last = things[-1] if things else None
    if last is None or last.touched is None:
        return False
    return last.tombstone or at - last.touched <= state.facts.patience


def _followed(state: State, after: Attempt) -> Iterator[Broken]:
    """What was taken over is recorded as it ended, for as long as it is there to be asked."""
    thing = state.names.get((after.namespace, after.name)) if after.kind else None
    if thing is None or thing.uid != after.scheduler_id or not thing.ended:
        return
    if after.verdict is Verdict.LOST or (after.status is _ERROR and thing.success):
        what = f"{after.name} is {after.status} ({after.verdict}), and {thing.uid} shows how it ended"
        yield Invariant.TRUTH, what


def _truth(before: Attempt, after: Attempt, succeeded: bool) -> Iterator[Broken]:
    if after.status is _OK and not succeeded:
        yield Invariant.TRUTH, f"{after.name} is completed, and no object of it succeeded"
    if (after.status is _OK) is not (after.verdict is Verdict.SUCCEEDED):
        yield Invariant.TRUTH, f"{after.name} is {after.status} with verdict {after.verdict}"
    coded = before.stop is not None and before.stop.code is not None
    if after.status is _ENDED and not coded:
        yield Invariant.TRUTH, f"{after.name} is terminated, and nobody ordered it"
    if after.status is _ERROR and coded:
        yield Invariant.TRUTH, f"{after.name} is an error although {before.stop} was ordered"


def _reaped(state: State, before: Attempt, at: datetime) -> Iterator[Broken]:
    limit, since = state.facts.limits.get(before.status), state.entered[before.id]
    unseen = state.unseen(since, at, before.namespace)
    if limit is None:
        yield Invariant.REAPED, f"{before.name} is reaped although {before.status} has no limit"
    elif at - since - unseen < limit:
        yield (
            Invariant.REAPED,
            f"{before.name} was {before.status} for {at - since} only, {unseen} of it unseen",
        )
