"""Shrinking: leave out one fault after the other as long as the same invariant still breaks."""

from __future__ import annotations

from tests.simulation.play import Played, play
from tests.simulation.scenario import Scenario


def shrink(scenario: Scenario, failed: Played, rounds: int = 3) -> Played:
    """The same failure after fewer faults; the schedule as it was, if none can be left out."""
    best, without = failed, frozenset[int]()
    for _ in range(rounds):
        before = without
        for number in range(1, _numbers(failed) + 1):
            if number in without:
                continue
            tried = play(scenario, without=without | {number})
            if set(tried.invariants) & set(failed.invariants):
                best, without = tried, without | {number}
        if without == before:
            break
    return best


def _numbers(played: Played) -> int:
    """The highest number of a fault that struck."""
    return max((int(fault.split("fault ")[1].split(":")[0]) for fault in played.faults), default=0)
