"""Ends that are recorded as what they were not, beside lawful ones that look alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from controller.core.model import Status, Stop, TerminatedCode, Verdict
from tests.oracle.histories import CANCEL, Tale
from tests.oracle.history import Deed, Ending
from tests.oracle.invariants import Invariant

LOST: dict[str, Any] = {"status": Status.ERROR, "verdict": Verdict.LOST, "slot": None}
_BY_USER: dict[str, Any] = {"terminated_code": TerminatedCode.USER}
CANCELLED: dict[str, Any] = _BY_USER | {"status": Status.TERMINATED, "slot": None}


def exit_one_is_unknown(tale: Tale) -> None:
    """Exit 1 is recorded as an end that nobody can explain."""
    tale.begin("a")
    tale.run("a")
    tale.end("a", exit_code=1, verdict=Verdict.UNKNOWN)


def failure_is_lost(tale: Tale) -> None:
    """It failed, shows how, and is recorded as lost."""
    tale.begin("a")
    tale.run("a")
    tale.happen(Deed.ENDED, "a", success=False, end=Ending(3))
    tale.change("a", **LOST, finished=tale.now)


def eviction_is_a_mount_failure(tale: Tale) -> None:
    """The cluster took its pod away, and the exit code decides all the same."""
    tale.begin("a")
    tale.run("a")
    tale.end("a", exit_code=2, reasons=("Evicted",))


def another_exit_code(tale: Tale) -> None:
    """It ended with 2, and the record says 3."""
    tale.begin("a")
    tale.run("a")
    tale.happen(Deed.ENDED, "a", success=False, end=Ending(2))
    mount: dict[str, Any] = {"verdict": Verdict.MOUNT_FAILURE, "exit_code": 3, "slot": None}
    tale.change("a", status=Status.ERROR, **mount, finished=tale.now)


def exit_code_left_out(tale: Tale) -> None:
    """It ended with 2, and the record has the verdict only."""
    tale.begin("a")
    tale.run("a")
    tale.happen(Deed.ENDED, "a", success=False, end=Ending(2))
    tale.change("a", status=Status.ERROR, verdict=Verdict.MOUNT_FAILURE, slot=None, finished=tale.now)


def fleeting_exit_code_is_another(tale: Tale) -> None:
    """Its pod may have been gone when it was looked at: less may be said of it then, and nothing else."""
    tale.begin("a")
    tale.run("a")
    tale.happen(Deed.ENDED, "a", success=True, end=Ending(0, fleeting=True))
    killed: dict[str, Any] = {"verdict": Verdict.UNKNOWN, "exit_code": 143, "slot": None}
    tale.change("a", status=Status.ERROR, **killed, finished=tale.now)


def fleeting_deadline_is_unknown(tale: Tale) -> None:
    """The exit code was seen, and the reason beside it was not."""
    tale.begin("a")
    tale.run("a")
    tale.happen(
        Deed.ENDED, "a", success=False, end=Ending(137, frozenset({"DeadlineExceeded"}), fleeting=True)
    )
    killed: dict[str, Any] = {"verdict": Verdict.UNKNOWN, "exit_code": 137, "slot": None}
    tale.change("a", status=Status.ERROR, **killed, finished=tale.now)


def cancelled_without_its_exit_code(tale: Tale) -> None:
    """It ended before it could be stopped and is still there, and nobody wrote down with what."""
    tale.begin("a")
    tale.run("a")
    tale.change("a", stop=CANCEL)
    tale.happen(Deed.ENDED, "a", success=False, end=Ending(2))
    tale.change("a", **CANCELLED, verdict=Verdict.CANCELLED, finished=tale.now)


def success_foretold(tale: Tale) -> None:
    """The record of what runs knows its exit code already."""
    tale.begin("a")
    tale.run("a")
    tale.change("a", stop=CANCEL)
    tale.change("a", exit_code=0)


def cancelled_is_reaped(tale: Tale) -> None:
    """A person stopped it, and automation is said to have."""
    tale.begin("a")
    tale.run("a")
    tale.change("a", stop=CANCEL)
    _goes(tale)
    tale.change("a", **CANCELLED, verdict=Verdict.REAPED, finished=tale.now)


def given_up_is_lost(tale: Tale) -> None:
    """It was given up for its image, deleted by order, and recorded as lost."""
    tale.begin("a")
    tale.run("a")
    tale.change("a", stop=Stop(Verdict.IMAGE_PULL.value, "batchkeeper", tale.now))
    _goes(tale)
    tale.change("a", **LOST, finished=tale.now)


def refused_after_it_ran(tale: Tale) -> None:
    """It had an object, and the cluster is said to have refused it."""
    tale.begin("a")
    tale.run("a")
    tale.end("a", exit_code=3, verdict=Verdict.REJECTED)


def hidden_end_is_told(tale: Tale) -> None:
    """Somebody deleted it while it ran, and the record knows how it would have ended."""
    tale.begin("a")
    tale.run("a")
    _goes(tale, ours=False)
    tale.change("a", status=Status.ERROR, verdict=Verdict.OUT_OF_MEMORY, slot=None, finished=tale.now)


def lost_before_it_was_there(tale: Tale) -> None:
    """It is lost, and its record never had an object."""
    tale.begin("a")
    tale.claim("a")
    tale.change("a", **LOST, open_creates=(), finished=tale.now)


def withdrawn_with_an_exit_code(tale: Tale) -> None:
    """It was withdrawn while it waited, and ended with 0."""
    tale.begin("a")
    tale.change("a", **CANCELLED, verdict=Verdict.CANCELLED, exit_code=0, finished=tale.now)


def lawful_loss(tale: Tale) -> None:
    """Somebody deleted it while it ran: lost is all that can be said."""
    tale.begin("a")
    tale.run("a")
    _goes(tale, ours=False)
    tale.change("a", **LOST, finished=tale.now)


def lawful_loss_of_a_failure(tale: Tale) -> None:
    """It failed, and somebody deleted it before anybody looked."""
    tale.begin("a")
    tale.run("a")
    tale.happen(Deed.ENDED, "a", success=False, end=Ending(1))
    tale.happen(Deed.DELETE, "a")
    tale.happen(Deed.GONE, "a")
    tale.change("a", **LOST, finished=tale.now)


def lawful_memory(tale: Tale) -> None:
    """It failed, somebody looked, and it was gone when that was written down."""
    tale.begin("a")
    tale.run("a")
    tale.happen(Deed.ENDED, "a", success=False, end=Ending(2))
    tale.happen(Deed.DELETE, "a")
    tale.happen(Deed.GONE, "a")
    mount: dict[str, Any] = {"verdict": Verdict.MOUNT_FAILURE, "exit_code": 2, "slot": None}
    tale.change("a", status=Status.ERROR, **mount, finished=tale.now)


def lawful_ignorance(tale: Tale) -> None:
    """Its pod was gone when it was looked at: nothing is said of how that ended."""
    tale.begin("a")
    tale.run("a")
    tale.happen(Deed.ENDED, "a", success=False, end=Ending(3, fleeting=True))
    tale.change("a", status=Status.ERROR, verdict=Verdict.UNKNOWN, slot=None, finished=tale.now)


def _goes(tale: Tale, *, ours: bool = True) -> None:
    """Its deletion cuts it short."""
    tale.happen(Deed.DELETE, "a", ours=ours)
    tale.happen(Deed.ENDED, "a", success=False, end=Ending(hidden=True))
    tale.happen(Deed.GONE, "a")


BENT_TRUTHS: tuple[tuple[Callable[[Tale], None], Invariant], ...] = tuple(
    (bent, Invariant.TRUTH)
    for bent in (
        exit_one_is_unknown,
        failure_is_lost,
        eviction_is_a_mount_failure,
        another_exit_code,
        exit_code_left_out,
        fleeting_exit_code_is_another,
        fleeting_deadline_is_unknown,
        cancelled_without_its_exit_code,
        success_foretold,
        cancelled_is_reaped,
        given_up_is_lost,
        refused_after_it_ran,
        hidden_end_is_told,
        lost_before_it_was_there,
        withdrawn_with_an_exit_code,
    )
)
LAWFUL_TRUTHS = (lawful_loss, lawful_loss_of_a_failure, lawful_memory, lawful_ignorance)
