"""Rules about how an attempt ended: what its record says against what its object showed in the cluster.

Only where the recorder knows what was shown (``Thing.end``). Nobody can know more of an object that went as
it ended, so ``lost`` is the truth of that one, and of every one that was gone when it was looked for.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from controller.core.model import Attempt, Status, TerminatedCode, Verdict
from tests.oracle.history import Ending, Written
from tests.oracle.invariants import Broken, Invariant
from tests.oracle.state import State, Thing

DISRUPTIONS = frozenset(
    {"DisruptionTarget", "Evicted", "NodeLost", "NodeShutdown", "Preempted", "Preempting", "Shutdown"}
    | {"UnexpectedAdmissionError"}
)
"""Reasons of a pod that the cluster ended, whatever its program says."""
BY_SIGNAL = frozenset({137, 143})
KILLED = 137
WORDS_OF_MEMORY = re.compile("memory|bad_alloc", re.IGNORECASE)
"""What a program's log says of it: the exit code alone does not tell who killed it."""
NEVER_RAN = frozenset({"ContainerCannotRun", "StartError"})
"""Reasons of a container that could not be started: its message tells why, and is not judged here."""
UNSTARTED = frozenset({Verdict.REJECTED, Verdict.NAME_COLLISION})
"""Verdicts on what never had an object."""


def judge_ending(state: State, entry: Written) -> Iterator[Broken]:
    """One revision of an attempt, before it is taken in: its exit code, and what its end is called."""
    after = entry.after
    assert isinstance(after, Attempt)
    before = state.jobs.get(after.id)
    if before is None or before.status.terminal:
        return
    if after.exit_code is not None and after.exit_code != before.exit_code:
        yield from _coded(state, after)
    if not after.status.terminal:
        return
    if before.status is Status.WAITING and not after.kind:
        yield from _withdrawn(after)
        return
    yield from _shown(state, after)
    if after.status is Status.TERMINATED:
        yield from _ordered(before, after)
    elif after.status is Status.ERROR and before.stop is not None:
        yield from _given_up(before, after)
    elif after.status is Status.ERROR:
        yield from _failed(state, after)


def verdict_of(end: Ending) -> Verdict:
    """What an end that nobody ordered was, by what was shown: the glossary, written down a second time."""
    if end.reasons & DISRUPTIONS:
        return Verdict.DISRUPTED
    if "OOMKilled" in end.reasons:
        return Verdict.OUT_OF_MEMORY
    if "DeadlineExceeded" in end.reasons:
        return Verdict.DEADLINE
    if "FailedMount" in end.reasons:
        return Verdict.MOUNT_FAILURE
    match end.exit_code:
        case 0:
            return Verdict.SUCCEEDED
        case 1:
            return Verdict.CONFIGURATION_ERROR
        case 2:
            return Verdict.MOUNT_FAILURE
        case None:
            return Verdict.UNKNOWN
        case code:
            return Verdict.UNKNOWN if code in BY_SIGNAL else Verdict.APPLICATION_ERROR


def _coded(state: State, after: Attempt) -> Iterator[Broken]:
    """An exit code is that of an object of the attempt; one that may not have been recorded says nothing."""
    things = [thing for thing in state.objects(after) if not thing.tombstone]
    if any(thing.ended and thing.end is None for thing in things):
        return
    codes = [thing.end.exit_code for thing in things if thing.end and not thing.end.hidden]
    if state.facts.shows_ends and after.exit_code not in codes:
        yield Invariant.TRUTH, f"{after.name} is said to have ended with {after.exit_code}; shown was {codes}"


def _withdrawn(after: Attempt) -> Iterator[Broken]:
    if after.exit_code is not None or after.verdict is not Verdict.CANCELLED:
        said = f"{after.verdict}, exit code {after.exit_code}"
        yield Invariant.TRUTH, f"{after.name} was withdrawn before it had an object, and is {said}"


