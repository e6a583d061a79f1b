"""A schedule that fails is shrunk to a story that a person can read, and many are played on many cores."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from tests.simulation import campaign
from tests.simulation.__main__ import main
from tests.simulation.campaign import soak
from tests.simulation.planted import BUGS, planted
from tests.simulation.planted_table import hunt
from tests.simulation.scenario import draw
from tests.simulation.shrink import shrink


def test_a_failure_is_shrunk_to_what_matters() -> None:
    """Of several batches, dozens of faults and tasks one batch, a few tasks and a fault or two are left."""
    (bug,) = (bug for bug in BUGS if bug.name == "timeout taken for a failure")
    failed = hunt(bug, range(4, 100))
    assert failed is not None
    with planted(bug):
        small = shrink(replace(draw(failed.seed), **bug.figures), failed)
    assert len(failed.faults) > 10
    assert len(small.faults) <= 2
    assert any("at replica-" in fault and "cluster.create" in fault for fault in small.faults)
    assert set(small.invariants) & set(failed.invariants), "it may break others on top"
    lines = small.story.splitlines()
    (world,) = re.findall(r"in a world of (\S+) of (\d) tasks?", lines[1])
    assert int(world[1]) <= 5
    told = [line for line in lines if not re.match(r"and \d+ more: ", line)]
    assert any(f"{world[0]}-t" in line for line in told[-2:])
    assert any("status=created" in line for line in lines)
    assert len(lines) < 60


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


@pytest.mark.parametrize(
    "words",
    [
        ["--seeds", "0:2", "--trace"],
        ["--seeds", "0:2", "--shrink"],
        ["--seeds", "0"],
        ["--seeds", "0:"],
        ["--seed", "3", "--minutes", "1"],
        ["--seed", "3", "--jobs", "2"],
        ["--seed", "3", "--trace", "--shrink"],
    ],
    ids=" ".join,
)
def test_what_would_be_ignored_is_refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Nobody waits for a trace that never comes."""
    with pytest.raises(SystemExit) as refused:
        main(words)
    assert refused.value.code == 2
    assert "--" in capsys.readouterr().err.splitlines()[-1]


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
