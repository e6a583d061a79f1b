"""One guarded update of one record, as data: what ``decide`` asks for and every store executes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from controller.core.machine import Event
from controller.core.model import Status


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
