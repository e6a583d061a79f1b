"""Lineage (E2): which attempts belong together, in which order, and which of them is the newest.

The engine, repair, the report and the API read chains through these; nothing here trusts the order
in which a store returned the records.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from controller.core.model import Attempt


def ordered(attempts: Iterable[Attempt]) -> tuple[Attempt, ...]:
    """The attempts of one task from the root to the newest retry."""
    return tuple(sorted(attempts, key=_age))


def newest(attempts: Iterable[Attempt]) -> Attempt:
    """The newest attempt of one task. Raises ValueError when there is none."""
    return max(attempts, key=_age)


def root_of(attempts: Iterable[Attempt]) -> Attempt:
    """Attempt 0 of one task. Raises ValueError when it is not among the attempts."""
    for attempt in attempts:
        if attempt.retry_parent is None:
            return attempt
    raise ValueError("the root is not among the attempts")


def retries(attempts: Iterable[Attempt]) -> tuple[Attempt, ...]:
    """The retries of one task, oldest first; the root is not among them."""
    return ordered(attempt for attempt in attempts if attempt.retry_parent is not None)


def retry_count(root: Attempt) -> int:
    """How many retries the root lists: a set, so an id that was told twice counts once."""
    return len(set(root.retry_ids))


def in_flight(attempts: Iterable[Attempt]) -> Attempt | None:
    """The retry that has not ended yet, waiting ones included; a task has at most one (E6)."""
    return next((attempt for attempt in retries(attempts) if not attempt.status.terminal), None)


def unlisted(attempts: Sequence[Attempt]) -> tuple[str, ...]:
    """Ids of the retries that the root does not list yet: step 3 of their lifecycle is open."""
    listed = set(root_of(attempts).retry_ids)
    return tuple(attempt.id for attempt in retries(attempts) if attempt.id not in listed)


def group_chains(attempts: Iterable[Attempt]) -> Mapping[str, tuple[Attempt, ...]]:
    """The attempts by the id of their root, each chain in order; roots as they first appear."""
    groups: dict[str, list[Attempt]] = {}
    for attempt in attempts:
        groups.setdefault(attempt.root_id, []).append(attempt)
    return {root: ordered(chain) for root, chain in groups.items()}


def _age(attempt: Attempt) -> tuple[int, datetime, str]:
    """Attempts count up; EE2's records all say 0, where the instant of insertion decides."""
    return attempt.attempt, attempt.inserted, attempt.id
