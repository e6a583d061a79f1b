"""The plan of one batch: what keeps it from starting anything, and which steps come in which order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.core.decide import Act, Lifecycle, Reason, Sight
from controller.core.machine import Event
from controller.core.model import (
    Attempt,
    Batch,
    BatchStatus,
    Foreign,
    ForeignKind,
    Gate,
    Halt,
    Halts,
    Holder,
    Status,
    Stop,
    TerminatedCode,
    Verdict,
    When,
)
from controller.core.plan import (
    Block,
    CheckForeign,
    Claim,
    CountForeign,
    Leave,
    MoveJob,
    Retry,
    Step,
    Submit,
    WithdrawWaiting,
    block,
    plan,
    room,
    startable,
)
from controller.core.sight import ClusterJob, ForeignObject
from controller.core.view import Allowance, View
from tests.core.chains import NOW, child, ended, root, rule

CANCEL = Stop("not needed", "ada", NOW, TerminatedCode.BATCH_ABORT)
HALT = Halts(submissions=Halt("ops", "maintenance", NOW))
RULES = (rule(Verdict.MOUNT_FAILURE, limit=3),)
GATE = Gate("batch", max=3)
BATCH = Batch(
    "batch", "lab", "sweep", "ada", BatchStatus.RUNNING, {}, "", "", settings={}, tasks=9, inserted=NOW,
    updated=NOW,
)  # fmt: skip


def waiting(n: int) -> tuple[Attempt, ...]:
    """The first attempts of n tasks, which wait."""
    return tuple(root(str(task)) for task in range(n))


def holders(n: int) -> tuple[Holder, ...]:
    """Places that n other attempts hold."""
    return tuple(Holder(f"h{slot}", slot) for slot in range(n))


def counted(*uids: str) -> tuple[Foreign, ...]:
    """Foreign objects that the gate counts."""
    return tuple(Foreign(uid, uid, "Job") for uid in uids)


def shown(*uids: str, active: bool = True) -> tuple[ForeignObject, ...]:
    """Foreign objects in the last list."""
    return tuple(ForeignObject(uid, "lab", uid, "Job", active) for uid in uids)


def view(gate: Gate = GATE, **fields: Any) -> View:
    """A running batch with two attempts due, three places and a good list."""
    known: dict[str, Any] = {"batch": BATCH, "now": NOW, "life": Lifecycle(), "rules": RULES}
    return View(gate=gate, **(known | {"due": waiting(2), "foreign": ()} | fields))


def steps(seen: View) -> tuple[Step, ...]:
    """The plan, with retries as early as they may be."""
    return plan(seen, lambda _: 0.0)


def claimed(seen: View) -> list[tuple[str, int]]:
    """The attempts that are to get a place, and which."""
    places = [place for step in steps(seen) if isinstance(step, Claim) for place in step.places]
    return [(job.task_id, slot) for job, slot in places]


def kinds(found: Sequence[Step]) -> list[str]:
    """The names of the steps, in order."""
    return [type(step).__name__ for step in found]


EXPANDING = replace(BATCH, status=BatchStatus.EXPANDING)


@pytest.mark.parametrize(
    ("seen", "expected", "says"),
    [
        (view(), Block.NONE, ""),
        (view(batch=EXPANDING), Block.EXPANDING, "9 tasks"),
        (view(replace(GATE, cancel=CANCEL)), Block.CANCELLING, "ada"),
        (view(halts=HALT), Block.HALTED, "ops: maintenance"),
        (view(replace(GATE, hold="systemic-failure: 9")), Block.HELD, "systemic-failure: 9"),
        (view(replace(GATE, paused=True)), Block.PAUSED, "paused"),
        (view(foreign=None), Block.BLIND, "not been listed"),
        (view(foreign=None, blind="no answer"), Block.BLIND, "no answer"),
        (view(replace(GATE, holders=holders(3))), Block.FULL, "3 of 3"),
        (view(replace(GATE, max=0)), Block.FULL, "0 of 0"),
        (view(replace(GATE, foreign=counted(*"abc")), foreign=shown(*"abc")), Block.FULL, "3 foreign"),
        (view(foreign=shown(*"abc")), Block.FULL, "0 of 3"),
        (view(due=()), Block.NOTHING_DUE, "nothing"),
        (view(allowance=Allowance(0, "the user's limit")), Block.LIMITED, "the user's limit"),
        # of several the one that lasts longest, or that somebody ordered, is named
        (view(replace(GATE, cancel=CANCEL), batch=EXPANDING), Block.CANCELLING, "ada"),
        (view(replace(GATE, cancel=CANCEL, paused=True), halts=HALT), Block.CANCELLING, ""),
        (view(replace(GATE, paused=True, hold="h"), halts=HALT), Block.HALTED, ""),
        (view(replace(GATE, paused=True, hold="h")), Block.HELD, ""),
        (view(replace(GATE, paused=True, max=0), foreign=None), Block.PAUSED, ""),
        (view(replace(GATE, max=0), foreign=None), Block.BLIND, ""),
        (view(replace(GATE, max=0), due=()), Block.FULL, ""),
        (view(due=(), allowance=Allowance(0)), Block.NOTHING_DUE, ""),
    ],
)
def test_what_keeps_a_batch_from_starting(seen: View, expected: Block, says: str) -> None:
    """The plan claims exactly when nothing is named, and what is named says its number or name."""
    found, sentence = block(seen)
    assert found is expected
    assert says in sentence
    assert bool(claimed(seen)) == (found is Block.NONE)


@pytest.mark.parametrize(
    ("gate", "foreign", "places", "expected"),
    [
        (GATE, (), 99, [("0", 0), ("1", 1), ("2", 2)]),
        (GATE, (), 2, [("0", 0), ("1", 1)]),
        (replace(GATE, holders=(Holder("h", 1),)), (), 99, [("0", 0), ("1", 2)]),
        (replace(GATE, foreign=counted("a")), shown("a"), 99, [("0", 0), ("1", 1)]),
        (GATE, shown("a", "b"), 99, [("0", 0)]),
        (GATE, shown("a", active=False), 99, [("0", 0), ("1", 1), ("2", 2)]),
        (replace(GATE, foreign=counted("a")), (), 99, [("0", 0), ("1", 1)]),
    ],
)
def test_a_claim_takes_the_first_in_line_and_the_lowest_slots(
    gate: Gate, foreign: tuple[ForeignObject, ...], places: int, expected: list[tuple[str, int]]
) -> None:
    """Foreign objects reduce the room as soon as they are seen, until a live look says they are gone."""
    seen = view(gate, due=waiting(5), foreign=foreign, allowance=Allowance(places))
    assert claimed(seen) == expected


def test_who_holds_a_place_gets_no_second_one() -> None:
    """A waiting record whose place is taken already goes on to its create instead of claiming again."""
    first, second = waiting(2)
    gate = replace(GATE, holders=(Holder(first.id, 2),))
    seen = view(gate, due=(first, second), holders=(first,))
    assert claimed(seen) == [("1", 0)]
    assert [(s.job.id, s.slot) for s in steps(seen) if isinstance(s, Submit)] == [(first.id, 2)]


@pytest.mark.parametrize(
    "fields",
    [{"halts": HALT}, {"gate": replace(GATE, paused=True)}, {"gate": replace(GATE, max=0)}],
)
def test_a_place_alone_starts_nothing(fields: dict[str, Any]) -> None:
    """A holder that still waits is not submitted once halt, pause or a lowered maximum forbid it."""
    job = root()
    known = view(**fields)
    seen = replace(known, gate=replace(known.gate, holders=(Holder(job.id, 0),)), holders=(job,), due=())
    assert "Submit" not in kinds(steps(seen))


@pytest.mark.parametrize(
    ("due", "idle", "expected"),
    [((), True, ["7"]), ((), False, []), (waiting(1), True, ["0"])],
)
def test_batch_end_retries_start_only_when_all_else_is_over(
    due: tuple[Attempt, ...], idle: bool, expected: list[str]
) -> None:
    """They wait for whatever is due or active, and come after it."""
    first = ended(root(), Verdict.MOUNT_FAILURE)
    last = child([first], when=When.BATCH_END)
    seen = view(due=due, at_end=(last,), idle=idle, chains={first.id: (first, last)})
    assert [task for task, _ in claimed(seen)] == expected


def failed_holder(gate: Gate = GATE, **fields: Any) -> View:
    """A view of one attempt that has failed and still holds its place."""
    job = ended(root(), Verdict.MOUNT_FAILURE, **fields)
    full = replace(gate, holders=(Holder(job.id, 0),))
    return view(full, holders=(job,), due=(), chains={job.id: (job,)})


def test_a_retry_is_recorded_before_the_place_is_given_back() -> None:
    """A crash between the two repeats the first, so no retry is forgotten."""
    names = kinds(steps(failed_holder()))
    assert names.index("Retry") < names.index("Leave")


def test_every_retry_comes_before_the_one_leave() -> None:
    """Of several ended holders all retries are recorded, then all places are given back at once."""
    jobs = [ended(job, Verdict.MOUNT_FAILURE) for job in waiting(3)]
    gate = replace(GATE, holders=tuple(Holder(job.id, slot) for slot, job in enumerate(jobs)))
    seen = view(gate, holders=jobs, due=(), chains={job.id: (job,) for job in jobs})
    followed = [step for step in steps(seen) if isinstance(step, Retry | Leave)]
    assert kinds(followed) == ["Retry", "Retry", "Retry", "Leave"]
    assert followed[-1] == Leave(Reason.ENDED, tuple(jobs))


def test_a_success_only_leaves() -> None:
    """What has completed gives its place back and is not tried again."""
    job = ended(root(), Verdict.SUCCEEDED)
    gate = replace(GATE, holders=(Holder(job.id, 0),))
    names = kinds(steps(view(gate, holders=(job,), due=(), chains={job.id: (job,)})))
    assert "Leave" in names
    assert "Retry" not in names


def test_a_retry_that_was_recorded_is_not_recorded_again() -> None:
    """An ended holder that has a newer attempt only leaves."""
    seen = failed_holder()
    chain = (seen.holders[0], child(seen.holders))
    names = kinds(steps(replace(seen, chains={chain[0].id: chain})))
    assert "Leave" in names
    assert "Retry" not in names


def test_a_cancel_forbids_the_retry_on_the_record() -> None:
    """Another controller may be about to record it, so it is not only left out."""
    found = steps(failed_holder(replace(GATE, cancel=CANCEL)))
    events = [s.move.change.event for s in found if isinstance(s, MoveJob) and s.move.change]
    assert events == [Event.NO_RETRY]
    assert "Retry" not in kinds(found)
    assert kinds(found).index("MoveJob") < kinds(found).index("Leave")


def test_a_cancel_reaches_what_waits_and_what_is_active() -> None:
    """Waiting attempts are withdrawn, active ones are told to stop, once."""
    told = root("1", status=Status.QUEUED, stop=CANCEL)
    late = root("2", status=Status.QUEUED, stop=replace(CANCEL, code=None))
    jobs = (root("0", status=Status.RUNNING), told, late)
    places = tuple(Holder(job.id, slot) for slot, job in enumerate(jobs))
    found = steps(view(replace(GATE, cancel=CANCEL, holders=places), holders=jobs))
    assert WithdrawWaiting(Reason.CANCEL, CANCEL) in found
    asked = [s.job.id for s in found if isinstance(s, MoveJob) and s.reason is Reason.CANCEL]
    assert asked == [jobs[0].id, late.id]


def test_a_forbidden_retry_is_withdrawn_instead_of_claimed() -> None:
    """A waiting automatic retry of an attempt that says no retry ends before it holds a place."""
    first = ended(root(), Verdict.MOUNT_FAILURE, no_retry=True)
    second = child([first])
    seen = view(due=(second,), chains={first.id: (first, second)})
    events = [s.move.change.event for s in steps(seen) if isinstance(s, MoveJob) and s.move.change]
    assert events == [Event.WITHDRAWN]
    assert claimed(seen) == []


def test_what_is_no_longer_listed_is_checked_live() -> None:
    """A counted object that a list does not show, or shows as ended, is asked for before it is let go."""
    gate = replace(GATE, foreign=counted("a", "b", "c"))
    found = steps(view(gate, foreign=(*shown("a"), *shown("b", active=False))))
    assert [s.object.uid for s in found if isinstance(s, CheckForeign)] == ["b", "c"]


def test_without_a_list_no_foreign_object_is_judged() -> None:
    """Blindness neither adds to what is counted nor asks after it."""
    names = kinds(steps(view(replace(GATE, foreign=counted("a")), foreign=None)))
    assert not {"CountForeign", "CheckForeign", "Claim"} & set(names)


def test_new_foreign_objects_are_counted_before_anything_is_claimed() -> None:
    """They enter the gate by uid, even above its maximum, and only those that it does not count yet."""
    gate = replace(GATE, foreign=counted("a"))
    found = steps(view(gate, foreign=shown("a", "b")))
    assert found[0] == CountForeign(Reason.FOREIGN_SEEN, counted("b"))
    assert kinds(found)[-1] == "Claim"
    above = [s for s in steps(view(replace(GATE, max=0), foreign=shown("a"))) if isinstance(s, CountForeign)]
    assert above == [CountForeign(Reason.FOREIGN_SEEN, counted("a"))]


def test_an_orphan_is_counted_and_never_touched() -> None:
    """An object of ours without a record takes a place away, even while the list is too old."""
    orphan = ClusterJob("sweep-9", "lab", "o", "9-0", "batch", pod_unfinished=True)
    found = steps(view(orphans=(orphan, replace(orphan, uid="p", tombstone=True)), foreign=None))
    counting = CountForeign(Reason.ORPHAN, (Foreign("o", "sweep-9", "Job", ForeignKind.ORPHAN),))
    assert found == (counting,)


LEFT = Foreign("o", "sweep-0-r1", "Job", ForeignKind.ORPHAN)


def test_a_task_of_which_an_unrecorded_job_runs_waits_for_its_end() -> None:
    """Neither a new attempt of it starts nor a create of it is repeated; the next task does not wait."""
    assert claimed(view(replace(GATE, foreign=(LEFT,)))) == [("1", 0)]
    assert claimed(view(replace(GATE, foreign=(replace(LEFT, cause=ForeignKind.FOREIGN),)))) == [
        ("0", 0),
        ("1", 1),
    ]
    assert claimed(view(replace(GATE, foreign=(replace(LEFT, cause=ForeignKind.GHOST),)))) == [("1", 0)]
    over = root("0", status=Status.TERMINATED, scheduler_id="o")
    ghost = {over.id: Sight.listed(ClusterJob(over.name, "lab", "o", over.id, "", pod_unfinished=True))}
    due = (child([over]), root("1"))
    assert claimed(view(others=(over,), sights=ghost, due=due)) == [("1", 0)]
    seen = (ForeignObject("sweep-1", "lab", "p", "Job", orphan=True),)
    assert claimed(view(foreign=seen)) == [("0", 0)]
    assert claimed(view(orphans=(ClusterJob("sweep-1", "lab", "p", "", "", pod_unfinished=True),))) == [
        ("0", 0)
    ]
    pending = tuple(root(str(task), status=Status.CREATED, slot=task) for task in range(2))
    places = tuple(Holder(job.id, slot) for slot, job in enumerate(pending))
    gate = replace(GATE, holders=places, foreign=(LEFT,))
    assert startable(view(gate, holders=pending, due=())) == {pending[1].id}


def test_what_a_former_life_left_is_counted_as_an_orphan() -> None:
    """It enters the gate by its uid like anything foreign, and the gate says what it is."""
    seen = (ForeignObject("sweep-5", "lab", "p", "Job", orphan=True),)
    orphan = Foreign("p", "sweep-5", "Job", ForeignKind.ORPHAN)
    assert steps(view(foreign=seen))[0] == CountForeign(Reason.FOREIGN_SEEN, (orphan,))


def test_holders_move_as_their_objects_do() -> None:
    """A holder that a list does not show is looked at, one that was not seen is left alone."""
    jobs = tuple(root(str(n), status=Status.RUNNING, scheduler_id="u") for n in range(2))
    gate = replace(GATE, holders=tuple(Holder(job.id, slot) for slot, job in enumerate(jobs)))
    found = steps(view(gate, holders=jobs, due=(), sights={jobs[0].id: Sight.listed(None)}))
    assert [(s.job.id, s.move.act) for s in found if isinstance(s, MoveJob)] == [(jobs[0].id, Act.LOOK)]


UIDS = st.sets(st.sampled_from("abcdef"), max_size=4)
GATES = st.builds(
    Gate,
    batch_id=st.just("batch"),
    max=st.integers(0, 8),
    paused=st.booleans(),
    hold=st.sampled_from(["", "", "held"]),
    cancel=st.sampled_from([None, None, CANCEL]),
    holders=st.sets(st.integers(0, 9), max_size=8).map(
        lambda slots: tuple(Holder(f"h{slot}", slot) for slot in sorted(slots))
    ),
    foreign=UIDS.map(lambda uids: counted(*sorted(uids))),
)
VIEWS = st.builds(
    view,
    GATES,
    batch=st.builds(replace, st.just(BATCH), status=st.sampled_from(BatchStatus)),
    now=st.just(NOW + timedelta(minutes=5)),
    halts=st.sampled_from([Halts(), HALT]),
    due=st.integers(0, 9).map(waiting),
    foreign=st.none() | UIDS.map(lambda uids: shown(*sorted(uids))),
    allowance=st.builds(Allowance, st.integers(0, 9), st.just("limited")),
)


@given(VIEWS)
def test_a_claim_never_goes_beyond_the_room(seen: View) -> None:
    """Held places, counted and seen foreign objects and the claim together stay within the maximum."""
    gate = seen.gate
    places = claimed(seen)
    assert bool(places) == (block(seen)[0] is Block.NONE)
    if places:
        foreign = {thing.uid for thing in gate.foreign} | {thing.uid for thing in seen.foreign or ()}
        assert len(gate.holders) + len(foreign) + len(places) <= gate.max
        assert len(places) <= min(room(gate, seen), seen.allowance.places)
        assert gate.open
        assert seen.halts.submissions is None
        slots = [slot for _, slot in places]
        assert len({*slots, *(holder.slot for holder in gate.holders)}) == len(slots) + len(gate.holders)


@given(VIEWS)
def test_every_foreign_object_is_counted_or_checked_once(seen: View) -> None:
    """With a list each uid that only the list has is counted, each that only the gate has is checked."""
    found = steps(seen)
    new = [thing.uid for step in found if isinstance(step, CountForeign) for thing in step.objects]
    missing = [step.object.uid for step in found if isinstance(step, CheckForeign)]
    known = {thing.uid for thing in seen.gate.foreign}
    listed = known if seen.foreign is None else {thing_listed.uid for thing_listed in seen.foreign}
    assert (sorted(new), sorted(missing)) == (sorted(listed - known), sorted(known - listed))
