"""Every ordered pair of crashes: at one side effect, and in the life after it at another (the long run).

``python -m tests.simulation.crash_pairs [--seconds N] [--processes 2]`` plays all pairs of the situations
that create, retry and reap. The exit code is 1 when something was wrong after one of them.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tests.simulation.crashes import Crash, Moment, after, attempt
from tests.simulation.situations import PAIRS

SHOWN = 10
"""Things that were wrong, as far as they are printed."""


@dataclass(frozen=True, slots=True)
class Unit:
    """One first crash, and until which monotonic instant its pairs may be played."""

    situation: int
    """Its place in ``PAIRS``: what it does can't be sent to another process."""
    first: Crash
    until: float


@dataclass(frozen=True, slots=True)
class Done:
    """What came of a unit: plays that were made, what was wrong, and whether there was time for all."""

    situation: int
    plays: int
    wrong: tuple[str, ...]
    whole: bool


def play_unit(unit: Unit) -> Done:
    """The first crash alone, then with a second one at each side effect after it."""
    situation = PAIRS[unit.situation]
    if time.monotonic() > unit.until:
        return Done(unit.situation, 0, (), whole=False)
    before = attempt(situation, unit.first)
    bad = [str(before)] if before.wrong else []
    plays = 0
    for tried in after(situation, before):
        if time.monotonic() > unit.until:
            return Done(unit.situation, plays, tuple(bad), whole=False)
        plays += 1
        bad += [str(tried)] if tried.wrong else []
    return Done(unit.situation, plays, tuple(bad), whole=True)


def units(until: float) -> Iterator[Unit]:
    """Every first crash of every situation; the situations take turns, so that a short run sees all."""
    numbers = [len(attempt(situation).writes) for situation in PAIRS]
    for number in range(1, max(numbers) + 1):
        for place, most in enumerate(numbers):
            if number <= most:
                yield from (Unit(place, (number, moment), until) for moment in Moment)


def main(argv: Sequence[str] | None = None) -> int:
    """Play them and print a line for each situation."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.crash_pairs")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop after so long")
    parser.add_argument("--processes", type=int, default=2)
    asked = parser.parse_args(argv)
    began = time.monotonic()
    plays, left, bad = Counter[int](), Counter[int](), list[str]()
    with multiprocessing.Pool(asked.processes) as pool:
        for done in pool.imap_unordered(play_unit, units(began + asked.seconds)):
            plays[done.situation] += done.plays
            left[done.situation] += not done.whole
            bad += [f"{PAIRS[done.situation].name}: {line}" for line in done.wrong]
    for place, situation in enumerate(PAIRS):
        rest = f", {left[place]} first crashes not followed to the end" if left[place] else ""
        sys.stdout.write(f"{situation.name:22} {plays[place]:6} pairs{rest}\n")
    seconds = time.monotonic() - began
    sys.stdout.write(f"{plays.total()} pairs in {seconds:.0f} s, {len(bad)} wrong\n")
    sys.stdout.writelines(f"{line}\n" for line in bad[:SHOWN])
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
