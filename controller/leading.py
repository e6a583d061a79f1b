"""Leading and standing by: from an election to a daemon that decides, and back, for as long as it lives.

Losing the election ends leading, not the process: requests and health go on, and it stands again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from controller.ending import end_all, see_through
from controller.ports import BatchkeeperError, Clock, Elector, Rejected, StaleEpoch, Unavailable

AGAIN = 1.0
"""Seconds between stepping down and standing for election again."""
LAST_SECONDS = 5.0
"""For which a process that ends gives its office back: else everybody waits until a Lease runs out."""


class LedByAnother(BatchkeeperError):
    """Another process leads, and makes the passes."""


class Teller(Protocol):
    """Where a candidate tells of its trouble; any journal."""

    def trouble(self, where: str, error: BaseException, **facts: object) -> None:
        """Something is unavailable."""
        ...


class Candidate(Protocol):
    """What leads while it is elected: the daemon of our own records, or that of EE2's."""

    stepped_down: asyncio.Event
    """Set while it does not lead after having led."""

    @property
    def clock(self) -> Clock:
        """Its clock."""
        ...

    @property
    def journal(self) -> Teller:
        """Where it tells of itself."""
        ...

    async def lead(self, who: str) -> int:
        """Begin to decide; returns its epoch."""
        ...

    def step_down(self, why: str) -> None:
        """Stop deciding."""
        ...

    def look_soon(self) -> None:
        """It has just begun to lead: look at everything."""
        ...


async def stand(daemon: Candidate, elector: Elector, leads: Callable[[bool], None]) -> None:
    """Stand for election, lead while elected, step down, and stand again; until cancelled.

    ``leads`` is told of every change.
    """
    leads(False)
    try:
        while True:
            await elector.acquire()
            why = await _term(daemon, elector, leads)
            daemon.step_down(why)
            leads(False)
            await elector.release()
            await daemon.clock.sleep(AGAIN)
    finally:
        daemon.step_down("this process ends")
        await see_through(elector.release(), LAST_SECONDS, "release")


async def retire(events: asyncio.Task[None], office: asyncio.Task[None]) -> None:
    """End what follows events while it still leads, so that the last answers of its creates are recorded.

    Then lead no more. Called by ``app``, which has both.
    """
    await end_all([events])
    await end_all([office])


async def _term(daemon: Candidate, elector: Elector, leads: Callable[[bool], None]) -> str:
    """One term of office; returns why it ended."""
    lost = asyncio.create_task(elector.lost(), name="elected")
    begun = asyncio.create_task(daemon.lead(elector.identity), name="lead")
    try:
        await asyncio.wait({lost, begun}, return_when=asyncio.FIRST_COMPLETED)
        if not begun.done():
            await end_all([begun])
            return lost.result()
        try:
            begun.result()
        except (Unavailable, Rejected, StaleEpoch) as error:
            daemon.journal.trouble("taking the lead", error)
            return str(error)
        leads(True)
        daemon.look_soon()
        stepped = asyncio.create_task(daemon.stepped_down.wait(), name="stepped down")
        await asyncio.wait({lost, stepped}, return_when=asyncio.FIRST_COMPLETED)
        stepped.cancel()
        return lost.result() if lost.done() else "a newer leader was found"
    finally:
        await end_all([lost, begun])  # this process may end in the middle of the beginning
        await asyncio.gather(lost, begun, return_exceptions=True)  # nobody asks any more how they ended
