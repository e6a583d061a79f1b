"""What the HTTP API asks of the store beside the records: pages, kept answers, live changes.

Nothing here decides anything, and no pass of the daemon uses it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from controller.core.charts import Tally
from controller.core.model import Attempt, Batch, BatchStatus, Status, Verdict


class JobSort(StrEnum):
    """What a list of jobs may be sorted by; ties are broken by id."""

    ORDER = "order"
    NAME = "name"
    STATUS = "status"
    VERDICT = "verdict"
    ATTEMPT = "attempt"
    NODE = "node"
    INSERTED = "inserted"
    RUNNING = "running"
    FINISHED = "finished"
    SECONDS = "seconds"


Key = str | int | float | datetime | None
"""A value that a list is sorted by."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page ended: the last one's keys and its id. Records that come later don't move it."""

    keys: tuple[Key, ...]
    id: str


@dataclass(frozen=True, slots=True)
class JobQuery:
    """Which jobs a page shows, and in what order. Empty fields are not asked."""

    batch_id: str = ""
    namespace: str = ""
    name: str = ""
    """The whole name."""
    text: str = ""
    """A part of the task's id."""
    user: str = ""
    status: tuple[Status, ...] = ()
    verdict: tuple[Verdict, ...] = ()
    root_id: str = ""
    """Attempts of this task only."""
    inserted_since: datetime | None = None
    inserted_until: datetime | None = None
    finished_since: datetime | None = None
    finished_until: datetime | None = None
    sort: JobSort = JobSort.ORDER
    descending: bool = False


@dataclass(frozen=True, slots=True)
class BatchQuery:
    """Which batches a page shows, the newest first."""

    namespace: str = ""
    name: str = ""
    user: str = ""
    status: tuple[BatchStatus, ...] = ()


@dataclass(frozen=True, slots=True)
class JobPage:
    """So many jobs; ``next``: where the next page begins, None: this was the last one."""

    jobs: Sequence[Attempt]
    next: Place | None


@dataclass(frozen=True, slots=True)
class BatchPage:
    """So many batches; ``next`` as in ``JobPage``."""

    batches: Sequence[Batch]
    next: Place | None


@dataclass(frozen=True, slots=True)
class Kept:
    """What is remembered of a request with an idempotency key. ``status`` 0: its answer was not recorded."""

    request_id: str
    fingerprint: str
    status: int = 0
    answer: bytes = b""


@dataclass(frozen=True, slots=True)
class Changed:
    """Something of a batch changed; ``job`` empty: of its parent or gate. Both empty: look at everything."""

    batch_id: str = ""
    job: str = ""


class Desk(Protocol):
    """The store as the API sees it. Raises ``Unavailable`` like every port."""

    async def job_page(self, query: JobQuery, after: Place | None, limit: int) -> JobPage:
        """The jobs after that place, in the query's order."""
        ...

    async def count_jobs(self, query: JobQuery, most: int) -> int:
        """How many there are, counted no further than ``most``."""
        ...

    async def batch_page(self, query: BatchQuery, after: Place | None, limit: int) -> BatchPage:
        """The batches after that place, the newest first."""
        ...

    async def tally(self, batch_id: str, start: datetime, seconds: float) -> Tally:
        """Counts of all attempts of a batch, on a timeline of so many seconds from ``start`` on."""
        ...

    async def count_batches(self, query: BatchQuery, most: int) -> int:
        """How many there are, counted no further than ``most``."""
        ...

    async def begin_request(self, key: str, fingerprint: str, request_id: str) -> Kept:
        """Remember a request by its key for 24 h; one that is known already is given back as it was."""
        ...

    async def end_request(self, key: str, request_id: str, status: int, answer: bytes) -> None:
        """Record the answer of a request that was begun; the first one stays."""
        ...

    def changes(self) -> AsyncIterator[Changed]:
        """What changes from now on; the first is empty, once it listens. Raises ``Unavailable`` when lost."""
        ...
