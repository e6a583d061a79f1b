"""Who asks, what they are answered, and why not: shared by everything that people may request.

Used by ``requests`` and ``retrying``, the command line and the API.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from controller.core.change import Change
from controller.core.model import (
    Attempt,
    Counts,
)
from controller.counts import counts_of
from controller.ports import BatchkeeperError, Clock, Store


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks. ``admin``: asked to act as one, and was found to be one. ``blind``: what belongs to others is
    answered like what is not there."""

    user: str
    admin: bool = False
    blind: bool = False

    def may(self, owner: str) -> bool:
        """Whether this caller may change what belongs to this owner (E9)."""
        return self.admin or self.user == owner


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of one id. ``error`` empty: done. ``stage``: preflight failures wrote nothing."""

    job_id: str
    name: str = ""
    error: str = ""
    stage: str = ""
    retry_id: str = ""
    root_id: str = ""
    """With a retry: attempt 0 of its task, whichever attempt was named."""
    did: str = ""
    warning: str = ""
    retry_ids: tuple[str, ...] = ()
    """The root's list of retries, oldest first, as read back after this one was recorded."""
    child_jobs: tuple[str, ...] = ()
    """What of this answer's retry the batch parent was read to list."""
    retry_toggle: bool | None = None


@dataclass(frozen=True, slots=True)
class People:
    """The store, the clock, and the operator's bound on retries by people."""

    store: Store
    clock: Clock
    max_retries: int | None = None
    wrote: Callable[[Attempt, Attempt, Change], None] = lambda before, after, change: None
    """Told of each change of a record that was written, as the engine's journal is of the passes'."""


class NotAllowed(BatchkeeperError):
    """The caller is neither the owner nor an admin."""


class NotFound(BatchkeeperError):
    """There is no such batch or job."""


class Refused(BatchkeeperError):
    """The request as a whole makes no sense as things stand."""


CONTROL = r"\x00-\x1f\x7f-\x9f\u2028\u2029"
"""In no name that a token gives and in no reason, as a class of a pattern has it: what has one of them could
pass for several lines of a log."""
LONGEST_WHY = 300
WHY = rf"^[^{CONTROL}]+$"
"""What a reason may be that is kept with a record: one line of it."""


def not_yours(caller: Caller, name: str, owner: str) -> str:
    """Why this caller may not, and whom to ask (E9)."""
    return f"{name} belongs to {owner}, and you are {caller.user}: ask its owner, or an admin with --as-admin"


def not_there(job_id: str) -> Answer:
    """There is no such job, or none that this caller may know of."""
    return Answer(job_id, error=f"there is no job with id {job_id}", stage="preflight")


def not_theirs(caller: Caller, job: Attempt) -> Answer:
    """The job is somebody else's: says so to whoever may see it."""
    if caller.blind:
        return not_there(job.id)
    return Answer(job.id, job.name, error=not_yours(caller, job.name, job.user), stage="preflight")


async def count(store: Store, moves: Sequence[tuple[Attempt | None, Attempt]]) -> None:
    """Bring the batches' cached counts up to date with what a request changed."""
    by_batch: dict[str, list[tuple[Attempt | None, Attempt]]] = {}
    for before, after in moves:
        by_batch.setdefault(after.batch_id, []).append((before, after))
    for batch_id, mine in by_batch.items():
        delta = counts_of(mine)
        if delta != Counts():
            await store.add_counts(batch_id, delta)
