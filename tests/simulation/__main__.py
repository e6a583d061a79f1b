"""``python -m tests.simulation --seed N [--story] [--trace] [--shrink]``, or ``--seeds FROM:TO``."""

from __future__ import annotations

import argparse
import sys

from tests.simulation.play import Played, play
from tests.simulation.scenario import draw
from tests.simulation.shrink import shrink


def main(argv: list[str] | None = None) -> int:
    """Play one schedule or many; the exit code is 1 when one of them went wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--seeds", metavar="FROM:TO")
    parser.add_argument("--story", action="store_true", help="what went wrong, and how it came to it")
    parser.add_argument("--trace", action="store_true", help="every entry that the oracle read")
    parser.add_argument("--shrink", action="store_true", help="leave out the faults that don't matter")
    asked = parser.parse_args(argv)
    first, _, last = (asked.seeds or f"{asked.seed or 0}:{(asked.seed or 0) + 1}").partition(":")
    bad = 0
    for seed in range(int(first), int(last)):
        played = play(draw(seed), tracing=asked.trace)
        if not played.good and asked.shrink:
            played = shrink(draw(seed), played)
        bad += not played.good
        _show(played, story=asked.story or asked.shrink, trace=asked.trace)
    return 1 if bad else 0


def _show(played: Played, *, story: bool, trace: bool) -> None:
    for line in played.trace if trace else ():
        sys.stdout.write(f"{line}\n")
    verdict = "good" if played.good else f"BAD {sorted(set(played.invariants))}"
    figures = f"{played.virtual:7.0f} s virtual, {played.wall:5.2f} s, {played.calls} calls"
    sys.stdout.write(f"seed {played.seed}: {verdict}; {figures}, {len(played.faults)} faults\n")
    if story and not played.good:
        sys.stdout.write(f"{played.story}\n")


if __name__ == "__main__":
    sys.exit(main())
