"""Rules about how a run ends once everything is well again and nothing moves any more."""

from __future__ import annotations

from collections.abc import Iterator

from controller.core.model import Attempt, BatchStatus, Result, Status
from tests.oracle.history import Parent
from tests.oracle.invariants import Broken, Invariant
from tests.oracle.rules_retries import judge_lifecycles, owed
from tests.oracle.state import State


def judge_end(state: State) -> Iterator[Broken]:
    """Everything has come to its end, and the batch says truly how."""
    for parent in state.parents.values():
        yield from _batch(state, parent)
    for gate in state.gates.values():
        if gate.holders:
            names = [state.jobs[holder.job].name for holder in gate.holders if holder.job in state.jobs]
            yield Invariant.UNFINISHED, f"{names} still hold places"
    for thing in state.live.values():
        if thing.job_id:
            yield Invariant.UNFINISHED, f"{thing.name} ({thing.uid}) still lives"
    yield from judge_lifecycles(state)


def _batch(state: State, parent: Parent) -> Iterator[Broken]:
    batch = parent.batch
    jobs = [job for job in state.jobs.values() if job.batch_id == batch.id]
    newest: dict[str, Attempt] = {}
    for job in jobs:
        if job.task_id not in newest or newest[job.task_id].attempt < job.attempt:
            newest[job.task_id] = job
    if open_ones := sorted(job.name for job in jobs if not job.status.terminal):
        yield Invariant.UNFINISHED, f"{batch.name}: {open_ones} have not ended"
    given_up = batch.id in state.cancelled and len(newest) < batch.tasks
    if len(newest) != batch.tasks and not given_up:  # a cancel ends the recording of tasks as well
        yield Invariant.UNFINISHED, f"{batch.name} has {len(newest)} tasks of {batch.tasks}"
    if not batch.status.closed:
        yield Invariant.UNFINISHED, f"{batch.name} is {batch.status}: {batch.reason}"
    for job in newest.values():
        if owed(state, job):
            yield Invariant.UNFINISHED, f"{job.name} ended as {job.verdict}, and its retry was never recorded"
    completed = sum(job.status is Status.COMPLETED for job in newest.values())
    wanted = Result.COMPLETED if completed >= batch.tasks else Result.PARTIAL if completed else Result.FAILED
    if batch.status is BatchStatus.FINISHED and batch.result is not wanted:
        yield Invariant.TRUTH, f"{batch.name} is {batch.result} with {completed} of {batch.tasks} completed"
