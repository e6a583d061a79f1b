"""The batch parent's own moves: running, paused, held, finished, cancelled, and open again.

The plan asks ``batch_move`` once per batch and pass; nothing about attempts is decided here. The gate
is the authority for pause, hold and cancel; the parent's status follows it, for people to read.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from controller.core.copying import replace
from controller.core.model import Batch, BatchStatus, Gate, Result

RECORDING = "its tasks are being recorded"
"""The reason of a batch that is expanding, until something is in the way."""


class BatchReason(StrEnum):
    """Why a batch parent moves: log key and metric label."""

    GATE_OPENED = "gate-opened"
    PAUSED = "paused"
    HELD = "held"
    ALL_ENDED = "all-ended"
    CANCEL_DONE = "cancel-done"
    REOPENED = "reopened"


@dataclass(frozen=True, slots=True)
class BatchMove:
    """The batch parent's next state. ``sentence`` becomes its ``reason``; ``result`` None unsets it."""

    status: BatchStatus
    reason: BatchReason
    sentence: str
    result: Result | None = None

    @property
    def lifts_cancel(self) -> bool:
        """Whether the gate's ``cancel`` is unset after this move is written: it is done (section 3)."""
        return self.status is BatchStatus.CANCELLED


def batch_move(
    batch: Batch, gate: Gate, *, has_live: bool, completed: int, abandoned: bool = False
) -> BatchMove | None:
    """Where the batch parent goes now; None when it stays as it is.

    ``has_live``: whether any attempt is waiting or active, or an automatic retry is owed and not yet
    written. ``completed``: tasks whose newest attempt completed. Expanding is left by the expansion
    alone, or by a cancel once it is ``abandoned``: nobody records tasks any more. A cancelled batch whose
    gate still says cancel is moved once more, since only then is the cancel lifted: a crash between the
    two writes is repaired by repeating both. A cancel that came too late for a finished batch changes
    nothing; the retry that reopens the batch lifts it.
    """
    if batch.status is BatchStatus.EXPANDING and not (gate.cancel and abandoned):
        return None
    if gate.cancel is not None:
        stays = has_live or batch.status is BatchStatus.FINISHED
        return None if stays else _cancelled(gate, completed, batch.tasks)
    if has_live:
        return _alive(batch, gate)
    return _over(batch, completed)


def result_of(completed: int, tasks: int) -> Result:
    """How a batch ended, of which so many tasks completed."""
    if completed >= tasks:
        return Result.COMPLETED
    return Result.PARTIAL if completed > 0 else Result.FAILED


def _cancelled(gate: Gate, completed: int, tasks: int) -> BatchMove:
    by = gate.cancel.by if gate.cancel else ""
    sentence = f"cancelled by {by} with {completed} of {tasks} tasks completed"
    return BatchMove(BatchStatus.CANCELLED, BatchReason.CANCEL_DONE, sentence)


def _alive(batch: Batch, gate: Gate) -> BatchMove | None:
    """A batch with work left follows its gate; one that was closed is open again."""
    move = _following(gate)
    if batch.status.closed:
        return replace(move, reason=BatchReason.REOPENED)
    same_hold = move.status is not BatchStatus.HELD or batch.reason == move.sentence
    return None if batch.status is move.status and same_hold else move


def _following(gate: Gate) -> BatchMove:
    """A hold shows before a pause: it needs somebody to look, not only to come back."""
    if gate.waits_for_people:
        return BatchMove(BatchStatus.HELD, BatchReason.HELD, gate.hold)
    if gate.paused:
        return BatchMove(BatchStatus.PAUSED, BatchReason.PAUSED, "paused until it is resumed")
    return BatchMove(BatchStatus.RUNNING, BatchReason.GATE_OPENED, "its gate is open")


def _over(batch: Batch, completed: int) -> BatchMove | None:
    """Nothing waits or runs. A retry that came and went between two passes still changes the result."""
    result = result_of(completed, batch.tasks)
    settled = batch.status is BatchStatus.FINISHED and batch.result is result
    if settled or batch.status is BatchStatus.CANCELLED:
        return None
    sentence = f"{completed} of {batch.tasks} tasks completed"
    return BatchMove(BatchStatus.FINISHED, BatchReason.ALL_ENDED, sentence, result)
