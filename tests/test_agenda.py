"""The agenda's alarm clock: who waits for it can be told to stop at any moment."""

import asyncio

import pytest

from controller.adapters.system_clock import SystemClock
from controller.agenda import Agenda


async def keep_time(agenda: Agenda) -> None:
    """What the daemon does with it."""
    while True:
        wait = agenda.ring(0.0)
        await agenda.changed_or(wait, SystemClock())


@pytest.mark.parametrize("turns", range(8))
async def test_a_cancel_right_after_an_alarm_is_not_lost(turns: int) -> None:
    """However few turns of the loop lie between an earlier alarm and the cancel, the waiting ends."""
    agenda = Agenda()
    agenda.at("late", 1000.0)
    task = asyncio.create_task(keep_time(agenda))
    await asyncio.sleep(0.01)
    agenda.at("early", 500.0)
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    ended, _ = await asyncio.wait({task}, timeout=1)
    if not ended:
        task.cancel()
        await asyncio.wait({task})
        raise AssertionError("the cancel was swallowed: the daemon would never end")
