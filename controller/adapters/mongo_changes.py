"""One row of the state machine as one guarded MongoDB update: a filter and a pipeline.

Called by ``mongo_attempts``. The filter repeats everything that the row demands at the instant of the
write; zero matched means that the record has moved on. The pipeline writes only what the row lists.
Every value is a ``$literal``: nothing that a user wrote can be taken for an operator.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from controller.adapters.mongo_documents import ATTEMPT
from controller.adapters.mongo_shapes import Document, object_id
from controller.core.change import Change
from controller.core.machine import TABLE, Event, Guard, Row, Writer
from controller.core.model import ACTIVE, Status, Stop

NOW = "$$NOW"
"""The server's clock at the write."""

ENTERED = {
    Status.CREATED: "created",
    Status.QUEUED: "queued",
    Status.RUNNING: "running",
    Status.COMPLETED: "finished",
    Status.ERROR: "finished",
    Status.TERMINATED: "finished",
}
"""The field with the instant at which a record entered a status."""

CODED_STOP = {"stop.code": {"$type": "number"}}
NO_CODED_STOP = {"stop.code": {"$not": {"$type": "number"}}}

_NOT_IN_FIELDS = frozenset({"status", "updated", "reason"})
"""Written by every change by itself: from ``Change.status``, the store's clock and ``Change.reason``."""

_ORDERS = frozenset({Event.STOP_ASKED, Event.OVERDUE, Event.GIVEN_UP})


def guarded_update(change: Change, epoch: int | None) -> tuple[Document, list[Document]]:
    """The filter and the update pipeline of a change.

    Raises ``ValueError`` for what the table can't mean: a leader's row without an epoch, a field that
    the row does not write, a status that is not its target, a guard without its value.
    """
    row = TABLE[change.event]
    target = _target(row, change)
    _check(row, change, target, epoch)
    return _filter(row, change, target, epoch), _pipeline(row, change, target, epoch)


# ---------------------------------------------------------------------------------- is it a change?


def _target(row: Row, change: Change) -> Status | None:
    if change.status is None:
        if len(row.targets) > 1:
            raise ValueError(f"{row.event}: say which of {sorted(row.targets)} the status becomes")
        return next(iter(row.targets), None)
    if change.status not in row.targets:
        raise ValueError(f"{row.event}: the table knows no way to {change.status}")
    return change.status


def _check(row: Row, change: Change, target: Status | None, epoch: int | None) -> None:
    if row.writer is Writer.LEADER and epoch is None:
        raise ValueError(f"{row.event} is the leader's: it needs an epoch")
    if unknown := set(change.fields) - (row.writes - _NOT_IN_FIELDS):
        raise ValueError(f"{row.event} does not write {', '.join(sorted(unknown))}")
    if (change.add_token or change.drop_token) and "open_creates" not in row.writes:
        raise ValueError(f"{row.event} does not write open_creates")
    if change.fields.get("epoch", epoch) != epoch:
        raise ValueError(f"{row.event}: the epoch is the deciding leader's own")
    _check_slot(row, change, target)
    if row.event in _ORDERS:
        _check_order(row, change.fields.get("stop"))
    if row.guards & {Guard.SAME_ENTRY, Guard.PAST_LIMIT} and (not change.entered or change.limit is None):
        raise ValueError(f"{row.event} needs the instant that was read, and the limit")


def _check_slot(row: Row, change: Change, target: Status | None) -> None:
    slot = change.fields.get("slot")
    takes_place = row.event in (Event.CLAIMED, Event.ADOPTED) and target in ACTIVE
    if takes_place and type(slot) is not int:
        raise ValueError(f"{row.event} needs a slot")
    if target is not None and target.terminal and slot is not None:
        raise ValueError(f"{row.event}: an attempt that has ended has no slot")


def _check_order(row: Row, stop: Stop | None) -> None:
    """An order is never taken back, and only the start deadline's and the like have no code (R4)."""
    if not isinstance(stop, Stop):
        raise ValueError(f"{row.event} needs a stop")
    if (stop.code is None) != (row.event is Event.GIVEN_UP):
        raise ValueError(
            f"{row.event}: a stop {'without' if stop.code is None else 'with'} a code is not its"
        )


# ---------------------------------------------------------------------------------------- the filter


def _filter(row: Row, change: Change, target: Status | None, epoch: int | None) -> Document:
    conditions: list[Document] = [
        {
            "_id": object_id(change.job),
            "status": {"$in": sorted(status.value for status in row.sources)},
            "batch_job": {"$ne": True},
        }
    ]
    conditions += [_GUARDS[guard](change) for guard in sorted(row.guards)]
    if epoch is not None:
        conditions.append({"epoch": {"$not": {"$gt": epoch}}})
    if target is Status.TERMINATED and row.event is not Event.WITHDRAWN:
        conditions.append(CODED_STOP)
    if target is Status.ERROR:
        conditions.append(NO_CODED_STOP)
    return {"$and": conditions}


