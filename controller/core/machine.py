"""The state machine of an attempt, as data.

The engine executes this table, every store refuses what is not in it, the documents render it, and a
test enumerates every (status, event) pair against a real store. An event names what happened; its row
says in which statuses it may be written, what the status becomes, which fields it sets or unsets, and
which facts the store must find unchanged at the instant of the write (the guards).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from controller.core.model import ACTIVE, LIVE, TERMINAL, Status


class Event(StrEnum):
    """What may happen to a record. The value is the log key and the metric label."""

    # the way up
    CLAIMED = "claimed"
    CREATE_OPENED = "create-opened"
    CREATE_CLOSED = "create-closed"
    ACCEPTED = "accepted"
    STARTED = "started"
    REPOINTED = "repointed"
    ADOPTED = "adopted"
    # orders
    WITHDRAWN = "withdrawn"
    STOP_ASKED = "stop-asked"
    OVERDUE = "overdue"
    GIVEN_UP = "given-up"
    NO_RETRY = "no-retry"
    HURRIED = "hurried"
    # ends
    ENDED = "ended"
    VANISHED = "vanished"
    NEVER_CREATED = "never-created"
    REJECTED = "rejected"
    COLLIDED = "collided"
    # what may still be written about an attempt without moving it
    BURIED = "buried"
    SEEN = "seen"
    LOG_KEPT = "log-kept"
    LINKED = "linked"
    TOGGLED = "toggled"
    STAMPED = "stamped"


class Guard(StrEnum):
    """A fact that the store repeats in the filter of the write; a stale decision then changes nothing."""

    STOP_UNSET = "stop-unset"
    STOP_SET = "stop-set"
    STOP_NOT_CODED = "stop-not-coded"
    """No stop, or one without a code: a cancel or a reap may overwrite the start deadline's (R4)."""
    CREATES_SETTLED = "creates-settled"
    """No open create, or all of them older than H by the store's clock, or the name is buried (R5)."""
    NO_OPEN_CREATES = "no-open-creates"
    """No open create, or all of them older than H by the store's clock; burial does not help."""
    SAME_UID = "same-uid"
    """``scheduler_id`` is what the decision saw (may be unset)."""
    SAME_ENTRY = "same-entry"
    """The instant of entering the status is the very one that was read (R10)."""
    PAST_LIMIT = "past-limit"
    """That instant is older than the limit by the store's clock, at commit (R10)."""
    DUE = "due"
    """``not_before`` is unset or passed, by the store's clock."""
    IS_RETRY = "is-retry"
    """``retry_parent`` is set."""
    TOGGLE_FALSE = "toggle-false"
    OURS = "ours"
    """``kind`` is unset: what was taken over is never stopped, re-pointed or buried (S11)."""


