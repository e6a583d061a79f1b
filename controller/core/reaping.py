"""When an attempt is overdue (E10, E11, lifecycle R10). Called by ``decide``; reads no clock itself.

Time during which nobody had a complete good look at the cluster does not count: a job that could not
be seen for a week was not stuck for a week. And while the clocks disagree nothing is overdue at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from controller.core.model import Attempt, Status
from controller.core.sight import ClusterJob

Gap = tuple[datetime, datetime]


@dataclass(frozen=True, slots=True)
class Reaper:
    """The operator's limits by status, and whether time can be trusted at this instant."""

    created_after: timedelta | None = timedelta(hours=1)
    queued_after: timedelta | None = timedelta(days=14)
    running_after: timedelta | None = None
    trusted: bool = True
    """False while our clock and the store's, or wall and monotonic clock, disagree by over 30 s."""
    gaps: tuple[Gap, ...] = ()
    """Stretches without a complete good pass, by the store's records."""

    def limit(self, status: Status) -> timedelta | None:
        """How long an attempt may stay in this status; None: for ever."""
        limits = {
            Status.CREATED: self.created_after,
            Status.QUEUED: self.queued_after,
            Status.RUNNING: self.running_after,
        }
        return limits.get(status)


def entered(job: Attempt) -> datetime | None:
    """The instant at which the attempt entered the status it has."""
    return {
        Status.CREATED: job.created,
        Status.QUEUED: job.queued,
        Status.RUNNING: job.running,
    }.get(job.status)


def blind_time(gaps: Sequence[Gap], since: datetime, until: datetime) -> timedelta:
    """How much of ``since`` … ``until`` lies in the gaps (which may overlap each other)."""
    total = timedelta()
    reached = since
    for start, end in sorted(gaps):
        start, end = max(start, reached), min(end, until)
        if end > start:
            total += end - start
            reached = end
    return total


def overdue(job: Attempt, now: datetime, reaper: Reaper) -> timedelta | None:
    """The limit that the attempt has passed, blind time added to it; None: it is not overdue.

    What was taken over is not ours to end: it never is (S11).

    The store repeats the comparison with its own clock when the stop is written, with this value.
    """
    limit = reaper.limit(job.status)
    if limit is None or not reaper.trusted or job.kind:
        return None
    since = entered(job)
    if since is None:
        return None
    limit += blind_time(reaper.gaps, since, now)
    return limit if now - since > limit else None


def waits_on_node_since(job: Attempt, found: ClusterJob) -> datetime | None:
    """Since when its pod is on a node and has not started, by the store's clock, rather late than early.

    The cluster's clocks may be behind: so long after its creation as they say, counted from where the
    store knew that it was accepted, it was not scheduled yet.
    """
    since = found.scheduled_at
    if since is None or found.created_at is None or job.queued is None:
        return since
    return max(since, job.queued + (since - found.created_at))
