"""An object that was accepted and gets no pod, or one that does not start: quota, PodSecurity, clocks."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from controller.core.decide import Lifecycle, Move, Sight, ended, next_move
from controller.core.model import Attempt, Evidence, Status, Stop, TerminatedCode
from controller.core.sight import ClusterJob, Live
from tests.core.chains import NOW, root

SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)
LIFE = Lifecycle()
LISTED = Sight.listed


def live(job: ClusterJob) -> Sight:
    """A live answer."""
    return Sight.answered(Live(1.0, job))


def queued(**fields: Any) -> Attempt:
    """An attempt that the cluster has accepted."""
    known: dict[str, Any] = {"status": Status.QUEUED, "slot": 0, "created": NOW, "queued": NOW}
    return root(**(known | {"scheduler_id": "u1"} | fields))


def gist(move: Move | None) -> str:
    """What a move does, and what it writes."""
    if move is None:
        return "-"
    return f"{move.act} {move.change.event}" if move.change else str(move.act)


PODLESS = ClusterJob("sweep-7", "lab", "u1", "7-0", "batch", created_at=NOW - 2 * MINUTE)
QUOTA = 'FailedCreate: Error creating: pods "sweep-7-x" is forbidden: exceeded quota: pods, used: pods=5'
NO_ACCOUNT = (
    'FailedCreate: Error creating: pods "sweep-7-x" is forbidden: error looking up service account '
    'lab/default: serviceaccount "default" not found'
)
REFUSED = 'FailedCreate: Error creating: pods "sweep-7-x" is forbidden: violates PodSecurity "baseline"'


@pytest.mark.parametrize(
    ("sight", "expected"),
    [
        (LISTED(PODLESS), "look"),
        (LISTED(replace(PODLESS, created_at=NOW - 50 * SECOND)), "-"),
        (LISTED(replace(PODLESS, pod_unfinished=True)), "-"),
        (LISTED(replace(PODLESS, scheduled_at=NOW)), "-"),
        (LISTED(replace(PODLESS, created_at=None)), "-"),
        (live(PODLESS), "-"),
        (live(replace(PODLESS, events=(QUOTA,))), "write seen"),
        (live(replace(PODLESS, events=(NO_ACCOUNT,))), "write seen"),
        (live(replace(PODLESS, events=(QUOTA, REFUSED))), "write given-up"),
        (live(replace(PODLESS, events=(REFUSED, QUOTA))), "write seen"),
    ],
)
def test_an_object_that_gets_no_pod(sight: Sight, expected: str) -> None:
    """Quotas and admission refuse no job, only its pod: what heals is waited for, the rest is an end."""
    assert gist(next_move(queued(), sight, NOW, LIFE)) == expected


def test_a_pod_that_is_refused_ends_its_attempt_as_rejected() -> None:
    """The order's why is the verdict, and the event that decided it is kept."""
    move = next_move(queued(), live(replace(PODLESS, events=(REFUSED,))), NOW, LIFE)
    assert move is not None
    assert move.change is not None
    assert (move.change.fields["stop"].why, move.change.fields["stop"].code) == ("rejected", None)
    assert move.change.fields["evidence"].events == (REFUSED,)


def test_the_same_quota_is_told_once() -> None:
    """A record is not written again in every pass for an event that it holds already."""
    told = queued(evidence=Evidence(events=(QUOTA,)))
    assert next_move(told, live(replace(PODLESS, events=(QUOTA,))), NOW, LIFE) is None


def test_what_it_was_given_up_for_is_still_there_at_its_end() -> None:
    """The pod that is stopped shows a kill and no events: those that decided are kept with the end."""
    stop = Stop("mount-failure", "batchkeeper", NOW)
    failed = Evidence(events=("FailedMount: not mounted",), message="waiting", log_tail="early")
    killed = replace(PODLESS, finished=True, succeeded=False, exit_code=137, message="killed")
    end = ended(queued(stop=stop, evidence=failed), killed, "", ())
    kept = end.fields["evidence"]
    assert (kept.events, kept.message, kept.log_tail) == (failed.events, "killed", "early")
    plain = ended(queued(evidence=failed), killed, "", ())
    assert plain.fields["evidence"].events == ()


def test_its_error_says_what_it_was_given_up_for() -> None:
    """'stopped by batchkeeper: rejected' tells nobody what to put right: the cluster's own words do."""
    stop, refused = Stop("rejected", "batchkeeper", NOW), Evidence(events=(QUOTA, REFUSED))
    gone = Sight.answered(Live(1.0))
    move = next_move(queued(stop=stop, evidence=refused), gone, NOW, LIFE)
    assert move is not None
    assert move.change is not None
    assert move.change.fields["error"] == f"stopped by batchkeeper: rejected ({REFUSED})"
    ordered = replace(stop, code=TerminatedCode.USER, why="not needed")
    move = next_move(queued(stop=ordered, evidence=refused), gone, NOW, LIFE)
    assert move is not None
    assert move.change is not None
    assert move.change.fields["error"] == "stopped by batchkeeper: not needed"


def test_a_node_that_kept_it_from_starting_is_known_to_its_retry() -> None:
    """The object may be gone before its end is seen: the node that a retry is to avoid is kept before."""
    stuck = replace(PODLESS, pod_unfinished=True, scheduled_at=NOW - 60 * MINUTE, node="node-3")
    move = next_move(queued(), live(stuck), NOW, LIFE)
    assert move is not None
    assert move.change is not None
    assert (move.change.event, move.change.fields["node"]) == ("given-up", "node-3")


@pytest.mark.parametrize(
    ("asked", "waits", "act"),
    [(1, 1, "-"), (60, 1, "-"), (60, 59, "write given-up")],
    ids=["just asked for", "long unscheduled", "long scheduled"],
)
def test_a_cluster_whose_clock_is_behind_gives_nothing_up_early(asked: int, waits: int, act: str) -> None:
    """To a store an hour ahead of the API server every pod that pulled its image was past its deadline."""
    asked_at, theirs = NOW - asked * MINUTE, NOW - 60 * MINUTE
    found = replace(
        PODLESS,
        pod_unfinished=True,
        created_at=theirs - asked * MINUTE,
        scheduled_at=theirs - waits * MINUTE,
    )
    job = queued(created=asked_at, queued=asked_at)
    assert gist(next_move(job, live(found), NOW, LIFE)) == act
