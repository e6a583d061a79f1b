"""What the page draws of a batch, out of counts: active jobs over time, durations, when it is done.

Pure. Called by the API with what the store has tallied; a batch of a hundred thousand tasks comes to a few
hundred numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from controller.core.model import Verdict

STEPS = 240
"""Instants of a timeline after its start."""
FINENESS = 4
"""Columns of the histogram for each doubling of a duration."""
COLUMNS = 24
"""Columns that are drawn, at most."""
SHORTEST = 1 / 16
"""Seconds below which a job took no time at all."""
ENOUGH = 3
"""Jobs that must have completed before a time of the end is foretold."""


@dataclass(frozen=True, slots=True)
class Tally:
    """Counts of one batch's attempts, all of one instant.

    ``took``: completed attempts by the step of the logarithm of their seconds, ``step_of``.
    """

    begun: Mapping[int, int]
    """Attempts that took their place in step n of the timeline."""
    ended: Mapping[int, int]
    """Attempts with a place that ended in step n."""
    took: Mapping[int, int]
    seconds: float
    """Seconds that the completed ones took together."""
    failures: Mapping[Verdict, int]
    """Attempts that ended without success, by verdict."""


def timeline(tally: Tally, seconds: float) -> list[tuple[float, int]]:
    """Active jobs from each point on, to be drawn as stairs; the timeline is so many seconds long."""
    changes = (tally.begun.get(n, 0) - tally.ended.get(n, 0) for n in range(STEPS))
    active = list(accumulate(changes))
    if not any(tally.begun.values()):
        return []
    points = [(0.0, 0)]
    for n, now in enumerate(active):
        if now != points[-1][1] or n == STEPS - 1:
            points.append((round((n + 1) * seconds / STEPS, 3), now))
    return points


def histogram(took: Mapping[int, int]) -> tuple[list[float], list[int]]:
    """Edges in seconds, one more than counts; neighbours are put together until there are few enough."""
    if not took:
        return [], []
    first, last = min(took), max(took)
    width = -(-(last - first + 1) // COLUMNS)
    starts = range(first, last + 1, width)
    counts = [sum(took.get(step, 0) for step in range(start, start + width)) for start in starts]
    return [edge(start) for start in (*starts, starts[-1] + width)], counts


def edge(step: int) -> float:
    """Seconds at which a step of the logarithm begins."""
    return float(round(2.0 ** (step / FINENESS), 3))


def median(took: Mapping[int, int]) -> float | None:
    """About so many seconds: the middle of the step in which the median lies."""
    total, passed = sum(took.values()), 0
    for step in sorted(took):
        passed += took[step]
        if 2 * passed >= total:
            return round(float((edge(step) * edge(step + 1)) ** 0.5), 3)
    return None


def time_left(tally: Tally, *, waiting: int, active: int, most: int) -> float | None:
    """Seconds until the batch is done, if jobs go on as those that completed, ``most`` at a time.

    What is active has on average half of its time behind it. None: too few have completed to tell.
    """
    done = sum(tally.took.values())
    if done < ENOUGH or most < 1 or not (waiting or active):
        return None
    mean = tally.seconds / done
    if waiting + active <= most:  # all of them side by side, however many places there are
        return round(mean if waiting else mean / 2, 1)
    return round(mean * (waiting + active / 2) / most + (mean / 2 if waiting else 0), 1)


def charts_document(
    tally: Tally, *, start: str, seconds: float, most: int, waiting: int, active: int, goes_on: bool
) -> dict[str, Any]:
    """All of it as plain data. ``start``: the instant at which the timeline begins, as text."""
    edges, counts = histogram(tally.took)
    failures = sorted(tally.failures.items(), key=lambda item: (-item[1], item[0].value))
    return {
        "timeline": {
            "start": start,
            "cap": most,
            "points": [list(point) for point in timeline(tally, seconds)],
        },
        "durations": {"edges": edges, "counts": counts},
        "median_seconds": median(tally.took),
        "eta_seconds": time_left(tally, waiting=waiting, active=active, most=most) if goes_on else None,
        "failures": {verdict.value: n for verdict, n in failures},
    }
