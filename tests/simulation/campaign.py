"""Many schedules on many cores, for as long as is given: the figures, and what went wrong, shrunk."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, field

from tests.simulation.play import Played, play
from tests.simulation.scenario import draw
from tests.simulation.shrink import shrink

PORTION = 25
"""Schedules that a worker plays at a time."""
MOST_STORIES = 5
"""Failures that are shrunk and told; the others are counted and named."""


@dataclass(slots=True)
class Campaign:
    """What came of a range of seeds: all from ``first`` up to ``next`` were played."""

    first: int
    next: int
    calls: int = 0
    faults: int = 0
    seconds: float = 0.0
    bad: list[Played] = field(default_factory=list)

    @property
    def played(self) -> int:
        """How many schedules."""
        return self.next - self.first

    @property
    def line(self) -> str:
        """The figures in one line."""
        rate = self.played / self.seconds if self.seconds else 0.0
        seeds = ", ".join(str(one.seed) for one in self.bad[:20])
        return (
            f"{self.played} schedules in {self.seconds:.0f} s: {rate:.1f} a second, {self.calls} calls, "
            f"{self.faults} faults; {len(self.bad)} went wrong{': seeds ' + seeds if seeds else ''}"
        )


def soak(
    first: int,
    last: int | None,
    *,
    jobs: int = 0,
    minutes: float | None = None,
    say: Callable[[str], None],
) -> Campaign:
    """Play seeds from ``first`` on, up to ``last`` or until the time is over; portions in their order.

    ``jobs``: processes, 0 for one per core. ``say`` hears the figures about every minute, and each
    failure's story.
    """
    began, told = time.monotonic(), time.monotonic()
    until = None if minutes is None else began + minutes * 60
    campaign = Campaign(first, first)
    with ProcessPoolExecutor(jobs or os.cpu_count()) as pool:
        for portion, played in _in_order(pool, _portions(first, last), jobs or os.cpu_count() or 1, until):
            campaign.next = portion.stop
            campaign.seconds = time.monotonic() - began
            campaign.calls += sum(one.calls for one in played)
            campaign.faults += sum(len(one.faults) for one in played)
            for one in played:
                if not one.good:
                    campaign.bad.append(one)
                    say(_story(one) if len(campaign.bad) <= MOST_STORIES else f"seed {one.seed} went wrong")
            if time.monotonic() - told > 60:
                told = time.monotonic()
                say(f"{campaign.line}; at seed {campaign.next}")
    return campaign


def _portions(first: int, last: int | None) -> Iterator[range]:
    at = first
    while last is None or at < last:
        yield range(at, at + PORTION if last is None else min(at + PORTION, last))
        at += PORTION


def _in_order(
    pool: ProcessPoolExecutor, portions: Iterator[range], jobs: int, until: float | None
) -> Iterator[tuple[range, list[Played]]]:
    """Results in the order of the seeds; once the time is over, nothing new is begun."""
    under_way: deque[tuple[range, Future[list[Played]]]] = deque()
    while True:
        while len(under_way) < 2 * jobs and (until is None or time.monotonic() < until):
            portion = next(portions, None)
            if portion is None:
                break
            under_way.append((portion, pool.submit(_play_all, portion)))
        if not under_way:
            return
        portion, future = under_way.popleft()
        yield portion, future.result()


def _play_all(seeds: range) -> list[Played]:
    return [play(draw(seed)) for seed in seeds]


def _story(failed: Played) -> str:
    return shrink(draw(failed.seed), failed).story
