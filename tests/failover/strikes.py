"""What may become of a command on its way to a mongod and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from tests.failover.wire import Document, Key


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


def befits(fate: Fate, key: Key) -> bool:
    """Whether a mongod may do this to such a command."""
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
