"""What a pass counts of retries and of places. Called by ``reconcile`` and ``acting``; it decides nothing."""

from __future__ import annotations

from collections.abc import Sequence

from controller.core.model import Attempt
from controller.core.plan import Block, block
from controller.core.view import View
from controller.engine import Engine

_STILL_WANTED = (Block.NONE, Block.FULL, Block.BLIND)
"""What may be the matter while somebody due waits for a free place: at most that it can't be taken yet."""


def retries_ended(engine: Engine, view: View, left: Sequence[Attempt]) -> None:
    """What became of retries that gave back their places; each is told once, however often it leaves."""
    for job in left:
        if job.id not in engine.ended_retries:
            continue
        engine.ended_retries.discard(job.id)
        for failed in view.chains.get(job.root_id, ()):
            if failed.attempt == job.attempt - 1:
                engine.journal.retry_ended(failed, job)


def places_taken(engine: Engine, view: View, jobs: Sequence[Attempt]) -> None:
    """Places that had become free are taken by these jobs, the first of them first."""
    freed = engine.freed.get(view.batch.id, [])
    engine.refilling |= zip((job.id for job in jobs), freed, strict=False)
    engine.freed[view.batch.id] = freed[len(jobs) :][-view.gate.max :]


def refilled(engine: Engine, job_id: str) -> None:
    """This job's create is over: so long its place was empty, if it had been another's."""
    freed_at = engine.refilling.pop(job_id, None)
    if freed_at is not None:
        engine.journal.refilled(engine.clock.monotonic() - freed_at)


def forget_idle_places(engine: Engine, view: View) -> None:
    """A place that nobody due waits for, or that a person keeps empty, is not waited for: it is idle."""
    if block(view)[0] not in _STILL_WANTED:
        engine.freed.pop(view.batch.id, None)
