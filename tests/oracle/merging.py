"""What the store recorded and what happened in the cluster, in one order in which both can have been.

Each log has an order of its own, which is kept: the store's log, the cluster's revisions. Between the two
there are only clocks, and neither is exact. A busy mongod stamps a write with a time that it read up to
tens of milliseconds earlier; who watches a cluster hears of an event later than it was. So times propose
and causes decide: what a record can only have been written in knowledge of stands before that record.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from controller.core.model import Attempt, Status
from tests.oracle.history import Deed, Entry, Happened, Weather, Written

LAG = timedelta(seconds=5)
"""How much later than the program's record an event may be timed; generous, see ``merged``. For an object's
creation there is no limit: it was the cluster that made up its uid, which nobody can have known before."""


def merged(
    written: Iterable[Written],
    happened: Iterable[Happened],
    weather: Iterable[Weather] = (),
    deaf: Sequence[tuple[datetime, datetime]] = (),
) -> list[Entry]:
    """Both logs, and the test's own ``weather``, in one order.

    An event stands where its time says, unless the record that can only have been written in knowledge of
    it has an earlier one: then it stands just before that record, and so does all that happened before it,
    since revisions have one order. A record that knows of something that is timed more than ``LAG`` later,
    or that never was, moves nothing: the oracle will object. Time in which the recorder was ``deaf`` does
    not count.
    """
    waiting, told = list(happened), set[tuple[str, Deed]]()
    found: list[Entry] = []
    for one in _with_weather(_in_order(written), weather):
        due = next((at for at, event in enumerate(waiting) if event.at > one.at), len(waiting))
        known = _known_by(one, waiting, told, deaf) if isinstance(one, Written) else 0
        before = waiting[: max(known, due)]
        del waiting[: len(before)]
        told.update((_of(event), event.deed) for event in before)
        found += [replace(event, at=min(event.at, one.at)) for event in before]
        found.append(one)
    return [*found, *waiting]


def _known_by(
    one: Written,
    waiting: list[Happened],
    told: set[tuple[str, Deed]],
    deaf: Sequence[tuple[datetime, datetime]],
) -> int:
    """How many of the waiting events must have happened before this was written."""
    job = one.after
    if not isinstance(job, Attempt):
        return 0
    return max(
        _needs(one, job.scheduler_id, _knows(job) if job.scheduler_id else (), waiting, told, deaf),
        _needs(one, job.id, (Deed.BURIED,) if job.tombstone else (), waiting, told, deaf),
    )


def _needs(
    one: Written,
    which: str,
    wanted: Sequence[Deed],
    waiting: list[Happened],
    told: set[tuple[str, Deed]],
    deaf: Sequence[tuple[datetime, datetime]],
) -> int:
    """How many of the waiting events it takes until one of the ``wanted`` befalls this object."""
    if any((which, deed) in told for deed in wanted):
        return 0
    for deed in wanted:
        for number, event in enumerate(waiting, start=1):
            if (_of(event), event.deed) == (which, deed):
                in_time = deed is Deed.CREATED or _late(one.at, event.at, deaf) <= LAG
                return number if in_time else 0
    return 0


def _of(event: Happened) -> str:
    """What a record knows the object by: its uid; a tombstone, whose uid is not recorded, by the job's id."""
    return event.job_id if event.deed is Deed.BURIED else event.uid


def _late(known: datetime, told: datetime, deaf: Sequence[tuple[datetime, datetime]]) -> timedelta:
    """How much later the recorder was told, without the time in which it could not be."""
    reached, late = known, told - known
    for begin, end in sorted(deaf):
        begin, end = max(begin, reached), min(end, told)
        if begin < end:
            late, reached = late - (end - begin), end
    return late


def _knows(job: Attempt) -> tuple[Deed, ...]:
    """One of these must have happened before a record got this status; the first is the usual one."""
    if job.status.terminal:
        return Deed.ENDED, Deed.GONE
    if job.status is Status.RUNNING:
        return (Deed.STARTED,)
    return (Deed.CREATED,) if job.status is Status.QUEUED else ()


def _in_order(written: Iterable[Written]) -> Iterator[Written]:
    """The store's log with times that never go back: two writes at once may be stamped out of order."""
    latest: datetime | None = None
    for one in written:
        latest = one.at if latest is None else max(latest, one.at)
        yield replace(one, at=latest)


def _with_weather(written: Iterable[Written], weather: Iterable[Weather]) -> list[Written | Weather]:
    both: list[Written | Weather] = [*written, *weather]
    return sorted(both, key=lambda entry: entry.at)
