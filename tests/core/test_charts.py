"""What the page draws: the numbers are those of the attempts, however many there are."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from controller.core.charts import COLUMNS, ENOUGH, STEPS, Tally, edge, histogram, median, time_left, timeline
from controller.core.model import Verdict

NOTHING = Tally({}, {}, {}, 0.0, {})
SPANS = st.lists(st.tuples(st.integers(0, STEPS - 1), st.integers(0, STEPS - 1)).map(sorted), max_size=60)


@given(SPANS)
def test_a_timeline_is_what_was_active(spans: list[list[int]]) -> None:
    """At the end of each step, read as stairs: what had begun by then and had not ended."""
    begun = {n: sum(first == n for first, _ in spans) for n in range(STEPS)}
    ended = {n: sum(last == n for _, last in spans) for n in range(STEPS)}
    points = timeline(Tally(begun, ended, {}, 0.0, {}), STEPS)
    if not spans:
        assert points == []
        return
    for n in range(STEPS):
        wanted = sum(first <= n < last for first, last in spans)
        shown = [active for when, active in points if when <= n + 1][-1]
        assert shown == wanted
    assert points[0] == (0.0, 0)
    assert points[-1][0] == STEPS


@given(st.dictionaries(st.integers(-16, 80), st.integers(1, 9), min_size=1))
def test_a_histogram_counts_everything_once(took: dict[int, int]) -> None:
    """However wide its columns must be, and they are few."""
    edges, counts = histogram(took)
    assert sum(counts) == sum(took.values())
    assert len(edges) == len(counts) + 1
    assert len(counts) <= COLUMNS
    assert edges == sorted(edges)
    assert edges[0] == edge(min(took))
    assert edges[-1] > edge(max(took))


def test_no_job_has_no_histogram() -> None:
    """And no median."""
    assert histogram({}) == ([], [])
    assert median({}) is None
    assert timeline(NOTHING, 10.0) == []


@given(st.lists(st.floats(0.1, 1e5), min_size=1, max_size=40))
def test_a_median_is_right_within_its_step(seconds: list[float]) -> None:
    """A fifth too much or too little, for it comes from the histogram."""
    took: dict[int, int] = {}
    for one in seconds:
        step = math.floor(4 * math.log2(one))
        took[step] = took.get(step, 0) + 1
    true = sorted(seconds)[(len(seconds) - 1) // 2]
    found = median(took)
    assert found is not None
    assert true / 1.21 <= found <= true * 1.21


def test_the_end_is_foretold_from_what_completed() -> None:
    """100 that wait, 10 at a time, 20 s each: 200 s, and half a job for those that run."""
    tally = Tally({}, {}, {17: 10}, 200.0, {})
    assert time_left(tally, waiting=100, active=0, most=10) == 210.0
    assert time_left(tally, waiting=0, active=10, most=10) == 10.0
    assert time_left(tally, waiting=0, active=2, most=10) == 10.0, "places that nobody takes speed up nothing"
    assert time_left(tally, waiting=2, active=0, most=10) == 20.0
    assert time_left(tally, waiting=0, active=0, most=10) is None, "it is done"
    few = Tally({}, {}, {17: ENOUGH - 1}, 40.0, {Verdict.LOST: 3})
    assert time_left(few, waiting=100, active=0, most=10) is None
