"""Histories that break one invariant each: the oracle's own tests must be able to fail."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from controller.core.model import Foreign, Origin, Result, Status, Stop, TerminatedCode, Verdict
from tests.oracle.bent_adoption import BENT_ADOPTIONS
from tests.oracle.bent_batches import BENT_BATCHES
from tests.oracle.bent_brake import BENT_BRAKES
from tests.oracle.bent_gates import BENT_GATES
from tests.oracle.bent_sharing import BENT_SHARES
from tests.oracle.bent_truth import BENT_TRUTHS
from tests.oracle.histories import CANCEL, Tale
from tests.oracle.history import Deed, Side
from tests.oracle.invariants import Invariant

ENDED: dict[str, Any] = {"status": Status.ERROR, "verdict": Verdict.LOST, "slot": None}


def too_many(tale: Tale) -> None:
    """A third place is taken in a gate for two."""
    tale.begin("a", "c", "d")
    tale.run("a")
    tale.run("c", "v", 1)
    tale.claim("d", 2)


def without_a_place(tale: Tale) -> None:
    """A record goes active that holds no place."""
    tale.begin("a")
    tale.change("a", status=Status.CREATED, slot=0)


def left_too_early(tale: Tale) -> None:
    """A place is given back while the attempt runs."""
    tale.begin("a")
    tale.run("a")
    tale.leave("a")


def foreign_not_counted(tale: Tale) -> None:
    """Two foreign objects were there for minutes, and a job starts beside them."""
    tale.begin("a")
    tale.foreign(Deed.CREATED, "scan-x", "f1")
    tale.foreign(Deed.CREATED, "scan-y", "f2")
    tale.pass_time(300)
    tale.claim("a")


def foreign_dropped(tale: Tale) -> None:
    """A foreign object that still runs is counted no more."""
    tale.begin("a")
    tale.foreign(Deed.CREATED, "scan-x")
    tale.regate(foreign=(Foreign("f", "scan-x", "Job"),))
    tale.regate(foreign=())


def claimed_while_paused(tale: Tale) -> None:
    """A place is taken in a paused gate."""
    tale.begin("a")
    tale.regate(paused=True)
    tale.claim("a")


def same_slot(tale: Tale) -> None:
    """Two active records have one slot."""
    tale.begin("a", "c")
    tale.claim("a", 0)
    tale.claim("c", 0)


def slot_kept(tale: Tale) -> None:
    """An ended record keeps its slot."""
    tale.begin("a")
    tale.run("a")
    tale.happen(Deed.ENDED, "a", success=True)
    tale.change("a", status=Status.COMPLETED, verdict=Verdict.SUCCEEDED, finished=tale.now)


def two_live(tale: Tale) -> None:
    """A second object of a task starts while the first runs."""
    tale.begin("a")
    tale.run("a")
    tale.happen(Deed.CREATED, "a", "v")


def inserted_too_early(tale: Tale) -> None:
    """A retry is recorded while the attempt before it runs."""
    tale.begin("a")
    tale.run("a")
    tale.retry("a")


def runs_again(tale: Tale) -> None:
    """A task that succeeded gets another object."""
    tale.begin("a")
    tale.run("a")
    tale.happen(Deed.ENDED, "a", success=True)
    tale.happen(Deed.CREATED, "a", "v")


def freed_while_alive(tale: Tale) -> None:
    """The end is written while the object lives."""
    tale.begin("a")
    tale.run("a")
    tale.change("a", **ENDED, finished=tale.now)


def freed_while_a_pod_lingers(tale: Tale) -> None:
    """The object is gone by a third party's hand, its pod runs on, and the end is written."""
    tale.begin("a")
    tale.run("a")
    tale.happen(Deed.DELETE, "a")
    tale.happen(Deed.GONE, "a", lingers=True)
    tale.change("a", **ENDED, finished=tale.now)


def after_its_end(tale: Tale) -> None:
    """A late create lands after the record has ended."""
    tale.begin("a")
    tale.claim("a")
    tale.change("a", **ENDED, finished=tale.now, tombstone=True)
    tale.happen(Deed.CREATED, "a")


def no_token(tale: Tale) -> None:
    """An object appears for which no create is open."""
    tale.begin("a")
    tale.claim("a")
    tale.change("a", open_creates=())
    tale.happen(Deed.CREATED, "a")


def name_left_free(tale: Tale) -> None:
    """The end is written with a create open and the name free."""
    tale.begin("a")
    tale.claim("a")
    tale.change("a", **ENDED, finished=tale.now)


