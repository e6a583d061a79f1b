"""The names of what must hold, and how a rule says that it did not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from tests.oracle.state import State


class Invariant(StrEnum):
    """What the oracle checks; the number is that of the design's list of invariants."""

    PLACES = "1-places"
    FOREIGN_COUNTED = "1-foreign-counted"
    FOREIGN_DROPPED = "1-foreign-dropped"
    FOREIGN_KEPT = "1-foreign-kept"
    GATE_SHUT = "1-gate-shut"
    SLOT = "1-slot"
    ONE_LIVE = "2-one-live-object"
    ORDER = "2-order-of-attempts"
    COMPLETED_AGAIN = "2-completed-runs-again"
    SLOT_FREED = "2-freed-while-alive"
    AFTER_END = "2-started-after-its-end"
    TOKEN = "2-create-without-token"
    NAME_FREE = "2-ended-with-the-name-free"
    BUDGET = "3-budget"
    BACK_OFF = "3-back-off"
    FORBIDDEN = "3-retry-forbidden"
    LIKENESS = "3-retry-of-something-else"
    GIVEN_UP = "3-given-up-early"
    BRAKE = "3-brake"
    TOGGLE = "4-toggle-before-lists"
    LIFECYCLE = "4-lifecycle-incomplete"
    ONCE = "4-request-answered-twice"
    TABLE = "5-not-in-the-table"
    IMMUTABLE = "5-end-changed"
    TRUTH = "5-end-is-not-the-truth"
    UNFINISHED = "5-unfinished"
    REOPENED = "5-open-again-for-nothing"
    STRANGER = "6-not-ours"
    ADOPTION = "6-taken-over-wrongly"
    UNORDERED = "6-deleted-without-an-order"
    REAPED = "7-reaped-early"
    EPOCH = "8-stale-epoch"
    CANCEL_LOST = "8-cancel-lost"
    OUTAGE = "9-acted-blindly"


Broken = tuple[Invariant, str]
Rule = Callable[[State, Any], Iterator[Broken]]


@dataclass(frozen=True, slots=True)
class Violation:
    """An invariant that was broken, what exactly was wrong, and what led to it."""

    invariant: Invariant
    what: str
    story: tuple[str, ...] = ()

    def __str__(self) -> str:
        return "\n".join((f"{self.invariant}: {self.what}", *(f"    {line}" for line in self.story)))
