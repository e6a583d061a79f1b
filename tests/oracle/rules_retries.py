"""Rules about retries: who may have one, how often, after how long, and the lifecycle's four steps."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from controller.core.model import Attempt, Origin, Status
from tests.oracle.history import Parent, Written
from tests.oracle.invariants import Broken, Invariant
from tests.oracle.state import State


def judge_retry(state: State, entry: Written) -> Iterator[Broken]:
    """One revision of an attempt, before it is taken in: its insertion, its start, or its toggle."""
    after = entry.after
    assert isinstance(after, Attempt)
    before = state.jobs.get(after.id)
    if before is None:
        yield from _inserted(state, after, entry)
        return
    if before.status is Status.WAITING and after.status is Status.CREATED:
        yield from _started(state, after, entry)
    if after.retry_toggle and not before.retry_toggle:
        yield from _toggled(state, after)


def _started(state: State, child: Attempt, entry: Written) -> Iterator[Broken]:
    """Of an automatic retry: nobody has said meanwhile that there shall be none."""
    if child.origin is not Origin.AUTO:
        return
    failed = next(one for one in state.task(child) if one.attempt == child.attempt - 1)
    since = state.forbidden.get(failed.id)
    if since is not None and entry.at - since > state.facts.patience:
        yield Invariant.FORBIDDEN, f"{child.name} starts; {failed.name} says no retry"


def _inserted(state: State, child: Attempt, entry: Written) -> Iterator[Broken]:
    chain = state.task(child)
    if child.status is not Status.WAITING:
        yield Invariant.TABLE, f"{child.name} was inserted as {child.status}"
    if child.attempt != len(chain):
        yield Invariant.ORDER, f"{child.name} is attempt {child.attempt} of a task with {len(chain)}"
    if not chain:
        return
    root, newest = chain[0], chain[-1]
    if child.retry_parent != root.id or child.retry_toggle is not False:
        what = f"{child.name} has retry_parent {child.retry_parent} and toggle {child.retry_toggle}"
        yield Invariant.LIFECYCLE, what
    if not newest.status.terminal:
        yield Invariant.ORDER, f"{child.name} was recorded while {newest.name} is {newest.status}"
    if any(attempt.status is Status.COMPLETED for attempt in chain):
        yield Invariant.COMPLETED_AGAIN, f"{child.name} retries a task that completed"
    if child.request_id and any(attempt.request_id == child.request_id for attempt in chain):
        yield Invariant.ONCE, f"{child.name} is another retry of its task for request {child.request_id!r}"
    if child.origin is Origin.AUTO:
        yield from _automatic(state, chain, child, entry)


def _automatic(state: State, chain: Sequence[Attempt], child: Attempt, entry: Written) -> Iterator[Broken]:
    failed = chain[-1]
    coded = failed.stop is not None and failed.stop.code is not None
    if failed.status is not Status.ERROR or coded or failed.exit_code == 1:
        what = f"{child.name} retries {failed.name}: {failed.status}, exit {failed.exit_code}, {failed.stop}"
        yield Invariant.FORBIDDEN, what
    since = state.forbidden.get(failed.id)
    if since is not None and entry.at - since > state.facts.patience:
        yield Invariant.FORBIDDEN, f"{child.name} was recorded; {failed.name} says no retry"
    yield from _within_budget(state, chain, child)


def _within_budget(state: State, chain: Sequence[Attempt], child: Attempt) -> Iterator[Broken]:
    failed = chain[-1]
    start = max((at for at, attempt in enumerate(chain) if attempt.origin is Origin.USER), default=0)
    since = [*chain[start:], child]
    automatic = [attempt for attempt in since if attempt.origin is Origin.AUTO]
    if len(automatic) > state.facts.most_auto:
        yield Invariant.BUDGET, f"{child.name} is automatic retry {len(automatic)}"
    if failed.verdict is None:
        yield Invariant.BUDGET, f"{child.name} retries {failed.name}, which has no verdict"
        return
    budget = state.facts.budget(state.parents[child.batch_id].batch.name, failed.verdict)
    like = [attempt for attempt in since[:-1] if attempt.verdict is failed.verdict]
    n = len([attempt for attempt in like if attempt.status is Status.ERROR])
    if budget is None or n > budget.limit:
        limit = budget.limit if budget else 0
        yield Invariant.BUDGET, f"{child.name} is retry {n} of at most {limit} for {failed.verdict}"
        return
    waits = child.not_before - failed.finished if child.not_before and failed.finished else None
    if waits is None or waits < budget.least_delay(n):
        least = budget.least_delay(n)
        yield Invariant.BACK_OFF, f"{child.name} waits {waits} after {failed.name}, at least {least} is asked"
    elif waits > budget.most_delay(n):
        most = budget.most_delay(n)
        yield Invariant.BACK_OFF, f"{child.name} waits {waits} after {failed.name}, at most {most} is asked"


def owed(state: State, newest: Attempt) -> bool:
    """Whether automation owes the task of this newest attempt another one, as far as the judge can tell."""
    coded = newest.stop is not None and newest.stop.code is not None
    if newest.status is not Status.ERROR or coded or newest.no_retry or newest.exit_code == 1:
        return False
    chain = state.task(newest)
    start = max((at for at, attempt in enumerate(chain) if attempt.origin is Origin.USER), default=0)
    since = chain[start:]
    verdict = newest.verdict
    budget = state.facts.budget(state.parents[newest.batch_id].batch.name, verdict) if verdict else None
    like = [one for one in since if one.verdict is verdict and one.status is Status.ERROR]
    return budget is not None and len(like) <= budget.limit and len(since) <= state.facts.most_auto


def _toggled(state: State, child: Attempt) -> Iterator[Broken]:
    missing = [name for name, ids in _lists(state, child).items() if child.id not in ids]
    if missing:
        yield Invariant.TOGGLE, f"{child.name} is toggled, and not in {missing}"


def _lists(state: State, child: Attempt) -> dict[str, tuple[str, ...]]:
    parent, root = state.parents.get(child.batch_id), state.jobs.get(child.root_id)
    return {
        "child_jobs": parent.child_jobs if parent else (),
        "retry_ids": root.retry_ids if root else (),
    }


def judge_lifecycles(state: State) -> Iterator[Broken]:
    """At the end: every child is in both lists once, and its toggle says so (invariant 4)."""
    for parent in state.parents.values():
        yield from _listed_once(parent)
    for job in state.jobs.values():
        if job.id not in state.parents[job.batch_id].child_jobs:
            yield Invariant.LIFECYCLE, f"{job.name} is not among its batch's child_jobs"
        if job.retry_parent is None:
            continue
        times = Counter(_lists(state, job)["retry_ids"])[job.id]
        if times != 1 or job.retry_toggle is not True:
            what = f"{job.name} is in retry_ids {times} times, its toggle is {job.retry_toggle}"
            yield Invariant.LIFECYCLE, what


def _listed_once(parent: Parent) -> Iterator[Broken]:
    twice = [job for job, times in Counter(parent.child_jobs).items() if times > 1]
    if twice:
        yield Invariant.LIFECYCLE, f"{parent.batch.name} lists {twice} more than once"
