"""What is bound when a running batch is taken over, as what, and what happens to it afterwards."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from controller.core.adoption import (
    LOOKING,
    Binding,
    about_others,
    adopted,
    bindings,
    half_done,
    hold_sentence,
    next_move,
    not_ours_to_stop,
    places,
)
from controller.core.decide import Lifecycle
from controller.core.decide import next_move as decided
from controller.core.machine import TABLE, Event, Guard
from controller.core.model import Foreign, Gate, Hold, Holder, Origin, Status, Verdict
from controller.core.moves import UNSEEN, Act, Sight
from controller.core.reaping import Reaper, overdue
from controller.core.sight import Adoptable, ClusterJob
from tests.core.chains import NOW
from tests.core.chains import root as attempt

DAY, LONG = timedelta(days=1), timedelta(days=400)


def thing(name: str = "gwas-t", uid: str = "theirs", **fields: Any) -> ClusterJob:
    """An object of others that runs."""
    usual: dict[str, Any] = {"pod_unfinished": not fields.get("finished"), "started_at": NOW}
    return ClusterJob(name, "lab", uid, job_id="", batch_id="", **(usual | fields))


def ended(exit_code: int | None, **fields: Any) -> ClusterJob:
    """One that has ended with this code."""
    return thing(finished=True, exit_code=exit_code, succeeded=exit_code == 0, **fields)


def waiting(name: str = "gwas-t", **fields: Any) -> Any:
    """A first attempt that waits under this name."""
    usual: dict[str, Any] = {"name": name}
    return attempt(name.removeprefix("gwas-"), **(usual | fields))


def bound(found: ClusterJob, kind: str = "Job", **fields: Any) -> Binding:
    """A waiting first attempt and this object under its name."""
    (one,) = bindings([waiting(found.name, **fields)], [Adoptable(kind, found)])
    return one


def taken(status: Status = Status.RUNNING, **fields: Any) -> Any:
    """An attempt that was taken over and is active."""
    usual: dict[str, Any] = {
        "kind": "TrainingWorkload",
        "scheduler_id": "theirs",
        "slot": 0,
        "origin": Origin.ADOPTED,
    }
    since: dict[str, Any] = {"status": status, "queued": NOW - LONG, "running": NOW - LONG}
    return attempt(**(since | usual | fields))


@pytest.mark.parametrize(
    ("found", "status", "verdict"),
    [
        (ended(0), Status.COMPLETED, Verdict.SUCCEEDED),
        (ended(2), Status.ERROR, Verdict.MOUNT_FAILURE),
        (ended(1), Status.ERROR, Verdict.CONFIGURATION_ERROR),
        (ended(137, container_reason="OOMKilled"), Status.ERROR, Verdict.OUT_OF_MEMORY),
        (ended(None), Status.ERROR, Verdict.UNKNOWN),
        (replace(ended(0), pod_unfinished=True), Status.RUNNING, None),
        (thing(), Status.RUNNING, None),
        (thing(started_at=None), Status.QUEUED, None),
    ],
)
def test_what_an_object_becomes(found: ClusterJob, status: Status, verdict: Verdict | None) -> None:
    """Its end is judged as any other from the evidence that is there; what is active is followed."""
    one = bound(found, kind="RunaiJob")
    assert (one.status, one.verdict) == (status, verdict)
    change = adopted(one, {one.job.id: 7})
    assert (change.event, change.status) == (Event.ADOPTED, status)
    assert change.fields["scheduler_id"] == "theirs"
    assert (change.fields["kind"], change.fields["origin"]) == ("RunaiJob", Origin.ADOPTED)
    assert change.fields.get("slot") == (7 if status.active else None)
    assert change.fields.get("verdict") == verdict
    assert set(change.fields) <= TABLE[Event.ADOPTED].writes


def test_only_the_very_name_of_a_first_attempt_is_bound() -> None:
    """A longer name, a retry's name, another namespace and an attempt that does not wait are left alone."""
    jobs = [waiting("gwas-1"), waiting("gwas-2", attempt=1), waiting("gwas-3", status=Status.CREATED)]
    found = [thing("gwas-10"), thing("gwas-1-x"), thing("gwas-2"), thing("gwas-3")]
    elsewhere = replace(thing("gwas-1"), namespace="other")
    assert bindings(jobs, [Adoptable("Job", one) for one in (*found, elsewhere)]) == ()


def test_of_several_objects_of_a_name_the_active_one_is_bound() -> None:
    """Then one that succeeded, then the newest: whichever order they are listed in."""
    old = ended(1, uid="old", created_at=NOW - LONG)
    new = ended(1, uid="new", created_at=NOW)
    good = ended(0, uid="good", created_at=NOW - LONG)
    runs = thing(uid="runs", created_at=NOW - LONG)
    for best, others in ((runs, [old, new, good]), (good, [old, new]), (new, [old])):
        for listed in ([best, *others], [*others, best]):
            (one,) = bindings([waiting()], [Adoptable("Job", each) for each in listed])
            assert one.found.job.uid == best.uid


def test_places_go_to_what_is_active_and_to_what_may_be_retried() -> None:
    """The lowest free slots, even above max; an active object's place names it, a success needs none."""
    gate = Gate("b", 1, holders=(Holder("other", 1),), foreign=(Foreign("u1", "gwas-1", "Job"),))
    found = [thing("gwas-1", "u1"), replace(ended(2), name="gwas-2"), replace(ended(0), name="gwas-3")]
    jobs = [waiting(one.name, id=f"id-{one.name}", index=n) for n, one in enumerate(found)]
    all_bound = bindings(jobs, [Adoptable("Job", one) for one in found])
    assert places(gate, all_bound) == (Holder("id-gwas-1", 0, "u1", "Job"), Holder("id-gwas-2", 2))
    again = replace(gate, holders=(*gate.holders, *places(gate, all_bound)))
    assert places(again, all_bound) == ()


