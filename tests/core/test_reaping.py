"""When an attempt is overdue: the limit of each status, blind time, and clocks that can't be trusted."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.core.model import Attempt, Status
from controller.core.reaping import Gap, Reaper, blind_time, entered, overdue
from tests.core.chains import NOW, root

HOUR = timedelta(hours=1)
SECOND = timedelta(seconds=1)
REAPER = Reaper(created_after=HOUR, queued_after=2 * HOUR, running_after=3 * HOUR)
LIMITS = [(Status.CREATED, HOUR), (Status.QUEUED, 2 * HOUR), (Status.RUNNING, 3 * HOUR)]
FIELD = {Status.CREATED: "created", Status.QUEUED: "queued", Status.RUNNING: "running"}


def at(hours: float) -> datetime:
    """So many hours after NOW."""
    return NOW + hours * HOUR


def since_now(status: Status, **fields: Any) -> Attempt:
    """An attempt that entered this status at NOW, and every earlier one long before."""
    known: dict[str, Any] = {field: at(-100) for field in FIELD.values()}
    return root(status=status, **(known | {FIELD[status]: NOW} | fields))


@pytest.mark.parametrize(("status", "limit"), LIMITS)
def test_the_limit_itself_is_not_overdue(status: Status, limit: timedelta) -> None:
    """An attempt is overdue only once it is past its status's limit, counted from entering that status."""
    job = since_now(status)
    assert overdue(job, NOW + limit, REAPER) is None
    assert overdue(job, NOW + limit + SECOND, REAPER) == limit


@pytest.mark.parametrize(("status", "limit"), LIMITS)
def test_untrusted_clocks_reap_nothing(status: Status, limit: timedelta) -> None:
    """While the clocks disagree nothing is overdue, however old it seems."""
    reaper = Reaper(HOUR, HOUR, HOUR, trusted=False)
    assert overdue(since_now(status), NOW + 1000 * limit, reaper) is None


@pytest.mark.parametrize("status", FIELD)
def test_no_limit_is_for_ever(status: Status) -> None:
    """A limit of None never makes an attempt overdue."""
    reaper = Reaper(None, None, None)
    assert overdue(since_now(status), at(1_000_000), reaper) is None


def test_running_has_no_limit_unless_told() -> None:
    """By default a running attempt may run for ever, while one that is created or queued may not."""
    reaper = Reaper()
    assert reaper.limit(Status.RUNNING) is None
    assert (reaper.limit(Status.CREATED), reaper.limit(Status.QUEUED)) == (HOUR, timedelta(days=14))


@pytest.mark.parametrize("status", [s for s in Status if s not in FIELD])
def test_what_is_not_active_is_never_overdue(status: Status) -> None:
    """What waits or has ended has no limit and no instant to count from."""
    job = root(status=status, created=NOW, queued=NOW, running=NOW)
    assert (REAPER.limit(status), entered(job)) == (None, None)
    assert overdue(job, at(1_000_000), REAPER) is None


@pytest.mark.parametrize("status", FIELD)
def test_an_unknown_entry_is_never_overdue(status: Status) -> None:
    """A record that doesn't say when it entered its status is left alone."""
    assert overdue(since_now(status, **{FIELD[status]: None}), at(1_000_000), REAPER) is None


@pytest.mark.parametrize(
    ("gaps", "hours"),
    [
        ((), 0),
        (((2, 3),), 1),
        (((-5, 1),), 1),
        (((9, 20),), 1),
        (((-5, 20),), 10),
        (((-5, -1), (11, 12)), 0),
        (((-1, 0), (10, 11)), 0),
        (((1, 3), (2, 4)), 3),
        (((1, 6), (2, 3)), 5),
        (((1, 6), (2, 3), (5, 7)), 6),
        (((1, 2), (1, 2)), 1),
        (((1, 2), (2, 3)), 2),
        (((1, 2), (4, 6)), 3),
        (((4, 4),), 0),
        (((5, 4),), 0),
    ],
)
def test_blind_time(gaps: tuple[tuple[int, int], ...], hours: int) -> None:
    """Of ten hours only what lies in a gap is blind, and what lies in two gaps counts once."""
    found = [(at(start), at(end)) for start, end in gaps]
    assert blind_time(found, NOW, at(10)) == hours * HOUR


def test_a_blind_span_extends_the_limit() -> None:
    """The limit that is handed to the store has the blind time added to it."""
    reaper = Reaper(created_after=HOUR, gaps=((at(0.5), at(2)), (at(1), at(2.5))))
    job = since_now(Status.CREATED)
    assert overdue(job, at(3), reaper) is None
    assert overdue(job, at(3) + SECOND, reaper) == 3 * HOUR


def test_blindness_before_the_status_does_not_count() -> None:
    """A gap that was over when the attempt entered its status gives it no more time."""
    reaper = Reaper(created_after=HOUR, gaps=((at(-9), at(-1)),))
    assert overdue(since_now(Status.CREATED), NOW + HOUR + SECOND, reaper) == HOUR


INSTANTS = st.integers(-1000, 1000).map(lambda minutes: NOW + timedelta(minutes=minutes))
GAPS: st.SearchStrategy[list[Gap]] = st.lists(st.tuples(INSTANTS, INSTANTS), max_size=6)


@given(GAPS, INSTANTS, INSTANTS)
def test_blind_time_stays_within_its_span(gaps: list[Gap], since: datetime, until: datetime) -> None:
    """Blind time is never negative and never more than the span that was asked about."""
    assert timedelta() <= blind_time(gaps, since, until) <= max(timedelta(), until - since)


@given(st.data(), GAPS, INSTANTS, INSTANTS)
def test_the_order_of_gaps_is_irrelevant(
    data: st.DataObject, gaps: list[Gap], since: datetime, until: datetime
) -> None:
    """The same gaps in any order make the same blind time."""
    shuffled = data.draw(st.permutations(gaps))
    assert blind_time(shuffled, since, until) == blind_time(gaps, since, until)


@given(GAPS, INSTANTS, INSTANTS)
def test_blind_time_counts_each_minute_once(gaps: list[Gap], since: datetime, until: datetime) -> None:
    """It agrees with counting, minute by minute, those that lie in some gap."""
    minute = timedelta(minutes=1)
    minutes = range(max(0, (until - since) // minute))
    blind = sum(any(start <= since + m * minute < end for start, end in gaps) for m in minutes)
    assert blind_time(gaps, since, until) == blind * minute


@given(st.sampled_from(LIMITS), GAPS, st.integers(0, 3 * 3600))
def test_nothing_is_overdue_within_its_limit(
    row: tuple[Status, timedelta], gaps: list[Gap], seconds: int
) -> None:
    """Whatever the gaps are, an attempt within its limit is not overdue."""
    status, limit = row
    reaper = Reaper(HOUR, 2 * HOUR, 3 * HOUR, gaps=tuple(gaps))
    assert overdue(since_now(status), NOW + min(limit, timedelta(seconds=seconds)), reaper) is None


@given(st.sampled_from(LIMITS), GAPS, INSTANTS)
def test_what_is_overdue_was_seen_for_longer_than_its_limit(
    row: tuple[Status, timedelta], gaps: list[Gap], now: datetime
) -> None:
    """An attempt is overdue exactly when the time in which it could be seen is over its limit."""
    status, limit = row
    reaper = Reaper(HOUR, 2 * HOUR, 3 * HOUR, gaps=tuple(gaps))
    seen = (now - NOW) - blind_time(gaps, NOW, now)
    assert (overdue(since_now(status), now, reaper) is not None) == (seen > limit)
