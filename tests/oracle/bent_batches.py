"""Histories of a whole batch, of a new leader and of an untrue end that break an invariant each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from controller.core.model import BatchStatus, Foreign, Origin, Result, Status, TerminatedCode, Verdict, When
from tests.oracle.histories import CANCEL, Tale, batch
from tests.oracle.history import Deed, Happened, Parent
from tests.oracle.invariants import Invariant


def closed_while_one_waits(tale: Tale) -> None:
    """The batch is finished, and a task of it has waited since the beginning."""
    tale.begin("a", "c")
    tale.run("a")
    tale.end("a")
    tale.pass_time(60)
    over = replace(tale.parent.batch, status=BatchStatus.FINISHED, result=Result.PARTIAL)
    tale.write(Parent(over, tale.parent.child_jobs))


def _over_and_open_again(tale: Tale, *, retried: bool) -> None:
    """Its only task was retried or not; the batch is cancelled, and minutes later it runs again."""
    tale.begin("a")
    tale.run("a")
    tale.end("a", exit_code=2)
    if retried:
        tale.run(tale.retry("a", after=0.0), "v")
        tale.end("a-r1", "v")
    tale.regate(cancel=replace(CANCEL, code=TerminatedCode.BATCH_ABORT))
    over = replace(tale.parent.batch, status=BatchStatus.CANCELLED)
    tale.write(Parent(over, tale.parent.child_jobs))
    tale.pass_time(300)
    tale.write(tale.parent)


def open_again_for_nothing(tale: Tale) -> None:
    """A cancelled batch is opened again though nothing came since."""
    _over_and_open_again(tale, retried=False)


def open_again_for_what_is_long_over(tale: Tale) -> None:
    """A cancelled batch is opened again for a retry that had ended, and was linked, before the cancel."""
    _over_and_open_again(tale, retried=True)


def counted_under_another_prefix(tale: Tale) -> None:
    """What runs under a longer open prefix is counted here."""
    tale.begin("a")
    tale.write(Parent(replace(batch(), id="c", name="scan-iron")))
    tale.pass_time(300)
    tale.foreign(Deed.CREATED, "scan-iron-x")
    tale.regate(foreign=(Foreign("f", "scan-iron-x", "Job"),))


def counted_under_no_prefix(tale: Tale) -> None:
    """A name that only has the batch's in it is counted."""
    tale.begin("a")
    tale.foreign(Deed.CREATED, "rescan-x")
    tale.regate(foreign=(Foreign("f", "rescan-x", "Job"),))


def started_beside_a_ghost(tale: Tale) -> None:
    """A job starts beside one whose record has ended, which lives and which nobody counts."""
    tale.begin("a", "c")
    tale.regate(max=1)
    tale.run("a")
    tale.end("a")
    tale.happen(Deed.DELETE, "a", "u")
    tale.happen(Deed.GONE, "a", "u")
    tale.happen(Deed.CREATED, "a", "v")
    tale.pass_time(300)
    tale.claim("c")


def moved_unstamped(tale: Tale) -> None:
    """A new leader moves a record that was active before it led, and that it has not stamped."""
    tale.begin("a")
    tale.run("a")
    tale.change("a", epoch=1)
    tale.regate(epoch=2, writer=2)
    tale.happen(Deed.ENDED, "a", success=True)
    ended: dict[str, Any] = {"status": Status.COMPLETED, "verdict": Verdict.SUCCEEDED, "slot": None}
    tale.change("a", writer=2, **ended, finished=tale.now)


def last_comes_first(tale: Tale) -> None:
    """A retry that is to wait for the batch's end starts, and a task of it still waits."""
    tale.begin("a", "c")
    tale.run("a")
    tale.end("a", exit_code=2)
    child = tale.retry("a", when=When.BATCH_END)
    tale.pass_time(60)
    tale.claim(child)


def success_lost(tale: Tale) -> None:
    """It succeeded in spite of a stop, and is recorded as terminated."""
    tale.begin("a")
    tale.run("a")
    tale.change("a", stop=CANCEL)
    tale.happen(Deed.ENDED, "a", success=True)
    ended: dict[str, Any] = {"status": Status.TERMINATED, "terminated_code": TerminatedCode.USER}
    tale.change("a", **ended, verdict=Verdict.CANCELLED, slot=None, finished=tale.now)


