"""Hundreds of seeded schedules of the whole engine, judged by the oracle (``SIM_SEEDS=from:to`` for more)."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.simulation.play import play
from tests.simulation.scenario import draw

ROOT = Path(__file__).parents[2]
PORTION = 25
"""Schedules per test, so that several workers share them."""


def _portions() -> list[range]:
    first, _, last = os.environ.get("SIM_SEEDS", "0:300").partition(":")
    return [range(at, min(at + PORTION, int(last))) for at in range(int(first), int(last), PORTION)]


@pytest.mark.parametrize("seeds", _portions(), ids=lambda seeds: f"{seeds.start}-{seeds.stop}")
def test_no_schedule_breaks_an_invariant(
    seeds: range, record_property: Callable[[str, object], None]
) -> None:
    """Whatever strikes, the invariants hold at every revision and everything comes to its right end."""
    began = time.process_time()
    bad = [played.story for seed in seeds if not (played := play(draw(seed))).good]
    rate = len(seeds) / (time.process_time() - began)
    record_property("schedules_per_second", round(rate, 1))
    print(f"schedules {seeds.start} to {seeds.stop - 1}: {rate:.1f} a second of CPU")  # noqa: T201 -- for -s
    assert not bad, "\n\n".join(bad[:3])


_TRACE = (
    "import sys; sys.path[:0] = ['.']\n"
    "from tests.simulation.play import play; from tests.simulation.scenario import draw\n"
    "for seed in (1, 8, 23): played = play(draw(seed), tracing=True); "
    "print(*played.trace, *played.faults, sep='\\n')\n"
)


def _trace(hash_seed: str) -> str:
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    done = subprocess.run(
        [sys.executable, "-c", _TRACE], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout


def test_a_seed_is_the_whole_truth() -> None:
    """The same seed gives byte for byte the same trace, in fresh processes with other hash seeds too."""
    one, other = _trace("1"), _trace("4711")
    here = [play(draw(seed), tracing=True) for seed in (1, 8, 23)]
    assert (
        one == other == "\n".join(line for played in here for line in (*played.trace, *played.faults)) + "\n"
    )


def test_faults_strike_and_explain_is_asked() -> None:
    """The schedules are stormy: every kind of fault strikes, and explain answers thousands of times."""
    played = [play(draw(seed)) for seed in range(12)]
    kinds = {fault.split(": ")[1].split(" at ")[0] for one in played for fault in one.faults}
    assert len(kinds) >= 15
    assert sum(one.explained for one in played) > 1000
