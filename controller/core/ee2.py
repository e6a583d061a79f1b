"""What repair and reapers read of a record of EE2's, checked: a record that is not as EE2 writes them is
``Malformed``, and costs itself only.

Called by the passes in ``controller.ee2``. EE2 has no field for the instant at which it made a record:
that is the time in the id. Its times are seconds since 1970, as floats; its references are the
hexadecimal texts of ids.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from controller.core.model import Status

Record = Mapping[str, Any]
"""A record as it is stored, ``_id`` as text."""

BY_AUTOMATION = 2
"""EE2's ``terminated_code`` for what a reaper ends."""
ENTERED = {Status.QUEUED: "queued", Status.RUNNING: "running"}
"""The field with the instant at which a job entered a status; ``created`` is entered at the id's time."""

_ID = re.compile(r"[0-9a-f]{24}")
_SCHEDULER_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@-]{0,127}")
"""What may be handed to a hook as an argument: nothing that a program could take for an option."""


class Malformed(ValueError):
    """A record is not as EE2 writes them: it is left alone, and shown with this reason."""


@dataclass(frozen=True, slots=True)
class Child:
    """A retry whose lifecycle may be unfinished."""

    id: str
    retry_parent: str
    batch_id: str = ""
    """Empty: its root belongs to no batch."""

    @property
    def parents(self) -> tuple[str, ...]:
        """Everybody who should know of it."""
        return (self.batch_id, self.retry_parent) if self.batch_id else (self.retry_parent,)


@dataclass(frozen=True, slots=True)
class Stuck:
    """A job that may be stuck in its status."""

    id: str
    status: Status
    since: float
    """Seconds since 1970 at which it entered the status, the very value of the record."""
    scheduler_id: str = ""
    scheduler_type: str = ""

    @property
    def entered(self) -> datetime:
        """The same as an instant."""
        return datetime.fromtimestamp(self.since, UTC)


def made_at(job_id: str) -> float:
    """The instant in an id: when EE2 made the record, in whole seconds."""
    return float(int(job_id[:8], 16))


def read_child(record: Record) -> Child:
    """The retry that a record is. Raises ``Malformed``."""
    if _flag(record, "batch_job"):
        raise Malformed("it is a batch parent and has a retry_parent")
    _flag(record, "retry_saved_toggle")
    parent = _reference(record, "retry_parent")
    if not parent:
        raise Malformed("retry_parent is empty")
    if parent == record["_id"]:
        raise Malformed("it is its own retry_parent")
    return Child(record["_id"], parent, _reference(record, "batch_id"))


def read_stuck(record: Record, now: datetime, skew: float) -> Stuck | None:
    """The job that a record is; None: no reaper ends it, whatever its age. Raises ``Malformed``.

    ``skew``: seconds by which the clocks of two machines may disagree.
    """
    status = _status(record)
    if _flag(record, "batch_job") or (status is not Status.CREATED and status not in ENTERED):
        return None
    made = made_at(record["_id"])
    since = made if status is Status.CREATED else _seconds(record, ENTERED[status])
    if since > now.timestamp() + skew:
        raise Malformed(f"it has been {status.value} since a time to come: {since:.0f} (not in seconds?)")
    if since < made - skew:
        raise Malformed(f"it was {status.value} before it was made: {since:.0f}")
    return Stuck(record["_id"], status, since, _scheduler_id(record), _text(record, "scheduler_type"))


def _status(record: Record) -> Status:
    try:
        return Status(_text(record, "status"))
    except ValueError as error:
        raise Malformed(f"status is {record.get('status')!r:.80}, which is none of EE2's") from error


def _flag(record: Record, name: str) -> bool:
    value = record.get(name)
    if value is not None and not isinstance(value, bool):
        raise Malformed(f"{name} is {value!r:.80}, not true or false")
    return bool(value)


def _text(record: Record, name: str) -> str:
    value = record.get(name)
    if value is not None and not isinstance(value, str):
        raise Malformed(f"{name} is {value!r:.80}, not a text")
    return value or ""


def _reference(record: Record, name: str) -> str:
    """The id that a record refers to; empty: none."""
    value = _text(record, name)
    if value and not _ID.fullmatch(value):
        raise Malformed(f"{name} is {value!r:.80}, not an id")
    return value


def _scheduler_id(record: Record) -> str:
    value = _text(record, "scheduler_id")
    if value and not _SCHEDULER_ID.fullmatch(value):
        raise Malformed(f"scheduler_id is {value!r:.80}, which no hook is given")
    return value


def _seconds(record: Record, name: str) -> float:
    value = record.get(name)
    if value is None:
        raise Malformed(f"{name} is missing")
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Malformed(f"{name} is {value!r:.80}, not a number of seconds")
    if not math.isfinite(value):
        raise Malformed(f"{name} is {value}")
    return float(value)
