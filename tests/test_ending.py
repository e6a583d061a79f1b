"""Ending tasks: also those to which a cancel got lost."""

import asyncio
import sys

import pytest

from controller import ending


async def listen(event: asyncio.Event) -> None:
    """A loop around ``wait_for``, as listeners and the database's driver have it."""
    while True:
        await asyncio.wait_for(event.wait(), 60)
        event.clear()


@pytest.mark.parametrize("turns", range(6))
async def test_a_cancel_that_got_lost_is_repeated(turns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever between an event and its hearing the end comes, the task ends."""
    monkeypatch.setattr(ending, "AGAIN_SECONDS", 0.01)
    event = asyncio.Event()
    task = asyncio.create_task(listen(event))
    await asyncio.sleep(0)
    event.set()
    for _ in range(turns):
        await asyncio.sleep(0)
    await asyncio.wait_for(ending.end_all([task]), 10)
    assert task.cancelled()


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="asyncio.wait_for keeps every cancel since 3.12")
async def test_one_cancel_does_get_lost() -> None:
    """Why one cancel is not enough: in some turn of the loop it changes nothing."""
    lost = 0
    for turns in range(6):
        event = asyncio.Event()
        task = asyncio.create_task(listen(event))
        await asyncio.sleep(0)
        event.set()
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait({task}, timeout=0.05)
        lost += not task.done()
        task.cancel()
        await asyncio.wait({task})
    assert lost


async def test_what_has_ended_is_left_alone() -> None:
    """A task that failed keeps its error, and nothing waits for it."""

    async def fail() -> None:
        raise ValueError("its own")

    task = asyncio.create_task(fail())
    await asyncio.wait({task})
    await ending.end_all([task])
    assert isinstance(task.exception(), ValueError)