def _shown(state: State, after: Attempt) -> Iterator[Broken]:
    """What is there and has ended is recorded with its exit code, and is not lost."""
    thing = _there(state, after)
    if thing is None or thing.end is None:
        return
    if after.verdict is Verdict.LOST:
        yield Invariant.TRUTH, f"{after.name} is lost, and {thing.uid} shows how it ended: {thing.end}"
    elif not _fits(after.exit_code, thing.end):
        said = f"exit code {after.exit_code}, and {thing.uid} shows {thing.end.exit_code}"
        yield Invariant.TRUTH, f"{after.name} has {said}"


def _fits(exit_code: int | None, end: Ending) -> bool:
    return exit_code == end.exit_code or (end.fleeting and exit_code is None)


def _there(state: State, after: Attempt) -> Thing | None:
    """The ended object that is under the name, is known to be the attempt's, and did not come since."""
    thing = state.names.get((after.namespace, after.name))
    if thing is None or thing.uid != after.scheduler_id or not thing.ended:
        return None
    return None if thing.tombstone or thing.unlabelled or thing.orphan else thing


def _ordered(before: Attempt, after: Attempt) -> Iterator[Broken]:
    stop = before.stop
    if stop is None:
        return
    reaped = stop.code is TerminatedCode.AUTOMATION
    wanted = Verdict.REAPED if reaped else Verdict.CANCELLED
    if (after.verdict, after.terminated_code) != (wanted, stop.code):
        said = f"{after.verdict} with code {after.terminated_code}"
        yield Invariant.TRUTH, f"{after.name} was to stop by {stop}, and is {said}"


def _given_up(before: Attempt, after: Attempt) -> Iterator[Broken]:
    assert before.stop is not None
    if before.stop.code is None and after.verdict != before.stop.why:
        yield Invariant.TRUTH, f"{after.name} was given up as {before.stop.why}, and is {after.verdict}"


def _failed(state: State, after: Attempt) -> Iterator[Broken]:
    """A failure that nobody ordered: what its object showed, or a reason why it shows nothing."""
    things = [thing for thing in state.objects(after) if not thing.tombstone]
    if after.verdict in UNSTARTED:
        if had := [thing.uid for thing in things if not (thing.touched or thing.orphan or thing.unlabelled)]:
            yield Invariant.TRUTH, f"{after.name} is {after.verdict}, and had an object: {had}"
        return
    if after.verdict is not Verdict.LOST:
        yield from _as_shown(state, after)
    elif not after.scheduler_id:
        yield Invariant.TRUTH, f"{after.name} is lost, and its record knows of no object"


def _as_shown(state: State, after: Attempt) -> Iterator[Broken]:
    thing = state.things.get(after.scheduler_id)
    if thing is None or not thing.ended:
        if state.facts.shows_ends:
            yield Invariant.TRUTH, f"{after.name} is {after.verdict}, and no object of it has ended"
        return
    if thing.end is None:
        return
    if thing.end.hidden:
        yield Invariant.TRUTH, f"{after.name} is {after.verdict}, and nobody can know how {thing.uid} ended"
    elif after.verdict not in _fitting(after, thing.end):
        yield Invariant.TRUTH, f"{after.name} is {after.verdict}, and {thing.uid} shows {thing.end}"
    elif not _fits(after.exit_code, thing.end):
        said = f"exit code {after.exit_code}, and {thing.uid} showed {thing.end.exit_code}"
        yield Invariant.TRUTH, f"{after.name} has {said}"


def _fitting(after: Attempt, end: Ending) -> frozenset[Verdict | None]:
    """What may be said of an end by whoever saw as much of it as the record tells."""
    found = {verdict_of(end)}
    if end.reasons & NEVER_RAN:
        found |= {Verdict.APPLICATION_ERROR, Verdict.MOUNT_FAILURE}
    if end.fleeting and after.exit_code is None:
        found.add(Verdict.UNKNOWN)
    if end.exit_code == KILLED and WORDS_OF_MEMORY.search(after.evidence.log_tail):
        found.add(Verdict.OUT_OF_MEMORY)
    return frozenset(found)