def _called_others(tale: Tale, *deeds: Deed) -> None:
    """These happen to an object of ours, it counts as others', and its success is recorded as lost."""
    tale.begin("a")
    tale.run("a")
    for deed in deeds:
        tale.happen(deed, "a")
    tale.regate(foreign=(Foreign("u", "scan-a", "Job"),))
    tale.happen(Deed.ENDED, "a", success=True)
    tale.change("a", status=Status.ERROR, verdict=Verdict.LOST, slot=None, finished=tale.now)


def success_of_nobody(tale: Tale) -> None:
    """Somebody took our labels off while it ran: nobody sees how it ends, and nobody is to blame."""
    _called_others(tale, Deed.UNLABELLED)


def success_lost_as_others(tale: Tale) -> None:
    """It is ours by its labels, and was counted as others': that forgives nothing."""
    _called_others(tale)


def counted_twice(tale: Tale) -> None:
    """A job that has its place counts as others' beside it."""
    tale.begin("a")
    tale.run("a")
    tale.regate(foreign=(Foreign("u", "scan-a", "Job"),))


def started_beside_an_orphan(tale: Tale) -> None:
    """A job starts beside an object of ours whose record is lost and which nobody counts."""
    tale.begin("a")
    tale.regate(max=1)
    tale.pass_time()
    tale.tell(Happened(tale.now, Deed.CREATED, "o", "scan-old", "lab", "lost", orphan=True))
    tale.pass_time(300)
    tale.claim("a")


def _set_back(tale: Tale) -> None:
    """A job runs, and the store is set back to before its claim."""
    tale.begin("a", "c")
    tale.regate(max=1)
    before, gate = tale.jobs["a"], tale.gate
    tale.run("a")
    tale.jobs["a"], tale.gate = before, gate
    tale.oracle.state.set_back([before], gate, tale.now)
    tale.pass_time(300)


def started_beside_a_waiting_orphan(tale: Tale) -> None:
    """A job starts beside one whose record waits since the store was set back, and which nobody counts."""
    _set_back(tale)
    tale.claim("c")


def waiting_orphan_withdrawn(tale: Tale) -> None:
    """Whoever withdraws a record that waits knows nothing of the object that succeeds: nobody is to blame."""
    _set_back(tale)
    tale.happen(Deed.ENDED, "a", success=True)
    ended: dict[str, Any] = {"status": Status.TERMINATED, "terminated_code": TerminatedCode.USER}
    tale.change("a", **ended, verdict=Verdict.CANCELLED, finished=tale.now)


def waiting_orphan_withdrawn_and_deleted(tale: Tale) -> None:
    """Nor to blame for its delete, whose look showed neither a pod nor an end: it was to end."""
    waiting_orphan_withdrawn(tale)
    tale.happen(Deed.DELETE, "a", ours=True)


def waiting_orphan_deleted(tale: Tale) -> None:
    """Its record waits, and nobody withdrew it."""
    _set_back(tale)
    tale.happen(Deed.DELETE, "a", ours=True)


def waiting_orphan_retried(tale: Tale) -> None:
    """And who retries it then has it run again: what it ended as was nowhere recorded."""
    waiting_orphan_withdrawn(tale)
    tale.run(tale.retry("a", 0.0, origin=Origin.USER), "v")


def waiting_orphan_runs_again(tale: Tale) -> None:
    """It succeeded, and the record that waited takes its place and makes another object."""
    _set_back(tale)
    tale.happen(Deed.ENDED, "a", success=True)
    tale.happen(Deed.GONE, "a")
    tale.run("a", "v")


def orphan_deleted(tale: Tale) -> None:
    """An object of ours whose record is lost is deleted."""
    tale.begin("a")
    orphan = Happened(tale.now, Deed.CREATED, "o", "scan-old", "lab", "lost", orphan=True)
    tale.tell(orphan)
    tale.tell(replace(orphan, deed=Deed.DELETE, orphan=False, ours=True))


def stopped_twice(tale: Tale) -> None:
    """A second cancel takes the place of the first one."""
    tale.begin("a")
    tale.run("a")
    tale.change("a", stop=CANCEL)
    tale.change("a", stop=replace(CANCEL, by="local:bob"))


ABORTED: dict[str, Any] = {
    "status": Status.TERMINATED,
    "terminated_code": TerminatedCode.BATCH_ABORT,
    "verdict": Verdict.CANCELLED,
}


def cancelled_batch(tale: Tale) -> None:
    """Lawful: a batch is cancelled, and its one task withdrawn; then it is over."""
    tale.begin("a")
    tale.regate(cancel=replace(CANCEL, code=TerminatedCode.BATCH_ABORT))
    tale.change("a", **ABORTED, finished=tale.now)
    over = replace(tale.parent.batch, status=BatchStatus.CANCELLED, result=Result.FAILED)
    tale.write(Parent(over, tale.parent.child_jobs))


