"""``python -m tests.failover [--times N] [--minutes M] [--seed S]``: every trouble N times, drawn from seeds.
``… --seed 7 rolled_back stepped_down``: these, one after the other, in one daemon's life.

A seed says what befalls which batch and roughly when; machines differ in how far a batch has come by then, so
a seed that fails is a hint where to look, not a replay.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence

from pymongo.errors import PyMongoError

from tests.e2e.conftest import folder
from tests.failover.conftest import judged
from tests.failover.members import ReplicaSet, three_members
from tests.failover.place import FailoverPlace
from tests.failover.troubles import TROUBLES, Run

IN_A_LIFE = 3
"""Troubles, one batch each, of one daemon."""


def main(argv: list[str] | None = None) -> int:
    """Until each trouble was met so often, or the time is over; exit code 1 when anything went wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.failover")
    parser.add_argument("--times", type=int, default=int(os.environ.get("REAL_TIMES", "1")))
    parser.add_argument("--minutes", type=float, default=24 * 60.0, help="no new one begins after so long")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("troubles", nargs="*", metavar="TROUBLE", choices=[[], *TROUBLES])
    asked = parser.parse_args(argv)
    until = time.monotonic() + 60 * asked.minutes
    met, wrong, seed = Counter(dict.fromkeys(TROUBLES, 0)), 0, asked.seed
    with three_members() as members:
        while min(met[one] for one in asked.troubles or met) < asked.times and time.monotonic() < until:
            troubles = asked.troubles or drawn(met, random.Random(seed))
            why = went_wrong(members, troubles, random.Random(seed))
            met.update(troubles)
            wrong += bool(why)
            _say(f"seed {seed}: {' '.join(troubles)}: {'BAD' if why else 'good'}{why}")
            seed += 1
    for trouble, times in met.items():
        _say(f"{times:6} × {trouble}")
    _say(f"{sum(met.values())} troubles in {seed - asked.seed} lives, {wrong} of them went wrong")
    return 1 if wrong else 0


def drawn(met: Counter[str], dice: random.Random) -> list[str]:
    """The next ones: those that were met least, in any order."""
    return sorted(TROUBLES, key=lambda trouble: (met[trouble], dice.random()))[:IN_A_LIFE]


def went_wrong(members: ReplicaSet, troubles: Sequence[str], dice: random.Random) -> str:
    """One daemon's life with these; why it was not good, or nothing."""
    try:
        members.healed()
        with folder() as root, judged(FailoverPlace(root, members)) as place:
            run = Run(place, place.start(), dice)
            for trouble in troubles:
                run.befalls(trouble)
            run.ends_well()
    except (AssertionError, PyMongoError, OSError, subprocess.SubprocessError) as error:
        return f"\n{type(error).__name__}: {error}"
    return ""


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
