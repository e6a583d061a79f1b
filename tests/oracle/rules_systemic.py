"""Rules about the brake (S7b): pulled when nearly all of a batch fails in one way, and for nothing else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta

from controller.core.model import Attempt, Gate, Verdict
from tests.oracle.history import Written
from tests.oracle.invariants import Broken, Invariant
from tests.oracle.state import State

ENOUGH, PERCENT = 10, 80
"""So many first attempts must have ended, and such a share of them with one verdict."""
NO_FAILURE = frozenset({Verdict.SUCCEEDED, Verdict.CANCELLED, Verdict.REAPED})
HOLD = "systemic-failure"


def judge_brake(state: State, entry: Written) -> Iterator[Broken]:
    """One revision of a gate: a hold for like failures, or a place that is taken in spite of them.

    Whoever decides has counted a while before: what ended since speaks for him.
    """
    after = entry.after
    assert isinstance(after, Gate)
    before, parent = state.gates.get(after.batch_id), state.parents.get(after.batch_id)
    if before is None or parent is None or before.hold:
        return
    if parent.batch.status.closed:
        return  # what starts in it is a retry that somebody asked for, and opens it again
    facts, resumed = state.facts, parent.batch.resumed
    if resumed is not None and entry.at - resumed <= facts.patience + facts.list_age:
        return
    ended = _ended(state, after.batch_id, resumed)
    if after.hold.startswith(HOLD):
        earlier = _known(state, ended, entry.at - facts.patience)
        if len(ended) < ENOUGH or _most(ended) * 100 < PERCENT * len(earlier):
            yield Invariant.BRAKE, f"it is held for like failures: {_most(ended)} of {len(ended)}"
    elif {holder.job for holder in after.holders} - {holder.job for holder in before.holders}:
        known = _known(state, ended, entry.at - facts.patience - facts.list_age - timedelta(seconds=1))
        if len(known) >= ENOUGH and _most(known) * 100 >= PERCENT * len(ended):
            yield Invariant.BRAKE, f"it starts more, and {_most(known)} of {len(ended)} failed alike"


def _ended(state: State, batch_id: str, resumed: datetime | None) -> list[Attempt]:
    firsts = (job for job in state.jobs.values() if job.batch_id == batch_id and not job.attempt)
    ended = (job for job in firsts if job.verdict is not None and job.finished is not None)
    return [job for job in ended if resumed is None or (job.finished and job.finished >= resumed)]


def _known(state: State, ended: list[Attempt], since: datetime) -> list[Attempt]:
    return [job for job in ended if state.entered[job.id] <= since]


def _most(ended: list[Attempt]) -> int:
    """How many failed in the way in which most did."""
    return max(Counter(job.verdict for job in ended if job.verdict not in NO_FAILURE).values(), default=0)
