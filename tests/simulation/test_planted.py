"""Bugs planted into the engine: a harness that can't find them would prove nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import pytest

from tests.engine import test_adoption_breaks as broken_off
from tests.oracle.invariants import Invariant
from tests.simulation import test_traces as played
from tests.simulation import traps
from tests.simulation.crashes import attempt
from tests.simulation.planted import BUGS, Bug, planted
from tests.simulation.planted_adoption import ADOPTION_BUGS, HALF_DONE
from tests.simulation.planted_brake import BRAKE_BUGS
from tests.simulation.planted_care import CALLED_OTHERS, CARE_BUGS
from tests.simulation.planted_rules import GHOST, NAMESAKE, RULE_BUGS
from tests.simulation.planted_speed import SPEED_BUGS
from tests.simulation.planted_table import ALL, PROOF, hunt, innocent, rendered
from tests.simulation.planted_telling import OWN_WRITE
from tests.simulation.planted_truth import TRUTH_BUGS
from tests.simulation.situations import BESIDE_A_GHOST

WITHIN = 100
"""Schedules within which each bug must be caught; most are by the first few."""
BROKEN: Mapping[str, frozenset[str]] = {CALLED_OTHERS.name: frozenset({Invariant.TRUTH})}
"""What a bug must break, where that matters: a success is lost also where the engine counted its object as
others', for labels tell whose it is."""
ELSEWHERE = (GHOST, NAMESAKE, OWN_WRITE, HALF_DONE)
"""Bugs that no schedule need meet: a situation, a trace, a crash point finds them."""


@pytest.mark.parametrize(
    "bug",
    [*BUGS, *RULE_BUGS, *ADOPTION_BUGS, *SPEED_BUGS, *CARE_BUGS, *TRUTH_BUGS, *BRAKE_BUGS],
    ids=lambda bug: bug.name,
)
def test_a_planted_bug_is_caught(bug: Bug, record_property: Callable[[str, object], None]) -> None:
    """The oracle catches it, and the very same schedule is good without it."""
    caught = hunt(bug, range(bug.first, bug.first + WITHIN))
    assert caught is not None, f"{bug.name}: not caught in {WITHIN} seeds"
    assert BROKEN.get(bug.name, frozenset()) <= set(caught.invariants)
    record_property("seed", caught.seed)
    print(f"{bug.name:45} seed {caught.seed:3}  {sorted(set(caught.invariants))}")  # noqa: T201 -- the table
    without = innocent(bug, caught)
    assert without.good, without.story


@dataclass(frozen=True, slots=True)
class Told:
    """A trace of lifecycle section 6 as ``test_traces.py`` plays it, and the bug that it is there for."""

    bug: str
    trace: Callable[[], None]


TOLD: Mapping[str, Told] = {
    "A1": Told("slot freed on 404", played.test_a1_lost_while_a_create_is_in_flight),
    "A2": Told("slot freed on 404", played.test_a2_reaped_while_a_create_is_in_flight),
    "A3": Told("result expires while a create is open", played.test_a3_a_late_create_finds_its_finished_twin),
    "A4": Told("slot freed on 404", played.test_a4_cancelled_while_a_create_is_in_flight),
    "A5": Told("maximum not asked again", played.test_a5_max_lowered_between_plan_and_claim),
    "A7": Told("foreign not asked again", played.test_a7_foreign_jobs_arrive_between_plan_and_claim),
    "A8": Told("known by its name", played.test_a8_a_foreign_job_is_replaced_by_its_namesake),
    "A10": Told("shut gate not asked again", played.test_a10_a_claim_planned_before_the_batch_was_cancelled),
    "B1": Told("ended once its delete was asked", played.test_b1_no_retry_while_the_pod_lingers),
    "B2": Told(
        "timeout taken for a failure", played.test_b2_a_collision_that_vanishes_before_our_late_create
    ),
    "B4": Told("toggle before parents", played.test_b4_a_child_that_is_cancelled_while_it_waits),
    "B5": Told("stop forgotten at the end", played.test_b5_exit_2_during_a_cancel),
    "F5": Told("another uid is lost", played.test_f5_a_live_job_of_another_uid_is_not_lost),
    "E": Told("records not stamped", played.test_e_a_stale_leader_changes_nothing),
}


def _named(name: str) -> Bug:
    return next(bug for bug in (*ALL, *ELSEWHERE) if bug.name == name)


@pytest.mark.parametrize("label", TOLD)
def test_a_trace_fails_with_its_bug(label: str) -> None:
    """Each trace that is kept as a test can fail: it does, when what it is there for is planted."""
    told = TOLD[label]
    with planted(_named(told.bug)), pytest.raises((AssertionError, StopIteration)):
        told.trace()
    assert told.bug in traps.TRAPS[label].bugs


def test_a_ghost_that_is_left_alone_is_caught() -> None:
    """A live job whose record has ended is counted, or a job that starts beside it is one too many."""
    undisturbed = attempt(BESIDE_A_GHOST)
    assert not undisturbed.wrong, undisturbed
    with planted(GHOST):
        assert any("1-foreign-counted" in line for line in attempt(BESIDE_A_GHOST).wrong)


def test_half_a_take_over_that_is_forgotten_is_caught() -> None:
    """Schedules seldom break one off just there, and take its object away as well: a test by name does."""
    with planted(HALF_DONE), pytest.raises(AssertionError):
        broken_off.test_an_object_that_goes_between_its_place_and_its_record()


def test_every_rule_and_trace_has_a_planted_bug() -> None:
    """None is without one, none names a bug that is not there, and no bug is there for nothing."""
    assert set(traps.TRAPS) >= {*traps.RULES, *traps.TRACES, *traps.INVARIANTS}
    assert set(TOLD) == set(traps.TRACES)
    named = {bug for trap in traps.TRAPS.values() for bug in trap.bugs}
    there = {bug.name for bug in (*ALL, *ELSEWHERE)}
    assert named == there
    assert len(there) == len(ALL) + len(ELSEWHERE) >= 30


def test_the_document_shows_the_table() -> None:
    """docs/proof.md has the table of traps as it is here, and a line for each hunted bug."""
    text = PROOF.read_text("utf-8")
    assert rendered(text) == text, "python -m tests.simulation.traps writes it anew"
    assert not [bug.name for bug in ALL if f"| {bug.name} |" not in text]
