"""The batch parent's moves: every status, every gate."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.core.batches import BatchMove, BatchReason, batch_move, result_of
from controller.core.model import Batch, BatchStatus, Gate, Result, Stop, TerminatedCode
from tests.core.chains import NOW

CANCEL = Stop("asked", "ada", NOW, TerminatedCode.BATCH_ABORT)
OPEN = Gate("b", max=5)
PAUSED, CANCELLED = replace(OPEN, paused=True), replace(OPEN, cancel=CANCEL)
HELD = replace(OPEN, hold="systemic-failure: 10 of 10")
S = BatchStatus


def batch(status: BatchStatus, **fields: Any) -> Batch:
    """A batch of ten tasks in this status."""
    known: dict[str, Any] = {"name": "sweep", "user": "ada", "spec": {}, "spec_hash": "", "source": ""}
    known |= {"id": "b", "namespace": "lab", "settings": {}, "tasks": 10, "inserted": NOW, "updated": NOW}
    return Batch(**(known | {"status": status} | fields))


@pytest.mark.parametrize(
    ("status", "gate", "live", "moved", "reason"),
    [
        (S.EXPANDING, OPEN, False, None, None),
        (S.EXPANDING, CANCELLED, False, None, None),
        (S.EXPANDING, PAUSED, True, None, None),
        (S.RUNNING, OPEN, True, None, None),
        (S.RUNNING, PAUSED, True, S.PAUSED, BatchReason.PAUSED),
        (S.RUNNING, HELD, True, S.HELD, BatchReason.HELD),
        (S.RUNNING, replace(HELD, paused=True), True, S.HELD, BatchReason.HELD),
        (S.PAUSED, PAUSED, True, None, None),
        (S.PAUSED, OPEN, True, S.RUNNING, BatchReason.GATE_OPENED),
        (S.HELD, OPEN, True, S.RUNNING, BatchReason.GATE_OPENED),
        (S.HELD, PAUSED, True, S.PAUSED, BatchReason.PAUSED),
        (S.RUNNING, OPEN, False, S.FINISHED, BatchReason.ALL_ENDED),
        (S.PAUSED, PAUSED, False, S.FINISHED, BatchReason.ALL_ENDED),
        (S.HELD, HELD, False, S.FINISHED, BatchReason.ALL_ENDED),
        (S.RUNNING, CANCELLED, True, None, None),
        (S.RUNNING, CANCELLED, False, S.CANCELLED, BatchReason.CANCEL_DONE),
        (S.PAUSED, CANCELLED, False, S.CANCELLED, BatchReason.CANCEL_DONE),
        (S.HELD, CANCELLED, False, S.CANCELLED, BatchReason.CANCEL_DONE),
        (S.CANCELLED, CANCELLED, False, S.CANCELLED, BatchReason.CANCEL_DONE),
        (S.CANCELLED, OPEN, False, None, None),
        (S.CANCELLED, OPEN, True, S.RUNNING, BatchReason.REOPENED),
        (S.CANCELLED, PAUSED, True, S.PAUSED, BatchReason.REOPENED),
        (S.CANCELLED, CANCELLED, True, None, None),
        (S.FINISHED, OPEN, True, S.RUNNING, BatchReason.REOPENED),
        (S.FINISHED, HELD, True, S.HELD, BatchReason.REOPENED),
        (S.FINISHED, CANCELLED, True, None, None),
        (S.FINISHED, CANCELLED, False, None, None),
    ],
)
def test_batch_move(
    status: BatchStatus, gate: Gate, live: bool, moved: BatchStatus | None, reason: BatchReason | None
) -> None:
    """The status follows the gate while anything lives, and ends as the gate and the tasks say."""
    move = batch_move(batch(status), gate, has_live=live, completed=3)
    assert (move.status if move else None, move.reason if move else None) == (moved, reason)


@pytest.mark.parametrize(
    ("completed", "result"),
    [(10, Result.COMPLETED), (9, Result.PARTIAL), (1, Result.PARTIAL), (0, Result.FAILED)],
)
def test_result(completed: int, result: Result) -> None:
    """All, some or none of the tasks completed."""
    assert result_of(completed, 10) is result
    move = batch_move(batch(S.RUNNING), OPEN, has_live=False, completed=completed)
    assert move == BatchMove(S.FINISHED, BatchReason.ALL_ENDED, f"{completed} of 10 tasks completed", result)


def test_a_settled_batch_rests() -> None:
    """A finished batch is not finished again, unless a retry between two passes changed its result."""
    finished = batch(S.FINISHED, result=Result.PARTIAL)
    assert batch_move(finished, OPEN, has_live=False, completed=9) is None
    again = batch_move(finished, OPEN, has_live=False, completed=10)
    assert again is not None
    assert again.result is Result.COMPLETED


def test_a_new_hold_is_told() -> None:
    """A held batch whose hold says something else now shows the new sentence, once."""
    held = batch(S.HELD, reason=HELD.hold)
    assert batch_move(held, HELD, has_live=True, completed=0) is None
    move = batch_move(held, replace(HELD, hold="adoption-needed: x"), has_live=True, completed=0)
    assert move is not None
    assert move.sentence == "adoption-needed: x"


def test_only_a_done_cancel_is_lifted() -> None:
    """The gate's cancel goes with the move to cancelled, and with no other."""
    done = batch_move(batch(S.RUNNING), CANCELLED, has_live=False, completed=4)
    over = batch_move(batch(S.RUNNING), OPEN, has_live=False, completed=4)
    assert done is not None
    assert over is not None
    assert (done.lifts_cancel, over.lifts_cancel) == (True, False)
    assert done.sentence == "cancelled by ada with 4 of 10 tasks completed"


@given(
    st.sampled_from(S),
    st.sampled_from([OPEN, PAUSED, HELD, CANCELLED]),
    st.booleans(),
    st.integers(0, 10),
    st.sampled_from([None, *Result]),
)
def test_moves_settle(
    status: BatchStatus, gate: Gate, live: bool, completed: int, result: Result | None
) -> None:
    """Written as it says, with a done cancel lifted, a move is followed by no other."""
    one = batch(status, result=result)
    move = batch_move(one, gate, has_live=live, completed=completed)
    if move is None:
        return
    written = replace(one, status=move.status, reason=move.sentence, result=move.result)
    after = replace(gate, cancel=None) if move.lifts_cancel else gate
    assert batch_move(written, after, has_live=live, completed=completed) is None
    assert (move.result is not None) is (move.status is S.FINISHED)