def cancelled_again(tale: Tale) -> None:
    """A cancelled batch is over; much later a task is retried, and the cancel takes the retry as well."""
    cancelled_batch(tale)
    tale.pass_time(300)
    child = tale.retry("a", origin=Origin.USER, inserted=tale.now)
    tale.change(child, **ABORTED, finished=tale.now)


def killed_for_a_mount(tale: Tale) -> None:
    """Exit code 137 is called a mount failure."""
    tale.begin("a")
    tale.run("a")
    tale.end("a", exit_code=137)


def counted_for_ever(tale: Tale) -> None:
    """Others' object went minutes ago, still counts, and a job starts beside it."""
    tale.begin("a")
    tale.foreign(Deed.CREATED, "scan-x")
    tale.regate(foreign=(Foreign("f", "scan-x", "Job"),))
    tale.foreign(Deed.GONE, "scan-x")
    tale.pass_time(600)
    tale.claim("a")


def counted_to_the_end(tale: Tale) -> None:
    """Others' object came to its end minutes ago, and the batch ends with its gate still counting it."""
    tale.begin("a")
    tale.foreign(Deed.CREATED, "scan-x")
    tale.regate(foreign=(Foreign("f", "scan-x", "Job"),))
    tale.foreign(Deed.ENDED, "scan-x", success=True)
    tale.run("a")
    tale.end("a")
    tale.pass_time(600)
    tale.finish()


def starts_long_after_a_hand(tale: Tale) -> None:
    """Somebody deleted its object while it ran; minutes after its end was recorded another one starts."""
    tale.begin("a")
    tale.run("a")
    tale.happen(Deed.DELETE, "a")
    tale.happen(Deed.ENDED, "a", success=False)
    tale.happen(Deed.GONE, "a")
    tale.pass_time(300)
    tale.change("a", status=Status.ERROR, verdict=Verdict.LOST, slot=None, finished=tale.now)
    tale.happen(Deed.CREATED, "a", "v")


def ends_long_after_a_hand(tale: Tale) -> None:
    """Somebody deleted its object while it ran; minutes later it ends with a create open, its name free."""
    tale.begin("a")
    tale.claim("a")
    tale.happen(Deed.CREATED, "a", ours=True)
    tale.change("a", status=Status.QUEUED, scheduler_id="u")
    tale.happen(Deed.DELETE, "a")
    tale.happen(Deed.ENDED, "a", success=False)
    tale.happen(Deed.GONE, "a")
    tale.pass_time(300)
    tale.change("a", status=Status.ERROR, verdict=Verdict.LOST, slot=None, finished=tale.now)


BENT_BATCHES: tuple[tuple[Callable[[Tale], None], Invariant], ...] = (
    (closed_while_one_waits, Invariant.UNFINISHED),
    (open_again_for_nothing, Invariant.REOPENED),
    (open_again_for_what_is_long_over, Invariant.REOPENED),
    (counted_under_another_prefix, Invariant.FOREIGN_COUNTED),
    (counted_under_no_prefix, Invariant.FOREIGN_COUNTED),
    (started_beside_a_ghost, Invariant.FOREIGN_COUNTED),
    (moved_unstamped, Invariant.EPOCH),
    (last_comes_first, Invariant.ORDER),
    (success_lost, Invariant.TRUTH),
    (success_lost_as_others, Invariant.TRUTH),
    (killed_for_a_mount, Invariant.TRUTH),
    (counted_twice, Invariant.FOREIGN_COUNTED),
    (started_beside_an_orphan, Invariant.FOREIGN_COUNTED),
    (started_beside_a_waiting_orphan, Invariant.FOREIGN_COUNTED),
    (waiting_orphan_runs_again, Invariant.COMPLETED_AGAIN),
    (orphan_deleted, Invariant.STRANGER),
    (waiting_orphan_deleted, Invariant.UNORDERED),
    (stopped_twice, Invariant.ONCE),
    (cancelled_again, Invariant.ONCE),
    (counted_for_ever, Invariant.FOREIGN_KEPT),
    (counted_to_the_end, Invariant.FOREIGN_KEPT),
    (starts_long_after_a_hand, Invariant.AFTER_END),
    (ends_long_after_a_hand, Invariant.NAME_FREE),
)