def over_budget(tale: Tale) -> None:
    """A fourth retry of a mount failure."""
    tale.begin("a")
    job = "a"
    for number in range(5):
        tale.run(job, f"u{number}")
        tale.end(job, f"u{number}", exit_code=2)
        if number < 4:
            job = tale.retry(job, after=300)
            tale.pass_time(400)


def too_soon(tale: Tale) -> None:
    """A retry that may start 5 s after a mount failure instead of 30."""
    tale.begin("a")
    tale.run("a")
    tale.end("a", exit_code=2)
    tale.retry("a", after=5)


def claimed_too_soon(tale: Tale) -> None:
    """A retry is claimed before its time."""
    tale.begin("a")
    tale.run("a")
    tale.end("a", exit_code=2)
    tale.claim(tale.retry("a", after=300))


def exit_one(tale: Tale) -> None:
    """Exit 1 is retried."""
    tale.begin("a")
    tale.run("a")
    tale.end("a", exit_code=1, verdict=Verdict.UNKNOWN)
    tale.retry("a", after=60)


def said_no_retry(tale: Tale) -> None:
    """A retry is recorded long after somebody said that there shall be none."""
    tale.begin("a")
    tale.run("a")
    tale.end("a", exit_code=2)
    tale.change("a", no_retry=True)
    tale.pass_time(60)
    tale.retry("a", after=90)


def started_all_the_same(tale: Tale) -> None:
    """A retry that waits is started long after somebody said that there shall be none."""
    tale.begin("a")
    tale.run("a")
    tale.end("a", exit_code=2)
    child = tale.retry("a")
    tale.leave("a")
    tale.change("a", no_retry=True)
    tale.pass_time(60)
    tale.claim(child)


def toggled_first(tale: Tale) -> None:
    """The toggle is set before the lists have the child."""
    tale.begin("a")
    tale.run("a")
    tale.end("a", exit_code=2)
    child = tale.retry("a")
    tale.oracle.violations.clear()
    tale.change("a", retry_ids=())
    tale.change(child, retry_toggle=False)
    tale.change(child, retry_toggle=True)


def never_listed(tale: Tale) -> None:
    """A child stays out of its root's list."""
    tale.begin("a")
    tale.run("a")
    tale.end("a", exit_code=2)
    child = tale.retry("a", origin=Origin.USER)
    tale.change("a", retry_ids=())
    tale.run(child, "v")
    tale.end(child, "v")
    tale.finish()


def off_the_table(tale: Tale) -> None:
    """A record goes back from running to queued."""
    tale.begin("a")
    tale.run("a")
    tale.change("a", status=Status.QUEUED)


def end_changed(tale: Tale) -> None:
    """An end is written over."""
    tale.begin("a")
    tale.run("a")
    tale.end("a", exit_code=2)
    tale.change("a", status=Status.COMPLETED, verdict=Verdict.SUCCEEDED)


def no_success(tale: Tale) -> None:
    """Completed, and no object succeeded."""
    tale.begin("a")
    tale.run("a")
    tale.happen(Deed.ENDED, "a", success=False)
    tale.change("a", status=Status.COMPLETED, verdict=Verdict.SUCCEEDED, slot=None, finished=tale.now)


def wrong_result(tale: Tale) -> None:
    """All completed, and the batch says failed."""
    tale.begin("a")
    tale.run("a")
    tale.end("a")
    tale.finish(Result.FAILED)


def not_ended(tale: Tale) -> None:
    """The batch is finished, and a task still waits."""
    tale.begin("a", "c")
    tale.run("a")
    tale.end("a")
    tale.finish(Result.PARTIAL)


def foreign_deleted(tale: Tale) -> None:
    """We delete what is not ours."""
    tale.begin("a")
    tale.foreign(Deed.CREATED, "scan-x")
    tale.foreign(Deed.DELETE, "scan-x", ours=True)


def deleted_unordered(tale: Tale) -> None:
    """We delete a running object that nobody ordered to stop."""
    tale.begin("a")
    tale.run("a")
    tale.happen(Deed.DELETE, "a", ours=True)


def expired_unrecorded(tale: Tale) -> None:
    """A finished object may expire before its result is durable."""
    tale.begin("a")
    tale.run("a")
    tale.happen(Deed.ENDED, "a", success=True)
    tale.happen(Deed.EXPIRE, "a", ours=True)


def reaped_early(tale: Tale) -> None:
    """The reaper stops what was created minutes ago."""
    tale.begin("a")
    tale.claim("a")
    tale.pass_time(600)
    tale.change("a", stop=Stop("created for over 1h", "batchkeeper", tale.now, TerminatedCode.AUTOMATION))


