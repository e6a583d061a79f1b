"""What people are told, in stormy schedules: everything that must be, once, and nothing before it is so."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.simulation.crashes import Moment, attempt
from tests.simulation.planted import Bug, planted
from tests.simulation.planted_telling import OWN_WRITE, TELLING_BUGS
from tests.simulation.play import play
from tests.simulation.scenario import draw
from tests.simulation.situations import SMALL

SEEDS = 40
WITHIN = 60


@pytest.mark.parametrize("half", [range(SEEDS // 2), range(SEEDS // 2, SEEDS)], ids=["first", "second"])
def test_no_schedule_tells_it_wrong(half: range) -> None:
    """Crashes, outages and two that lead: the invariants hold as without it, and people are told rightly."""
    bad = [played.story for seed in half if not (played := play(replace(draw(seed), tells=True))).good]
    assert not bad, "\n\n".join(bad[:3])


@pytest.mark.parametrize("bug", TELLING_BUGS, ids=lambda bug: bug.name)
def test_a_planted_bug_is_caught(bug: Bug) -> None:
    """The judge catches it, and the very same schedule is good without it."""
    for seed in range(bug.first, bug.first + WITHIN):
        scenario = replace(draw(seed), **bug.figures)
        with planted(bug):
            caught = not play(scenario).good
        if caught:
            innocent = play(scenario)
            assert innocent.good, innocent.story
            print(f"{bug.name}: seed {seed}")  # noqa: T201 -- for -s
            return
    pytest.fail(f"{bug.name}: not caught in {WITHIN} seeds")


def test_a_write_of_its_own_is_caught() -> None:
    """A crash between a batch's end and the note that it is to be told loses it: the judge says so."""
    with planted(OWN_WRITE):
        writes = attempt(SMALL).writes
        ends = [n for n, write in enumerate(writes, 1) if ".set_batch" in write]
        tried = (attempt(SMALL, (n, Moment.AFTER)) for n in ends)
        assert any("nobody was told" in line for one in tried for line in one.wrong)
