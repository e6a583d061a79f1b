"""What the passes over EE2's records work with. Made by ``ee2_app``."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from controller.core.ee2 import Record
from controller.core.reaping import Reaper
from controller.ports import Clock
from controller.ports.ee2 import Canceller, Ee2Journal, Ee2Records

PAGE = 500
"""Records read at once."""


@dataclass(frozen=True, slots=True)
class Figures:
    """The operator's figures for EE2's records."""

    reaper: Reaper = field(default_factory=Reaper)
    repair_after: timedelta = timedelta(minutes=10)
    clock_skew: timedelta = timedelta(seconds=30)
    interval: timedelta = timedelta(seconds=15)
    """Between two passes of the reaper."""
    claim_term: timedelta = timedelta(minutes=1)
    """For how long a claim keeps others from asking for the same job: longer than one request may take."""
    budget: timedelta = timedelta(seconds=30)
    """After so long a pass begins no more requests to the scheduler; the next one goes on."""

    @property
    def silence(self) -> timedelta:
        """A silence between good passes that is longer than this counts for no job (R10)."""
        return 2 * self.interval + self.budget + self.claim_term


@dataclass(frozen=True, slots=True)
class Ee2Desk:
    """The ports and the figures."""

    records: Ee2Records
    canceller: Canceller | None
    """None: no hook is configured, and nothing is reaped."""
    clock: Clock
    journal: Ee2Journal
    figures: Figures = field(default_factory=Figures)


@dataclass(frozen=True, slots=True)
class Finding:
    """A record that a pass met, what it does (or would do) with it, and why."""

    job: str
    deed: str
    why: str


Read = Callable[[str], Awaitable[Sequence[Record]]]
"""Reads the page of records after an id."""


async def pages(read: Read) -> AsyncIterator[Sequence[Record]]:
    """Page after page, each read when it is wanted: what was done with one shows in the next."""
    after = ""
    while page := await read(after):
        yield page
        if len(page) < PAGE:
            return
        after = page[-1]["_id"]
