"""What the engine tells people and machines, as a port."""

from __future__ import annotations

from enum import StrEnum
from typing import Protocol

from controller.core.change import Change
from controller.core.model import (
    Attempt,
)


class Invariant(StrEnum):
    """A safety rule that the engine itself may find broken. The value is the log key and metric label."""

    SLOT = "slot"
    """Two active jobs of a batch were given the same slot: the gate should have known (R1)."""
    GHOST = "ghost"
    """A live object of ours whose record has ended: somebody deleted an object that was kept (R13)."""
    RETRY_NAME_TAKEN = "retry-name-taken"
    """A retry can't be recorded because a job of another batch has its name."""


class Journal(Protocol):
    """What the engine tells people and machines: one log line and its metrics per thing that happened.

    Never an env value, never a secret. Every method returns at once and never raises.
    """

    def moved(self, before: Attempt, after: Attempt, change: Change) -> None:
        """One record's change was written."""
        ...

    def skipped(self, job: Attempt, change: Change) -> None:
        """A guarded change matched nothing: the record has moved on since it was read."""
        ...

    def said(self, event: str, **facts: object) -> None:
        """Anything else worth one line: a batch's move, a claim, a repair, who leads."""
        ...

    def quarantined(self, item: str, error: BaseException, seconds: float, **facts: object) -> None:
        """An item failed in an unforeseen way and is left alone for that long."""
        ...

    def trouble(self, where: str, error: BaseException, **facts: object) -> None:
        """Something is unavailable: nothing was decided."""
        ...

    def submitted(self, outcome: str) -> None:
        """A create was answered: created, exists, refused, throttled or unknown."""
        ...

    def unknown_outcome(self, call: str) -> None:
        """A write to the cluster has no definite answer."""
        ...

    def refilled(self, seconds: float) -> None:
        """A free place was taken again after that long."""
        ...

    def retried(self, failed: Attempt, child: Attempt) -> None:
        """A rule's retry of a failed attempt was recorded."""
        ...

    def retry_ended(self, failed: Attempt, child: Attempt) -> None:
        """A retry that had run came to its end; ``failed`` is the attempt that it was to mend."""
        ...

    def repaired(self, step: str, n: int) -> None:
        """The repair pass redid a step of that many lifecycles."""
        ...

    def told(self, channel: str, topic: str, outcome: str, **facts: object) -> None:
        """A delivery to people ended: delivered, failed (to be tried again), refused or given-up."""
        ...

    def violated(self, invariant: Invariant, **facts: object) -> None:
        """An invariant was found broken: an alarm."""
        ...

    def gauge(self, name: str, value: float, batch: str = "") -> None:
        """The present value of one of the contract's gauges."""
        ...

    def passed(self, kind: str, result: str, seconds: float, steps: int) -> None:
        """A pass ended: ``kind`` full, batch, repair, specs; ``result`` ok, nothing, unavailable, …"""
        ...
