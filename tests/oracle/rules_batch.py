"""Rules about a batch as a whole: what its gate counts, when it is over, who comes last, whose it is."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from controller.core.model import Attempt, ForeignKind, Gate, Status, Verdict, When
from tests.oracle.history import Parent, Written
from tests.oracle.invariants import Broken, Invariant
from tests.oracle.state import State, Thing

KILLED = frozenset({137, 143})
"""Exit codes that a signal makes: they say nothing of a mount."""


def judge_parent(state: State, entry: Written) -> Iterator[Broken]:
    """A batch is over once nothing of it waits or runs; what has just come in may not be known yet."""
    after = entry.after
    assert isinstance(after, Parent)
    before = state.parents.get(after.batch.id)
    if not after.batch.status.closed or (before and before.batch.status.closed):
        return
    known = entry.at - state.facts.patience
    left = [
        f"{job.name} is {job.status}"
        for job in state.jobs.values()
        if job.batch_id == after.batch.id and not job.status.terminal and job.inserted < known
    ]
    if left:
        yield Invariant.UNFINISHED, f"{after.batch.name} is {after.batch.status}, and {', '.join(left)}"


def judge_reopened(state: State, entry: Written) -> Iterator[Broken]:
    """A batch that was over opens again for a retry only: one that came since, or whose four steps somebody
    may still be at. Who reopens it for what had ended by then takes its end away, a cancel's above all."""
    after = entry.after
    assert isinstance(after, Parent)
    since = state.closed.get(after.batch.id)
    if since is None or after.batch.status.closed:
        return
    known = entry.at - state.facts.patience
    for job in state.jobs.values():
        if job.batch_id != after.batch.id:
            continue
        linking = job.retry_toggle is not None and state.toggled.get(job.id, entry.at) >= known
        if not job.status.terminal or state.entered[job.id] >= since or linking:
            return
    was = state.parents[after.batch.id].batch
    yield Invariant.REOPENED, f"{was.name} was {was.status}, is {after.batch.status}, and nothing of it lives"


def judge_counted(state: State, entry: Written) -> Iterator[Broken]:
    """What others run counts in one gate: that of the longest open prefix which it is under."""
    after = entry.after
    assert isinstance(after, Gate)
    before, parent = state.gates.get(after.batch_id), state.parents.get(after.batch_id)
    if before is None or parent is None:
        return
    mine, settled = parent.batch, entry.at - state.facts.list_age - state.facts.patience
    known = {foreign.uid for foreign in before.foreign}
    stale = entry.writer is not None and entry.writer < before.epoch  # one too many, and for a moment
    for foreign in after.foreign:
        if foreign.uid not in known and not stale and (job := _ours(state, foreign.uid)):
            yield Invariant.FOREIGN_COUNTED, f"{job.name} is ours and {job.status}, and counts as others' too"
        if foreign.uid in known or foreign.cause is not ForeignKind.FOREIGN:
            continue
        owners = [mine.name] if foreign.name.startswith(f"{mine.name}-") else []
        owners += [
            name
            for name, since in state.open_names(mine.namespace)
            if since < settled and foreign.name.startswith(f"{name}-")
        ]
        if not owners or max(owners, key=len) != mine.name:
            yield Invariant.FOREIGN_COUNTED, f"{foreign.name} is counted under {mine.name}, not {owners}"


def _ours(state: State, uid: str) -> Attempt | None:
    """The active attempt whose object this is; none of an orphan, nor of one whose labels were taken off."""
    thing = state.things.get(uid)
    job = state.jobs.get(thing.job_id) if thing and not thing.unlabelled else None
    return job if job and job.status.active else None


def ghosts(state: State, batch_id: str, known_since: datetime) -> Iterator[Thing]:
    """Live objects of ours whose records have ended long ago: they must be counted, or be gone (R13)."""
    for thing in state.live.values():
        job = state.jobs.get(thing.job_id)
        if job is not None and job.batch_id == batch_id and thing.created <= known_since:
            ended = job.finished
            if job.status.terminal and not job.kind and ended is not None and ended <= known_since:
                yield thing


def judge_leader(state: State, entry: Written) -> Iterator[Broken]:
    """A leader decides nothing about a record that was active before it led and that it has not stamped."""
    after, writer = entry.after, entry.writer
    assert isinstance(after, Attempt)
    before = state.jobs.get(after.id)
    if writer is None or before is None or not before.status.active or after.status is before.status:
        return
    since, began = state.active_since.get(before.id), state.reigns.get(writer)
    if before.epoch < writer and since is not None and began is not None and since < began:
        yield Invariant.EPOCH, f"epoch {writer} moved {before.name}, which is stamped {before.epoch}"


def judge_last(state: State, entry: Written) -> Iterator[Broken]:
    """A ``batch-end`` retry starts once all else of its batch is over."""
    after = entry.after
    assert isinstance(after, Attempt)
    before = state.jobs.get(after.id)
    claimed = before is not None and before.status is Status.WAITING and after.status is Status.CREATED
    if not claimed or after.when is not When.BATCH_END:
        return
    known = entry.at - state.facts.patience
    earlier = [
        f"{job.name} is {job.status}"
        for job in state.jobs.values()
        if job.batch_id == after.batch_id and job.when is When.NOW and not job.status.terminal
        if job.inserted < known
    ]
    if earlier:
        yield Invariant.ORDER, f"{after.name} waits for the batch's end and starts, and {', '.join(earlier)}"


def judge_truth(state: State, entry: Written) -> Iterator[Broken]:
    """A success that nobody cut short is recorded as one, whatever was ordered; a signal is no mount,
    unless we sent it because the mount had failed."""
    after = entry.after
    assert isinstance(after, Attempt)
    before = state.jobs.get(after.id)
    if before is None or before.status.terminal or not after.status.terminal:
        return
    forgotten = before.status is Status.WAITING  # an orphan's success is not known to whoever withdraws it
    succeeded = [
        thing.uid
        for thing in state.by_job[after.id]
        if thing.success
        if not (thing.touched or thing.cut_short or thing.tombstone or thing.unlabelled)
        if not (forgotten and thing.orphan)
    ]
    if succeeded and after.status is not Status.COMPLETED:
        yield Invariant.TRUTH, f"{after.name} is {after.status}, and {succeeded} succeeded"
    if after.verdict is Verdict.MOUNT_FAILURE and after.exit_code in KILLED and not after.stop:
        yield Invariant.TRUTH, f"{after.name} ended with {after.exit_code}, and is called a mount failure"
