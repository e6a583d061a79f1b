"""Take-overs of what others run that break an invariant each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from controller.core.model import Foreign, Holder, Origin, Status, Verdict
from tests.oracle.histories import CANCEL, Tale
from tests.oracle.history import Deed
from tests.oracle.invariants import Invariant

ENDED: dict[str, Any] = {"status": Status.ERROR, "verdict": Verdict.LOST, "slot": None}


def bound_to_another_name(tale: Tale) -> None:
    """A task is bound to an object that is not under its name."""
    tale.begin("a")
    tale.others("a")
    tale.foreign(Deed.CREATED, "scan-other", "other")
    tale.take_over("a", "other")


def taken_over_with_the_gate_open(tale: Tale) -> None:
    """The hold is lifted before the record is written: its task may have been started meanwhile."""
    tale.begin("a")
    tale.others("a")
    place = Holder("a", 0, "theirs", "Job")
    tale.regate(holders=(place,), foreign=())
    tale.regate(hold="")
    adopted: dict[str, Any] = {"origin": Origin.ADOPTED, "kind": "Job", "scheduler_id": "theirs", "slot": 0}
    tale.change("a", status=Status.RUNNING, **adopted)


def counted_twice(tale: Tale) -> None:
    """An object that was taken over is counted as foreign beside its place."""
    tale.begin("a")
    tale.others("a")
    tale.take_over("a")
    tale.regate(foreign=(Foreign("theirs", "scan-a", "Job"),))


def started_beside_what_was_taken_over(tale: Tale) -> None:
    """A retry starts while the object that was taken over still runs."""
    tale.begin("a")
    tale.others("a")
    tale.take_over("a")
    tale.regate(hold="")
    tale.change("a", **ENDED, finished=tale.now)
    tale.leave("a")
    child = tale.retry("a")
    tale.pass_time(60)
    tale.claim(child)
    tale.happen(Deed.CREATED, child, "v", ours=True)


def taken_over_as_ended_while_it_lives(tale: Tale) -> None:
    """It is recorded as completed, and runs."""
    tale.begin("a")
    tale.others("a")
    adopted: dict[str, Any] = {"origin": Origin.ADOPTED, "kind": "Job", "scheduler_id": "theirs"}
    success: dict[str, Any] = {"status": Status.COMPLETED, "verdict": Verdict.SUCCEEDED, "finished": tale.now}
    tale.change("a", **adopted, **success)


def opened_beside_others(tale: Tale) -> None:
    """The gate is opened, and a task's name was somebody else's before the batch came in."""
    tale.foreign(Deed.CREATED, "scan-a", "theirs")
    tale.begin("a")


def opened_half_done(tale: Tale) -> None:
    """The gate is opened while a place that was taken over has no record yet."""
    tale.begin("a")
    tale.foreign(Deed.CREATED, "scan-a", "theirs")
    tale.regate(hold="adopting: asked for")
    tale.regate(holders=(Holder("a", 0, "theirs", "Job"),))
    tale.regate(hold="")


def born_open(tale: Tale) -> None:
    """A gate comes in without a hold."""
    tale.regate(hold="")


def placed_twice(tale: Tale) -> None:
    """Two leaders give the same object a place each."""
    tale.begin("a")
    tale.others("a")
    tale.take_over("a")
    tale.regate(holders=(*tale.gate.holders, Holder("a", 1, "theirs", "Job")))


def taken_over_and_ordered_to_stop(tale: Tale) -> None:
    """A cancel stops an attempt that was taken over."""
    tale.begin("a")
    tale.others("a")
    tale.take_over("a")
    tale.change("a", stop=CANCEL)


def taken_over_and_lost_in_sight(tale: Tale) -> None:
    """It ended well and is still there, and its record says that it is lost."""
    tale.begin("a")
    tale.others("a")
    tale.take_over("a")
    tale.foreign(Deed.ENDED, "scan-a", "theirs", success=True)
    tale.change("a", **ENDED, finished=tale.now)


def taken_over_and_deleted(tale: Tale) -> None:
    """A cancel reaches an object that was taken over."""
    tale.begin("a")
    tale.others("a")
    tale.take_over("a")
    tale.foreign(Deed.DELETE, "scan-a", "theirs", ours=True)


def taken_over_and_made_to_expire(tale: Tale) -> None:
    """An object that was taken over gets a time to live once it has ended."""
    tale.begin("a")
    tale.others("a")
    tale.take_over("a")
    tale.foreign(Deed.ENDED, "scan-a", "theirs", success=True)
    tale.foreign(Deed.EXPIRE, "scan-a", "theirs", ours=True)


def claimed_before_others_were_looked_for(tale: Tale) -> None:
    """A record is claimed while its gate still waits for the look."""
    tale.begin("a")
    tale.regate(hold="looking: …")
    tale.claim("a")


BENT_ADOPTIONS: tuple[tuple[Callable[[Tale], None], Invariant], ...] = (
    (bound_to_another_name, Invariant.ADOPTION),
    (taken_over_with_the_gate_open, Invariant.ADOPTION),
    (counted_twice, Invariant.ADOPTION),
    (taken_over_as_ended_while_it_lives, Invariant.ADOPTION),
    (started_beside_what_was_taken_over, Invariant.ONE_LIVE),
    (taken_over_and_deleted, Invariant.STRANGER),
    (taken_over_and_made_to_expire, Invariant.STRANGER),
    (claimed_before_others_were_looked_for, Invariant.GATE_SHUT),
    (opened_beside_others, Invariant.ADOPTION),
    (opened_half_done, Invariant.ADOPTION),
    (born_open, Invariant.ADOPTION),
    (placed_twice, Invariant.SLOT),
    (taken_over_and_ordered_to_stop, Invariant.STRANGER),
    (taken_over_and_lost_in_sight, Invariant.TRUTH),
)
