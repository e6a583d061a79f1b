"""The state machine's table, executed on frozen attempts. Used by ``memory_store``.

Written anew from ``core.machine``, not from the MongoDB adapter: the contract suite holds the two
against each other, row by row and guard by guard.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from controller.core.change import Change
from controller.core.copying import replace
from controller.core.machine import TABLE, Event, Guard, Row, Writer
from controller.core.model import Attempt, OpenCreate, Status, Stop

_INSTANT = {Status.CREATED: "created", Status.QUEUED: "queued", Status.RUNNING: "running"}
_DEFAULTS = {
    field.name: field.default_factory() if callable(field.default_factory) else field.default
    for field in dataclasses.fields(Attempt)
}


_WITH_AN_INSTANT = (Stop, OpenCreate)


def instant_field(status: Status) -> str:
    """The field with the instant at which a record entered this status (never asked of waiting)."""
    return "finished" if status.terminal else _INSTANT[status]


def milliseconds(instant: datetime) -> datetime:
    """The instant as a store keeps it: to the millisecond."""
    return instant.replace(microsecond=instant.microsecond // 1000 * 1000)


def kept(value: Any) -> Any:
    """A value as a store keeps it: its instants to the millisecond."""
    if isinstance(value, datetime):
        return milliseconds(value)
    if isinstance(value, tuple):
        return tuple(kept(item) for item in value)
    if isinstance(value, _WITH_AN_INSTANT):
        return replace(value, at=milliseconds(value.at))
    return value


def kept_field(name: str, value: Any) -> Any:
    """A record's value as a store keeps it: what is unset is its default."""
    return _DEFAULTS[name] if value is None else kept(value)


_WITH_INSTANTS = (
    *("inserted", "updated", "not_before", "created", "queued", "running", "finished"),
    *("stop", "open_creates"),
)


def kept_attempt(job: Attempt) -> Attempt:
    """A record as a store keeps it."""
    return replace(job, **{name: kept(getattr(job, name)) for name in _WITH_INSTANTS})


def changed(
    job: Attempt, change: Change, target: Status | None, epoch: int | None, now: datetime
) -> Attempt | None:
    """The record after the change to ``target_of`` it, or None when it is not as the row demands."""
    row = TABLE[change.event]
    if job.status not in row.sources or not _allows(job, row, change, target, epoch, now):
        return None
    return _written(job, row, change, target, epoch, now)


def target_of(row: Row, change: Change, epoch: int | None) -> Status | None:
    """What the status becomes (None: it stays); raises ``ValueError`` for what the table can't mean."""
    problems = {
        "the leader's rows need an epoch": row.writer is Writer.LEADER and epoch is None,
        "not a target of this row": change.status is not None and change.status not in row.targets,
        "which target?": change.status is None and len(row.targets) > 1,
        "fields that this row does not write": not set(change.fields)
        <= row.writes - {"status", "updated", "reason"},
        "tokens that this row does not write": bool(change.add_token or change.drop_token)
        and "open_creates" not in row.writes,
        "another epoch than the decision's": change.fields.get("epoch", epoch) != epoch,
        "a place needs a slot": _takes_place(row, change) and type(change.fields.get("slot")) is not int,
        "no slot without a place": not _takes_place(row, change) and change.fields.get("slot") is not None,
        "a limit needs the instant that was read": Guard.PAST_LIMIT in row.guards
        and (change.entered is None or change.limit is None),
        "not this row's kind of stop": "stop" in row.writes and not _is_order(row, change.fields.get("stop")),
    }
    for problem, is_so in problems.items():
        if is_so:
            raise ValueError(f"{row.event}: {problem}")
    return change.status or next(iter(row.targets), None)


def _takes_place(row: Row, change: Change) -> bool:
    adopted = row.event is Event.ADOPTED and change.status is not None and change.status.active
    return adopted or row.event is Event.CLAIMED


def _is_order(row: Row, stop: object) -> bool:
    return isinstance(stop, Stop) and (stop.code is None) == (row.event is Event.GIVEN_UP)


def _coded(job: Attempt) -> bool:
    return job.stop is not None and job.stop.code is not None


def _open(job: Attempt, change: Change, now: datetime) -> bool:
    return any(create.at >= now - change.hold for create in job.open_creates)


def _entry(job: Attempt) -> datetime | None:
    instant: datetime | None = getattr(job, instant_field(job.status))
    return instant


def _past_limit(job: Attempt, change: Change, now: datetime) -> bool:
    entered = _entry(job)
    return entered is not None and change.limit is not None and entered < now - change.limit


_GUARDS: Mapping[Guard, Callable[[Attempt, Change, datetime], bool]] = {
    Guard.STOP_UNSET: lambda job, change, now: job.stop is None,
    Guard.STOP_SET: lambda job, change, now: job.stop is not None,
    Guard.STOP_NOT_CODED: lambda job, change, now: not _coded(job),
    Guard.CREATES_SETTLED: lambda job, change, now: job.tombstone or not _open(job, change, now),
    Guard.NO_OPEN_CREATES: lambda job, change, now: not _open(job, change, now),
    Guard.SAME_UID: lambda job, change, now: job.scheduler_id == change.uid,
    Guard.SAME_ENTRY: lambda job, change, now: _entry(job) == kept(change.entered),
    Guard.PAST_LIMIT: _past_limit,
    Guard.DUE: lambda job, change, now: job.not_before is None or job.not_before <= now,
    Guard.IS_RETRY: lambda job, change, now: job.retry_parent is not None,
    Guard.TOGGLE_FALSE: lambda job, change, now: job.retry_toggle is False,
    Guard.OURS: lambda job, change, now: not job.kind,
}


def _allows(
    job: Attempt, row: Row, change: Change, target: Status | None, epoch: int | None, now: datetime
) -> bool:
    if epoch is not None and job.epoch > epoch:
        return False
    if target is Status.TERMINATED and row.event is not Event.WITHDRAWN and not _coded(job):
        return False
    if target is Status.ERROR and _coded(job):
        return False
    return all(_GUARDS[guard](job, change, now) for guard in row.guards)


def _written(
    job: Attempt, row: Row, change: Change, target: Status | None, epoch: int | None, now: datetime
) -> Attempt:
    values: dict[str, Any] = {"updated": now, "reason": str(change.reason)}
    if target is not None:
        values["status"] = target
        if instant_field(target) in row.writes:
            values[instant_field(target)] = now
        if target.terminal:
            values["slot"] = None
    for name, value in change.fields.items():
        if value is not None:
            values[name] = kept(value)
        elif name not in values:
            values[name] = _DEFAULTS[name]
    if "retry_ids" in values:
        values["retry_ids"] = tuple(dict.fromkeys((*job.retry_ids, *values["retry_ids"])))
    if epoch is not None and "epoch" in row.writes:
        values["epoch"] = epoch
    if change.add_token or change.drop_token:
        values["open_creates"] = _tokens(job, change, now)
    return replace(job, **values)


def _tokens(job: Attempt, change: Change, now: datetime) -> tuple[OpenCreate, ...]:
    gone = {change.add_token, change.drop_token}
    added = (OpenCreate(change.add_token, now),) if change.add_token else ()
    return (*(create for create in job.open_creates if create.token not in gone), *added)
