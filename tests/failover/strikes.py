"""What may become of a command on its way to a mongod and back."""

from __future__ import annotations

import random
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from tests.failover.wire import HANDSHAKE, HEARTBEAT, NO_COLLECTION, Document, Key, Message

UNASKED = frozenset({"killCursors", "endSessions", "currentOp"})
"""What a driver sends when it lets go of something, and what is asked in a slow build: it need not come."""
STREAM: Key = ("aggregate", NO_COLLECTION)
"""A change stream is opened."""
APART, APART_OF_A_KIND = 0.25, 1.0
"""Seconds between two strikes at least."""


class Fate(StrEnum):
    """What becomes of one command."""

    RESET = "the connection is reset, and the server never hears of it"
    LOST = "the server does it, and the connection is reset before its answer"
    SILENT = "no answer, and the server never hears of it"
    UNHEARD = "the server does it, and its answer never comes"
    LATE = "no answer, and the server does it after its caller has given up"
    NOT_PRIMARY = "NotWritablePrimary"
    STEPPED_DOWN = "PrimarySteppedDown"
    SHUTTING_DOWN = "InterruptedAtShutdown"
    OVERDUE = "MaxTimeMSExpired"
    EXCEEDED = "ExceededTimeLimit"
    INTERRUPTED = "Interrupted"
    NOT_ALL_HEARD = "applied, and WriteConcernFailed"
    LEFT_MEANWHILE = "applied, and PrimarySteppedDown while it waited for the others"


Strike = tuple[Key, Fate]


@dataclass(frozen=True, slots=True)
class Refusal:
    """An error as mongod words it. ``again``: the server itself calls the write fit to be sent again."""

    code: int
    name: str
    words: str
    again: bool = False


REFUSALS: Mapping[Fate, Refusal] = {
    Fate.NOT_PRIMARY: Refusal(10107, "NotWritablePrimary", "not primary", again=True),
    Fate.STEPPED_DOWN: Refusal(189, "PrimarySteppedDown", "primary has stepped down", again=True),
    Fate.SHUTTING_DOWN: Refusal(11600, "InterruptedAtShutdown", "interrupted at shutdown", again=True),
    Fate.OVERDUE: Refusal(50, "MaxTimeMSExpired", "operation exceeded time limit"),
    Fate.EXCEEDED: Refusal(262, "ExceededTimeLimit", "operation exceeded time limit", again=True),
    Fate.INTERRUPTED: Refusal(11601, "Interrupted", "operation was interrupted"),
    Fate.NOT_ALL_HEARD: Refusal(64, "WriteConcernFailed", "waiting for replication timed out"),
    Fate.LEFT_MEANWHILE: Refusal(
        189, "PrimarySteppedDown", "Primary stepped down while waiting for replication", again=True
    ),
}
AFTERWARDS = frozenset({Fate.NOT_ALL_HEARD, Fate.LEFT_MEANWHILE})
"""What is told beside the answer of a write that was applied."""
WRITES = frozenset(
    {"insert", "update", "delete", "findAndModify", "create", "createIndexes", "collMod", "dropIndexes"}
)
"""Commands that wait for a majority, and so may be told that it has not heard."""


ON_THE_WIRE = frozenset({Fate.RESET, Fate.LOST, Fate.SILENT, Fate.UNHEARD})
"""What befalls what a driver asks on its own account."""


def befits(fate: Fate, key: Key) -> bool:
    """Whether a mongod, or the way to it, may do this to such a command."""
    if key in (HANDSHAKE, HEARTBEAT):
        return fate in ON_THE_WIRE
    return fate not in AFTERWARDS or key[0] in WRITES


def refused(fate: Fate, command: Mapping[str, Any]) -> Document:
    """The answer of a server that does not do it."""
    told = REFUSALS[fate]
    labels = {"errorLabels": ["RetryableWriteError"]} if told.again and "txnNumber" in command else {}
    return {"ok": 0.0, "errmsg": told.words, "code": told.code, "codeName": told.name, **labels}


def afterwards(fate: Fate, command: Mapping[str, Any], answer: Mapping[str, Any]) -> Document:
    """The answer of a server that did it and does not know whether it will last."""
    told = REFUSALS[fate]
    failed = {"code": told.code, "codeName": told.name, "errmsg": told.words}
    if fate is Fate.NOT_ALL_HEARD:
        failed["errInfo"] = {"wtimeout": True}
    labels = {"errorLabels": ["RetryableWriteError"]} if told.again and "txnNumber" in command else {}
    return {**answer, "writeConcernError": failed, **labels}


@dataclass
class Volley:
    """Strikes every kind of command with each of these fates that befits it, once, while ``armed``.

    Between two strikes there is a little time, of one kind somewhat more, so that work goes on.
    """

    fates: Sequence[Fate]
    dice: random.Random
    armed: bool = False
    left: dict[Key, list[Fate]] = field(default_factory=dict)
    """By kind that came while it was armed."""
    struck: set[Strike] = field(default_factory=set)
    _last: float = 0.0
    _last_of: dict[Key, float] = field(default_factory=dict)

    def judge(self, key: Key, message: Message) -> Fate | None:
        """What becomes of this command."""
        if not self.armed:
            return None
        if key not in self.left:
            fates = [fate for fate in self.fates if befits(fate, key)]
            self.left[key] = self.dice.sample(fates, len(fates))
        now = time.monotonic()
        rested = now - self._last > APART and now - self._last_of.get(key, 0.0) > APART_OF_A_KIND
        # A stream is opened only when the one before it has broken: it does, as often as is needed.
        broken_again = key[0] == "getMore" and self.left.get(STREAM)
        if not rested or not (self.left[key] or broken_again):
            return None
        self._last = self._last_of[key] = now
        fate = self.left[key].pop() if self.left[key] else self.fates[0]
        self.struck.add((key, fate))
        return fate

    def owed(self) -> list[Strike]:
        """What is still to be struck."""
        return [(key, fate) for key, fates in self.left.items() if key[0] not in UNASKED for fate in fates]


def table(struck: Iterable[Strike]) -> str:
    """Which command met what."""
    met = set(struck)
    lines = []
    for key in sorted({key for key, _ in met}):
        marks = "".join(_mark(key, fate, met) for fate in Fate)
        lines.append(f"{marks}  {key[0]} {key[1]}")
    heads = [f"{'│' * n}{'└'}{'─' * (len(Fate) - n)} {fate.name.lower()}" for n, fate in enumerate(Fate)]
    return "\n".join([*reversed(heads), *lines])


def _mark(key: Key, fate: Fate, met: set[Strike]) -> str:
    if (key, fate) in met:
        return "x"
    return "·" if befits(fate, key) else " "
