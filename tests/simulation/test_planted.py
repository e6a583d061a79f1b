"""Bugs planted into the engine: a harness that can't find them would prove nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.simulation.planted import BUGS, Bug, planted
from tests.simulation.planted_adoption import ADOPTION_BUGS
from tests.simulation.play import Played, play
from tests.simulation.scenario import draw

WITHIN = 100
"""Schedules within which each bug must be caught; most are by the first few."""


def _hunt(bug: Bug) -> Played | None:
    """The first schedule that goes wrong with the bug in the engine."""
    with planted(bug):
        for seed in range(bug.first, bug.first + WITHIN):
            played = play(replace(draw(seed), **bug.figures))
            if not played.good:
                return played
    return None


@pytest.mark.parametrize("bug", [*BUGS, *ADOPTION_BUGS], ids=lambda bug: bug.name)
def test_a_planted_bug_is_caught(bug: Bug, record_property: Callable[[str, object], None]) -> None:
    """The oracle catches it, and the very same schedule is good without it."""
    caught = _hunt(bug)
    assert caught is not None, f"{bug.name}: not caught in {WITHIN} seeds"
    record_property("seed", caught.seed)
    print(f"{bug.name:45} seed {caught.seed:3}  {sorted(set(caught.invariants))}")  # noqa: T201 -- the table
    innocent = play(replace(draw(caught.seed), **bug.figures))
    assert innocent.good, innocent.story
