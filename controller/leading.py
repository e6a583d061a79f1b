"""Leading and standing by: from an election to a daemon that decides, and back, for as long as it lives.

Losing the election ends leading, not the process: requests and health go on, and it stands again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from controller.daemon import Daemon
from controller.ending import end_all
from controller.ports import Elector, StaleEpoch, Unavailable

AGAIN = 1.0
"""Seconds between stepping down and standing for election again."""


async def stand(daemon: Daemon, elector: Elector, leads: Callable[[bool], None]) -> None:
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
            await daemon.engine.clock.sleep(AGAIN)
    finally:
        daemon.step_down("this process ends")
        await elector.release()


async def _term(daemon: Daemon, elector: Elector, leads: Callable[[bool], None]) -> str:
    """One term of office; returns why it ended."""
    lost = asyncio.create_task(elector.lost(), name="elected")
    try:
        begun = asyncio.create_task(daemon.lead(elector.identity), name="lead")
        await asyncio.wait({lost, begun}, return_when=asyncio.FIRST_COMPLETED)
        if not begun.done():
            await end_all([begun])
            return lost.result()
        try:
            begun.result()
        except (Unavailable, StaleEpoch) as error:
            daemon.engine.journal.trouble("taking the lead", error)
            return str(error)
        leads(True)
        daemon.agenda.everything()
        stepped = asyncio.create_task(daemon.stepped_down.wait(), name="stepped down")
        await asyncio.wait({lost, stepped}, return_when=asyncio.FIRST_COMPLETED)
        stepped.cancel()
        return lost.result() if lost.done() else "a newer leader was found"
    finally:
        await end_all([lost])
