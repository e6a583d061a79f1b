"""A schedule that fails is shrunk to a story that a person can read, and many are played on many cores."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.simulation import campaign
from tests.simulation.__main__ import main
from tests.simulation.campaign import soak
from tests.simulation.planted import BUGS, planted
from tests.simulation.play import play
from tests.simulation.scenario import draw
from tests.simulation.shrink import shrink


def test_a_failure_is_shrunk_to_what_matters() -> None:
    """Of three batches, dozens of faults and tasks one batch, two tasks at most and one fault are left."""
    (bug,) = (bug for bug in BUGS if bug.name == "timeout taken for a failure")
    with planted(bug):
        scenario = replace(draw(0), **bug.figures)
        failed = play(scenario)
        small = shrink(scenario, failed)
    assert len(failed.faults) > 10
    assert len(small.faults) == 1
    assert "late at replica-0 cluster.create" in small.faults[0]
    assert set(small.invariants) <= set(failed.invariants)
    world, what = small.story.splitlines()[1], small.story.splitlines()[3]
    assert world.startswith("in a world of scan-iron of 2 tasks")
    assert what == "2-started-after-its-end: scan-iron-t0 started after its record was error"
    assert any("scan-iron-t0 status=created" in line for line in small.story.splitlines()[4:])
    assert any("holders={'scan-iron-t0': 0" in line for line in small.story.splitlines())


def test_seeds_are_played_on_many_cores(capsys: pytest.CaptureFixture[str]) -> None:
    """In their order, with their figures, and the exit code says whether all were good."""
    told: list[str] = []
    come = soak(0, 6, jobs=2, say=told.append)
    assert (come.first, come.next, come.played) == (0, 6, 6)
    assert come.calls > 1000
    assert not come.bad
    assert main(["--seeds", "0:2"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("2 schedules in ")
    assert "0 went wrong; go on with --seeds 2:" in said


def test_one_that_goes_wrong_is_told_and_is_the_exit_code(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The seed is named with its story, and the exit code is 1."""
    monkeypatch.setattr(campaign, "shrink", lambda scenario, failed: replace(failed, small="one batch"))
    (bug,) = (bug for bug in BUGS if bug.name == "toggle before parents")
    with planted(bug):
        assert main(["--seeds", "0:1"]) == 1
    said = capsys.readouterr().out
    assert "again: python -m tests.simulation --seed 0 --shrink" in said
    assert "4-toggle-before-lists" in said
    assert "1 went wrong: seeds 0; go on with --seeds 1:" in said