def test_a_place_remembers_its_object_over_a_crash() -> None:
    """Place given, record not written, object gone: it is recorded all the same, and then followed."""
    job = waiting(id="one")
    gate = Gate("b", 1, holders=(Holder("one", 0, "theirs", "RunaiJob"),))
    (half,) = half_done(gate, [job], set())
    assert (half.status, half.found.kind, half.found.job.uid) == (Status.QUEUED, "RunaiJob", "theirs")
    assert half_done(gate, [job], {"one"}) == ()
    assert half_done(gate, [replace(job, status=Status.RUNNING)], set()) == ()


def test_an_object_counts_once() -> None:
    """A gate counts an object as foreign or by the place of its attempt, and knows both uids."""
    gate = Gate(
        "b",
        3,
        holders=(Holder("one", 0, "u1", "Job"), Holder("two", 1)),
        foreign=(Foreign("u2", "x", "Job"),),
    )
    assert gate.counted == {"u1", "u2"}
    assert gate.free == 0


LIVE = Sight(known=True, live=True)


@pytest.mark.parametrize(
    ("job", "sight", "act"),
    [
        (taken(), UNSEEN, None),
        (taken(), Sight.listed(thing()), None),
        (taken(), Sight.listed(None), Act.LOOK),
        (taken(), Sight.listed(ended(0)), Act.LOOK),
        (taken(), replace(LIVE, job=thing()), None),
        (taken(), replace(LIVE, job=replace(ended(0), pod_unfinished=True)), None),
        (taken(), replace(LIVE, job=ended(0)), Act.END),
        (taken(), LIVE, Act.WRITE),
        (taken(), replace(LIVE, job=thing(uid="another")), Act.WRITE),
        (taken(Status.QUEUED, running=None), replace(LIVE, job=thing()), Act.WRITE),
        (taken(Status.ERROR), Sight.listed(ended(1)), None),
        (taken(Status.COMPLETED), replace(LIVE, job=thing()), None),
    ],
)
def test_what_follows(job: Any, sight: Sight, act: Act | None) -> None:
    """It is followed by uid; absence and ends are believed from a live answer only."""
    move = decided(job, sight, NOW, Lifecycle(reaper=Reaper()))
    assert (move.act if move else None) == act
    assert move == next_move(job, sight)


def test_gone_or_replaced_is_lost() -> None:
    """Another uid under the name is not the object that was taken over; the rules may retry it."""
    for sight in (LIVE, replace(LIVE, job=thing(uid="another"))):
        move = next_move(taken(), sight)
        assert move
        assert move.change
        assert (move.change.event, move.change.status) == (Event.VANISHED, Status.ERROR)
        assert move.change.fields["verdict"] is Verdict.LOST
        assert move.change.uid == "theirs"


@pytest.mark.parametrize(
    "found", [None, thing(), ended(0), ended(2), thing(uid="another"), thing(deleting=True)]
)
@pytest.mark.parametrize("live", [False, True])
@pytest.mark.parametrize("status", Status)
def test_nothing_of_others_is_ever_touched(status: Status, live: bool, found: ClusterJob | None) -> None:
    """Whatever is seen of it, however long it takes: no create, delete, tombstone, time to live or ghost."""
    life = Lifecycle(reaper=Reaper(DAY, DAY, DAY))
    move = decided(taken(status), Sight(known=True, live=live, job=found), NOW, life)
    assert move is None or move.act in (Act.LOOK, Act.WRITE, Act.END)
    assert move is None or move.change is None or move.change.event in (Event.STARTED, Event.VANISHED)


def test_it_is_never_overdue() -> None:
    """The reaper leaves it alone, the same attempt of ours it does not."""
    reaper = Reaper(DAY, DAY, DAY)
    for status in (Status.QUEUED, Status.RUNNING):
        assert overdue(taken(status), NOW, reaper) is None
        assert overdue(taken(status, kind=""), NOW, reaper)


def test_every_order_and_every_other_binding_is_refused_by_the_table() -> None:
    """What could lead to a delete, or to another object, is guarded in the store itself."""
    orders = {event for event, row in TABLE.items() if "stop" in row.writes}
    binds = {event for event, row in TABLE.items() if {"scheduler_id", "tombstone"} & row.writes}
    for event in (orders | binds) - {Event.ADOPTED, Event.ACCEPTED}:
        assert Guard.OURS in TABLE[event].guards, event
    assert TABLE[Event.ACCEPTED].sources == {Status.CREATED}  # which no adopted attempt ever is


def test_the_sentences() -> None:
    """How many, what takes them over, and who must stop one."""
    several = [bound(thing("gwas-1")), bound(replace(ended(0), name="gwas-2"))]
    sentence = hold_sentence("gwas", several)
    assert sentence.startswith(
        f"{Hold.ADOPTION_NEEDED.value}: 2 jobs under its names are not ours (1 active, 1 ended)"
    )
    assert "'batchkeeper adopt gwas', or adopt: true" in sentence
    assert "1 job under its names is not ours" in hold_sentence("gwas", several[:1])
    assert "whoever started it must stop it" in not_ours_to_stop(taken(name="gwas-1"))


def test_which_holds_are_about_others() -> None:
    """A systemic failure is not, and no hold is not; the word alone decides."""
    assert about_others(Gate("b", 1, hold=LOOKING))
    assert about_others(Gate("b", 1, hold=f"{Hold.ADOPTING.value}: …"))
    assert not about_others(Gate("b", 1))
    assert not about_others(Gate("b", 1, hold=f"{Hold.SYSTEMIC_FAILURE.value}: looking"))
