"""Thousands of schedules of the whole engine, judged by the oracle (``SIM_SEEDS=from:to`` for others)."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.simulation.faults import HOWS, SLOW_LIST, Fault
from tests.simulation.mishaps import KINDS
from tests.simulation.people import ASKS
from tests.simulation.play import Played, play
from tests.simulation.refusals import REFUSED
from tests.simulation.scenario import BIG_EVERY, SELDOM, draw
from tests.simulation.set_backs import SET_BACK

ROOT = Path(__file__).parents[2]
PORTION = 25
"""Schedules per test, so that several workers share them."""
PLAYED = 2000


def _portions() -> list[range]:
    first, _, last = os.environ.get("SIM_SEEDS", f"0:{PLAYED}").partition(":")
    return [range(at, min(at + PORTION, int(last))) for at in range(int(first), int(last), PORTION)]


@pytest.mark.parametrize("seeds", _portions(), ids=lambda seeds: f"{seeds.start}-{seeds.stop}")
def test_no_schedule_breaks_an_invariant(
    seeds: range, record_property: Callable[[str, object], None]
) -> None:
    """Whatever strikes, the invariants hold at every revision and everything comes to its right end."""
    began = time.process_time()
    bad = [played.story for seed in seeds if not (played := play(draw(seed))).good]
    record_property("schedules", len(seeds))
    record_property("cpu_seconds", time.process_time() - began)
    assert not bad, "\n\n".join(bad[:3])


EXPLAINED = 6
"""Schedules in which ``explain`` is asked whatever happens; in the others now and then."""


def test_explain_is_asked_after_every_single_call() -> None:
    """About every batch and every attempt, whatever has just happened: it always knows why."""
    played = [play(replace(draw(seed), explain_every=1)) for seed in range(EXPLAINED)]
    bad = [one.story for one in played if not one.good]
    assert not bad, "\n\n".join(bad[:3])
    assert all(one.explained > one.calls for one in played)


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


def test_what_the_schedules_are_made_of() -> None:
    """Five hundred at least in which all believe they lead, as many with spoiled hints, some big ones."""
    drawn = [draw(seed) for seed in range(PLAYED)]
    assert sum(one.split_brain for one in drawn) >= 500
    spoiled = [one for one in drawn if one.hints_lost or one.reordered or one.rates.get(Fault.STALE)]
    assert len(spoiled) >= 500
    big = [one for one in drawn if sum(plan.tasks for plan in one.batches) >= 48]
    assert len(big) == PLAYED // BIG_EVERY
    assert max(sum(plan.tasks for plan in one.batches) for one in big) > 400
    assert all(5 <= one.most_faults <= 30 for one in big)


def only(fault: Fault) -> Played:
    """The first of some calm worlds in which it strikes: a call that it can strike may be seldom."""
    for seed in range(5, 25):
        calm = replace(draw(seed), slow_lists=0.0, set_backs=0)
        played = play(replace(calm, rates={fault: 0.5 if fault in SELDOM else 0.01}))
        if fault in struck_in(played) or not played.good:
            break
    return played


def struck_in(*played: Played) -> set[str]:
    """Kinds of what struck, or happened, there."""
    said = [fault.split(": ", 1)[1].split(" at ")[0] for one in played for fault in one.faults]
    return {what.partition(" of ")[0] for what in said}


def test_every_kind_of_fault_strikes_and_explain_is_asked() -> None:
    """Each kind alone, and everything that happens around the engine; explain answers a thousand times."""
    alone = [only(fault) for fault in Fault]
    around: dict[str, Any] = {"mishaps": 16, "failovers": 2, "edits": 3, "bulk": 2, "requests": 10}
    around |= {"orphans": 4, "torn": 1.0, "slow_lists": 0.3, "set_backs": 2, "refusals": 2}
    played = [*alone, *(play(replace(draw(seed), rates={}, most_faults=99, **around)) for seed in range(6))]
    bad = [one.story for one in played if not one.good]
    assert not bad, "\n\n".join(bad)
    struck = struck_in(*played)
    asked = {f"asks: {kind}" for kind in ASKS}
    assert {*Fault, "asks: bulk retry", *asked} <= struck
    assert {"orphan", SLOW_LIST, SET_BACK, REFUSED, *(f"the stream {how}" for how in HOWS)} <= struck
    assert {*(kind.partition(" of ")[0] for kind in KINDS), "failover", "edits a spec"} <= struck
    assert sum(one.explained for one in played) > 1000