def _milliseconds(span: timedelta) -> int:
    return span // timedelta(milliseconds=1)


def _still_open(change: Change) -> Document:
    """The open creates that are not older than H by the server's clock (R5)."""
    since = {"$subtract": [NOW, _milliseconds(change.hold)]}
    tokens = {"$ifNull": ["$open_creates", []]}
    return {"$filter": {"input": tokens, "cond": {"$gte": ["$$this.at", since]}}}


def _no_open_creates(change: Change) -> Document:
    return {"$expr": {"$eq": [{"$size": _still_open(change)}, 0]}}


def _creates_settled(change: Change) -> Document:
    return {"$or": [{"tombstone": True}, _no_open_creates(change)]}


def _same_uid(change: Change) -> Document:
    return {"scheduler_id": change.uid or {"$in": [None, ""]}}


_ENTRY = {
    "$switch": {
        "branches": [
            {"case": {"$eq": ["$status", status.value]}, "then": f"${ENTERED[status]}"}
            for status in sorted(ACTIVE)
        ],
        "default": None,
    }
}


def _same_entry(change: Change) -> Document:
    return {"$expr": {"$eq": [_ENTRY, change.entered]}}


def _past_limit(change: Change) -> Document:
    assert change.limit is not None
    return {"$expr": {"$lt": [_ENTRY, {"$subtract": [NOW, _milliseconds(change.limit)]}]}}


def _due(_: Change) -> Document:
    return {"$expr": {"$lte": [{"$ifNull": ["$not_before", NOW]}, NOW]}}


_GUARDS: Mapping[Guard, Callable[[Change], Document]] = {
    Guard.STOP_UNSET: lambda _: {"stop": None},
    Guard.STOP_SET: lambda _: {"stop": {"$type": "object"}},
    Guard.STOP_NOT_CODED: lambda _: NO_CODED_STOP,
    Guard.CREATES_SETTLED: _creates_settled,
    Guard.NO_OPEN_CREATES: _no_open_creates,
    Guard.SAME_UID: _same_uid,
    Guard.SAME_ENTRY: _same_entry,
    Guard.PAST_LIMIT: _past_limit,
    Guard.DUE: _due,
    Guard.IS_RETRY: lambda _: {"retry_parent": {"$type": "objectId"}},
    Guard.TOGGLE_FALSE: lambda _: {"retry_toggle": False},
    Guard.OURS: lambda _: {"kind": None},
}


# -------------------------------------------------------------------------------------- the pipeline


def _pipeline(row: Row, change: Change, target: Status | None, epoch: int | None) -> list[Document]:
    sets: Document = {"updated": NOW, "reason": _assigned("reason", change.reason)}
    if target is not None:
        sets["status"] = target.value
        if ENTERED[target] in row.writes:
            sets[ENTERED[target]] = NOW
        if target.terminal:
            sets["slot"] = "$$REMOVE"
    for name, value in change.fields.items():
        if value is not None or name not in sets:
            sets[name] = _assigned(name, value)
    if epoch is not None and "epoch" in row.writes:
        sets["epoch"] = epoch
    if change.add_token or change.drop_token:
        sets["open_creates"] = _tokens(change)
    return [{"$set": sets}]


def _assigned(name: str, value: Any) -> Any:
    """The value that a field becomes; a default is not kept, and a list of retries only ever grows."""
    stored = ATTEMPT.value(name, value)
    if name == "retry_ids":
        return union("retry_ids", stored or [])
    return "$$REMOVE" if stored is None else {"$literal": stored}


def _tokens(change: Change) -> Document:
    """``open_creates`` with one token more, stamped by the server, and one less; never an empty list."""
    gone = [token for token in (change.add_token, change.drop_token) if token]
    kept: Document = {
        "$filter": {
            "input": {"$ifNull": ["$open_creates", []]},
            "cond": {"$not": {"$in": ["$$this.token", {"$literal": gone}]}},
        }
    }
    if change.add_token:
        return {"$concatArrays": [kept, [{"token": {"$literal": change.add_token}, "at": NOW}]]}
    return {
        "$let": {"vars": {"kept": kept}, "in": {"$cond": [{"$eq": ["$$kept", []]}, "$$REMOVE", "$$kept"]}}
    }


def union(name: str, values: list[Any]) -> Document:
    """A list field with those of the values that it does not have yet: lists are sets (R9)."""
    listed = {"$ifNull": [f"${name}", []]}
    return {"$concatArrays": [listed, {"$setDifference": [{"$literal": values}, listed]}]}
