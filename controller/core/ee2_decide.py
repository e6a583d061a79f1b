"""What is left to do of a retry of EE2's, whether a job of EE2's is stuck, and when to ask its scheduler
again. Pure; called by the passes in ``controller.ee2``.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum

from controller.core.ee2 import Child, Malformed, Record, Stuck
from controller.core.reaping import Reaper, blind_time

FIRST_WAIT = timedelta(minutes=1)
LONGEST_WAIT = timedelta(hours=1)


class Step(StrEnum):
    """A step of a retry after the launch, by the field that it writes: EE2's order."""

    CHILD_JOBS = "child_jobs"
    RETRY_IDS = "retry_ids"
    TOGGLE = "retry_saved_toggle"


class Outcome(StrEnum):
    """What became of a job that is stuck."""

    REAPED = "reaped"
    MOVED_ON = "moved-on"
    """It is no longer as it was read: left alone."""
    REFUSED = "cancel-refused"
    """The scheduler was not brought to cancel it: left alone, and asked again later."""
    WAITS = "waits"
    """It was asked for a moment ago, or its scheduler's last refusal is too fresh."""


def steps_left(child: Child, parents: Mapping[str, Record]) -> tuple[Step, ...]:
    """What is left of a retry's lifecycle, as its parents were *read*; the toggle alone: both list it.

    Raises ``Malformed`` when a parent is missing or can't list it.
    """
    left = []
    if child.batch_id and not _listed(child, parents, child.batch_id, Step.CHILD_JOBS):
        left.append(Step.CHILD_JOBS)
    if not _listed(child, parents, child.retry_parent, Step.RETRY_IDS):
        left.append(Step.RETRY_IDS)
    return (*left, Step.TOGGLE)


def _listed(child: Child, parents: Mapping[str, Record], parent_id: str, step: Step) -> bool:
    parent = parents.get(parent_id)
    whose = "batch_id" if step is Step.CHILD_JOBS else "retry_parent"
    if parent is None:
        raise Malformed(f"there is no record {parent_id}, its {whose}")
    if (parent.get("batch_job") is True) is not (step is Step.CHILD_JOBS):
        what = "no batch parent" if step is Step.CHILD_JOBS else "a batch parent"
        raise Malformed(f"its {whose} {parent_id} is {what}")
    listed = parent.get(step.value)
    if listed is not None and not isinstance(listed, list):
        raise Malformed(f"{step.value} of its {whose} {parent_id} is no list")
    return child.id in (listed or ())


def limit_passed(job: Stuck, now: datetime, reaper: Reaper) -> timedelta | None:
    """The limit that the job has passed, blind time added to it; None: it is not overdue.

    The store repeats the comparison with its own clock when the end is written, with this value.
    """
    limit = reaper.limit(job.status)
    if limit is None or not reaper.trusted:
        return None
    limit += blind_time(reaper.gaps, job.entered, now)
    return limit if now - job.entered > limit else None


def wait_after(failures: int) -> timedelta:
    """How long a scheduler that refused so often is not asked again about the same job."""
    return min(LONGEST_WAIT, FIRST_WAIT * (1 << min(failures - 1, 10)))
