"""The steps of a batch's plan: what each is and names. ``plan`` makes them, ``reconcile`` takes them."""

from __future__ import annotations

from dataclasses import dataclass

from controller.core.batches import BatchMove
from controller.core.model import Attempt, Foreign, Hold, Stop
from controller.core.moves import Move, Reason
from controller.core.notices import Topic
from controller.core.retry import RetryDecision


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a batch. ``reason`` is log key, metric label and the record's ``reason``."""

    reason: Reason


@dataclass(frozen=True, slots=True)
class MoveJob(Step):
    """One attempt's next step, as ``decide`` has it."""

    job: Attempt
    move: Move


@dataclass(frozen=True, slots=True)
class Claim(Step):
    """Take places in the gate for these attempts, then submit them (R1).

    Some of them may be places that ended attempts leave in the same plan.
    """

    places: tuple[tuple[Attempt, int], ...]


@dataclass(frozen=True, slots=True)
class Submit(Step):
    """An attempt already holds a place but was not recorded so: go on where a crash stopped."""

    job: Attempt
    slot: int


@dataclass(frozen=True, slots=True)
class Retry(Step):
    """Record the automatic retry of an ended attempt (R8)."""

    chain: tuple[Attempt, ...]
    decision: RetryDecision


@dataclass(frozen=True, slots=True)
class Leave(Step):
    """Give the places of ended attempts back."""

    jobs: tuple[Attempt, ...]


@dataclass(frozen=True, slots=True)
class CountForeign(Step):
    """Let objects that are no attempt's take places away (R2, R13)."""

    objects: tuple[Foreign, ...]


@dataclass(frozen=True, slots=True)
class CheckForeign(Step):
    """A counted object is no longer in the list: ask live, and only then stop counting it."""

    object: Foreign


@dataclass(frozen=True, slots=True)
class LookForOthers(Step):
    """See live what runs under the batch's names already; then open the gate, hold it, or take over (S11)."""


@dataclass(frozen=True, slots=True)
class HoldBatch(Step):
    """Stop submissions until somebody says resume (S7b)."""

    hold: Hold
    sentence: str


@dataclass(frozen=True, slots=True)
class MoveBatch(Step):
    """The batch's own status follows its gate and its attempts."""

    move: BatchMove


@dataclass(frozen=True, slots=True)
class WithdrawWaiting(Step):
    """The batch is being cancelled: end everything that waits."""

    stop: Stop


@dataclass(frozen=True, slots=True)
class Remember(Step):
    """Remember that this is to be told, once in the batch's life."""

    told: tuple[tuple[Topic, str], ...]