class Writer(StrEnum):
    """Who may write an event: decisions are the leader's and carry its epoch; requests are anyone's (R12)."""

    LEADER = "leader"
    ANYONE = "anyone"


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table. ``targets`` empty: the status stays what it is."""

    event: Event
    sources: frozenset[Status]
    targets: frozenset[Status]
    writes: frozenset[str]
    guards: frozenset[Guard]
    writer: Writer
    deed: str


def _row(
    event: Event,
    sources: frozenset[Status] | Status,
    targets: frozenset[Status] | Status | None,
    writes: str,
    deed: str,
    *guards: Guard,
    writer: Writer = Writer.LEADER,
) -> Row:
    return Row(
        event,
        frozenset({sources}) if isinstance(sources, Status) else sources,
        frozenset() if targets is None else frozenset({targets}) if isinstance(targets, Status) else targets,
        frozenset(writes.split()) | {"updated", "reason"},
        frozenset(guards),
        writer,
        deed,
    )


_W, _C, _Q, _R = Status.WAITING, Status.CREATED, Status.QUEUED, Status.RUNNING
_END = "status slot finished verdict exit_code evidence error terminated_code node"
"""What the one terminal write sets; ``slot`` is always unset with it (R3, R4)."""
_ANY = LIVE | TERMINAL

TABLE: dict[Event, Row] = {
    row.event: row
    for row in (
        _row(Event.CLAIMED, _W, _C, "slot created open_creates epoch", "create", Guard.DUE),
        _row(Event.CREATE_OPENED, _C, None, "open_creates", "create again", Guard.STOP_UNSET),
        _row(Event.CREATE_CLOSED, _ANY, None, "open_creates", "-"),
        _row(
            Event.ACCEPTED,
            _C,
            _Q,
            "queued scheduler_id scheduler_type image_digest open_creates node",
            "-",
        ),
        _row(Event.STARTED, _Q, _R, "running node image_digest", "-", Guard.SAME_UID),
        _row(
            Event.REPOINTED, frozenset({_Q, _R}), None, "scheduler_id node", "-", Guard.SAME_UID, Guard.OURS
        ),
        _row(
            Event.ADOPTED,
            _W,
            frozenset({_Q, _R, Status.COMPLETED, Status.ERROR}),
            f"{_END} queued running scheduler_id scheduler_type kind origin image_digest epoch",
            "follow its object by uid, or retry?",
        ),
        _row(
            Event.WITHDRAWN,
            _W,
            Status.TERMINATED,
            "finished verdict terminated_code error",
            "leave the gate if in it",
            writer=Writer.ANYONE,
        ),
        _row(
            Event.STOP_ASKED,
            ACTIVE,
            None,
            "stop",
            "delete by uid; bury if absent and creates are open",
            Guard.STOP_NOT_CODED,
            Guard.OURS,
            writer=Writer.ANYONE,
        ),
        _row(
            Event.OVERDUE,
            ACTIVE,
            None,
            "stop",
            "delete by uid; bury if absent and creates are open",
            Guard.STOP_NOT_CODED,
            Guard.SAME_ENTRY,
            Guard.PAST_LIMIT,
            Guard.OURS,
        ),
        _row(
            Event.GIVEN_UP,
            frozenset({_C, _Q}),
            None,
            "stop evidence node",
            "keep evidence, delete by uid",
            Guard.STOP_UNSET,
            Guard.OURS,
        ),
        _row(Event.NO_RETRY, TERMINAL, None, "no_retry", "-", writer=Writer.ANYONE),
        _row(Event.HURRIED, _W, None, "not_before", "-", writer=Writer.ANYONE),
        _row(Event.ENDED, ACTIVE, TERMINAL, f"{_END} image_digest", "leave the gate, TTL, retry?"),
        _row(
            Event.VANISHED,
            frozenset({_Q, _R}),
            frozenset({Status.ERROR, Status.TERMINATED}),
            _END,
            "leave the gate, retry?",
            Guard.CREATES_SETTLED,
            Guard.SAME_UID,
        ),
        _row(
            Event.NEVER_CREATED,
            _C,
            frozenset({Status.ERROR, Status.TERMINATED}),
            _END,
            "leave the gate",
            Guard.STOP_SET,
            Guard.CREATES_SETTLED,
        ),
        _row(
            Event.REJECTED,
            _C,
            Status.ERROR,
            _END,
            "leave the gate",
            Guard.NO_OPEN_CREATES,
            Guard.STOP_UNSET,
        ),
        _row(
            Event.COLLIDED,
            _C,
            Status.ERROR,
            _END,
            "leave the gate, alert",
            Guard.NO_OPEN_CREATES,
            Guard.STOP_UNSET,
        ),
        _row(Event.BURIED, ACTIVE, None, "tombstone", "-", Guard.OURS),
        _row(Event.SEEN, ACTIVE, None, "evidence node image_digest exit_code", "-"),
        _row(Event.LOG_KEPT, TERMINAL, None, "evidence", "-"),
        _row(Event.LINKED, _ANY, None, "retry_ids", "-", writer=Writer.ANYONE),
        _row(
            Event.TOGGLED,
            _ANY,
            None,
            "retry_toggle",
            "-",
            Guard.IS_RETRY,
            Guard.TOGGLE_FALSE,
            writer=Writer.ANYONE,
        ),
        _row(Event.STAMPED, ACTIVE, None, "epoch", "-"),
    )
}
"""Every event has exactly one row. What is not listed writes nothing.

Beside a row's guards every store repeats three facts by itself, for any terminal target (R4):
``terminated`` needs a ``stop`` with a code (WITHDRAWN excepted: it never had a slot), ``error`` needs
none with a code, ``completed`` is refused by nothing. And ``slot`` is set exactly while active (R3).
"""


def allowed(event: Event, status: Status) -> bool:
    """Whether the table lists this event for a record in this status."""
    return status in TABLE[event].sources
