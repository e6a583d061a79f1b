"""What is stopped is looked at live before its object goes: a success that a stale list hides is kept."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from controller.core.decide import Act, Lifecycle, Move, Reason, Sight, next_move
from controller.core.machine import Event
from controller.core.model import Attempt, OpenCreate, Status, Stop, TerminatedCode
from controller.core.sight import ClusterJob, Live
from tests.core.chains import NOW, root

RUNNING = ClusterJob(
    name="sweep-1", namespace="lab", uid="u1", job_id="j", batch_id="b", started_at=NOW, pod_unfinished=True
)
SUCCEEDED = replace(RUNNING, finished=True, pod_unfinished=False, succeeded=True, exit_code=0)
LIFE = Lifecycle()


@pytest.fixture
def stopped() -> Attempt:
    """A running attempt that somebody cancelled."""
    stop = Stop("not needed", "local:alice", NOW, TerminatedCode.USER)
    return root(status=Status.RUNNING, scheduler_id="u1", running=NOW, slot=0, stop=stop)


def moved(job: Attempt, sight: Sight) -> Move:
    """The attempt's next step, which there is."""
    move = next_move(job, sight, NOW, LIFE)
    assert move is not None
    return move


def test_a_list_deletes_nothing(stopped: Attempt) -> None:
    """The object of a list may have succeeded since: it is looked at before it is deleted."""
    move = moved(stopped, Sight.listed(RUNNING))
    assert (move.act, move.reason) == (Act.LOOK, Reason.STOPPING)


def test_a_live_look_at_what_runs_deletes_it(stopped: Attempt) -> None:
    """What still runs when it is looked at goes, by the very uid that was seen."""
    move = moved(stopped, Sight.answered(Live(asked=1.0, job=RUNNING)))
    assert (move.act, move.uid) == (Act.DELETE, "u1")


def test_what_is_going_already_is_left_alone(stopped: Attempt) -> None:
    """A delete that is under way is not asked for again."""
    assert next_move(stopped, Sight.listed(replace(RUNNING, deleting=True)), NOW, LIFE) is None


def test_a_success_that_the_live_look_finds_ends_it(stopped: Attempt) -> None:
    """It ended in spite of the stop: nothing is deleted, its end is written (R4)."""
    move = moved(stopped, Sight.answered(Live(asked=1.0, job=SUCCEEDED)))
    assert move.act is Act.END


def test_a_success_with_an_open_create_is_recorded_before_its_object_goes(stopped: Attempt) -> None:
    """The name must be buried, so the object goes; that it succeeded stands on the record first (R5)."""
    waiting = replace(stopped, open_creates=(OpenCreate("t", NOW - timedelta(seconds=9)),))
    move = moved(waiting, Sight.answered(Live(asked=1.0, job=SUCCEEDED)))
    assert move.change is not None
    assert (move.act, move.change.event, move.change.fields) == (Act.WRITE, Event.SEEN, {"exit_code": 0})
