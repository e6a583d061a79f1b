"""One guarded update of one record, as data: what ``decide`` asks for and every store executes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from controller.core.machine import TABLE, Event
from controller.core.model import Attempt, Status


@dataclass(frozen=True, slots=True)
class Change:
    """One guarded update of one record. The store looks the event up in the state machine's table.

    ``fields``: values to set by name; ``None`` unsets. ``status`` must be one of the row's targets
    (None: the row's only target, or no move). ``add_token``/``drop_token`` push to and pull from
    ``open_creates`` (the store stamps ``at`` with its own clock). ``uid``, ``entered``, ``limit``
    and ``hold`` feed the row's guards SAME_UID; SAME_ENTRY and PAST_LIMIT; and the open-create
    guards (``hold`` is H).
    """

    job: str
    event: Event
    reason: str
    status: Status | None = None
    fields: Mapping[str, Any] = field(default_factory=dict)
    add_token: str = ""
    drop_token: str = ""
    uid: str = ""
    entered: datetime | None = None
    limit: timedelta | None = None
    hold: timedelta = timedelta(hours=24)


def stands(job: Attempt, change: Change, kept: Callable[[str, Any], Any]) -> bool:
    """Whether the record is as this change leaves it: the change was applied, or another one just like it.

    A token is its create's own, so nobody else's change can be taken for one that brings or closes it.
    Of any other change whatever it writes must be there, as the store has ``kept`` the field's value.
    """
    tokens = {create.token for create in job.open_creates}
    if change.add_token:
        return change.add_token in tokens
    target = change.status or next(iter(TABLE[change.event].targets), None)
    if change.drop_token in tokens or (target is not None and job.status is not target):
        return False
    return job.reason == change.reason and all(
        kept(name, getattr(job, name)) == kept(name, value)
        for name, value in change.fields.items()
        if name != "retry_ids"
    )
