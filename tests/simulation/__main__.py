"""``python -m tests.simulation --seed N [--story] [--trace] [--shrink]``, or many: ``--seeds FROM:TO``.

``--seeds FROM:`` goes on until ``--minutes`` are over. The exit code is 1 when one of them went wrong.
"""

from __future__ import annotations

import argparse
import re
import sys

from tests.simulation.campaign import soak
from tests.simulation.play import Played, play
from tests.simulation.scenario import draw
from tests.simulation.shrink import shrink

_MANY = re.compile(r"\d+:\d*")


def main(argv: list[str] | None = None) -> int:
    """Play one schedule or many; the exit code is 1 when one of them went wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seeds", metavar="FROM:TO", help="many; FROM: until the minutes are over")
    parser.add_argument("--jobs", type=int, default=1, help="processes for many; 0: one per core")
    parser.add_argument("--minutes", type=float, help="begin no schedule after so long")
    parser.add_argument("--story", action="store_true", help="what went wrong, and how it came to it")
    parser.add_argument("--trace", action="store_true", help="every entry that the oracle read")
    parser.add_argument("--shrink", action="store_true", help="the smallest world that still goes wrong")
    asked = parser.parse_args(argv)
    if asked.shrink and asked.trace:
        parser.error("--trace shows the whole schedule, and --shrink makes it another: leave out one of them")
    if asked.seeds:
        if asked.story or asked.trace or asked.shrink:
            parser.error("--story, --trace and --shrink are for one --seed; of many, what goes wrong is told")
        if not _MANY.fullmatch(asked.seeds):
            parser.error(f"--seeds {asked.seeds}: write the first and the one after the last, as 2000:3000")
        first, _, last = asked.seeds.partition(":")
        if not last and asked.minutes is None:
            parser.error("FROM: without an end needs --minutes")
        campaign = soak(
            int(first), int(last) if last else None, jobs=asked.jobs, minutes=asked.minutes, say=_say
        )
        _say(f"{campaign.line}; go on with --seeds {campaign.next}:")
        return 1 if campaign.bad else 0
    if asked.minutes is not None or asked.jobs != 1:
        parser.error("--minutes and --jobs are for many --seeds")
    played = play(draw(asked.seed), tracing=asked.trace)
    if not played.good and asked.shrink:
        played = shrink(draw(asked.seed), played)
    _show(played, story=asked.story or asked.shrink)
    return 0 if played.good else 1


def _show(played: Played, *, story: bool) -> None:
    for line in played.trace:
        _say(line)
    verdict = "good" if played.good else f"BAD {sorted(set(played.invariants))}"
    figures = f"{played.virtual:7.0f} s virtual, {played.wall:5.2f} s, {played.calls} calls"
    _say(f"seed {played.seed}: {verdict}; {figures}, {len(played.faults)} faults")
    if story and not played.good:
        _say(played.story)


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