def reaped_for_an_outage(tale: Tale) -> None:
    """The reaper counts an hour in which nobody could look."""
    tale.begin("a")
    tale.claim("a")
    tale.weather(Side.CLUSTER, out=True)
    tale.pass_time(3500)
    tale.weather(Side.CLUSTER, out=False)
    tale.pass_time(200)
    tale.change("a", stop=Stop("created for over 1h", "batchkeeper", tale.now, TerminatedCode.AUTOMATION))


def stale_claim(tale: Tale) -> None:
    """Epoch 1 takes a place in a gate that epoch 2 has stamped."""
    tale.begin("a")
    tale.regate(epoch=2, writer=2)
    tale.claim("a", writer=1)


def stale_decision(tale: Tale) -> None:
    """Epoch 1 moves a record that epoch 2 has stamped."""
    tale.begin("a")
    tale.run("a")
    tale.change("a", epoch=2, writer=2)
    tale.happen(Deed.ENDED, "a", success=True)
    ended: dict[str, Any] = {"status": Status.COMPLETED, "verdict": Verdict.SUCCEEDED, "slot": None}
    tale.change("a", writer=1, **ended, finished=tale.now)


def cancel_lost(tale: Tale) -> None:
    """The cancel is lifted while an attempt runs."""
    tale.begin("a")
    tale.run("a")
    tale.regate(cancel=CANCEL)
    tale.regate(cancel=None)


def judged_blindly(tale: Tale) -> None:
    """An end that nobody can have seen is written minutes into an outage of the cluster."""
    tale.begin("a")
    tale.run("a")
    tale.weather(Side.CLUSTER)
    tale.pass_time(300)
    tale.happen(Deed.ENDED, "a", success=True)
    tale.change("a", status=Status.COMPLETED, verdict=Verdict.SUCCEEDED, slot=None, finished=tale.now)


def created_blindly(tale: Tale) -> None:
    """An object is created minutes into an outage of the store."""
    tale.begin("a")
    tale.claim("a")
    tale.weather(Side.STORE)
    tale.pass_time(300)
    tale.happen(Deed.CREATED, "a", ours=True)


BENT: tuple[tuple[Callable[[Tale], None], Invariant], ...] = (
    (too_many, Invariant.PLACES),
    (without_a_place, Invariant.PLACES),
    (left_too_early, Invariant.PLACES),
    (foreign_not_counted, Invariant.FOREIGN_COUNTED),
    (foreign_dropped, Invariant.FOREIGN_DROPPED),
    (claimed_while_paused, Invariant.GATE_SHUT),
    (same_slot, Invariant.SLOT),
    (slot_kept, Invariant.SLOT),
    (two_live, Invariant.ONE_LIVE),
    (inserted_too_early, Invariant.ORDER),
    (runs_again, Invariant.COMPLETED_AGAIN),
    (freed_while_alive, Invariant.SLOT_FREED),
    (freed_while_a_pod_lingers, Invariant.SLOT_FREED),
    (after_its_end, Invariant.AFTER_END),
    (no_token, Invariant.TOKEN),
    (name_left_free, Invariant.NAME_FREE),
    (over_budget, Invariant.BUDGET),
    (too_soon, Invariant.BACK_OFF),
    (claimed_too_soon, Invariant.BACK_OFF),
    (exit_one, Invariant.FORBIDDEN),
    (said_no_retry, Invariant.FORBIDDEN),
    (started_all_the_same, Invariant.FORBIDDEN),
    (toggled_first, Invariant.TOGGLE),
    (never_listed, Invariant.LIFECYCLE),
    (off_the_table, Invariant.TABLE),
    (end_changed, Invariant.IMMUTABLE),
    (no_success, Invariant.TRUTH),
    (wrong_result, Invariant.TRUTH),
    (not_ended, Invariant.UNFINISHED),
    (foreign_deleted, Invariant.STRANGER),
    (deleted_unordered, Invariant.UNORDERED),
    (expired_unrecorded, Invariant.UNORDERED),
    (reaped_early, Invariant.REAPED),
    (reaped_for_an_outage, Invariant.REAPED),
    (stale_claim, Invariant.EPOCH),
    (stale_decision, Invariant.EPOCH),
    (cancel_lost, Invariant.CANCEL_LOST),
    (judged_blindly, Invariant.OUTAGE),
    (created_blindly, Invariant.OUTAGE),
    *BENT_ADOPTIONS,
    *BENT_SHARES,
    *BENT_BATCHES,
    *BENT_TRUTHS,
    *BENT_BRAKES,
    *BENT_GATES,
)
