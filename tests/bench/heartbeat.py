"""The event loop's longest stall while something else happens."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import time
from collections.abc import AsyncIterator

BEAT = 0.005


class Heart:
    """``longest`` is how late, in seconds, the latest beat came."""

    def __init__(self) -> None:
        self.longest = 0.0

    async def beat(self) -> None:
        """Until it is cancelled."""
        while True:
            before = time.perf_counter()
            await asyncio.sleep(BEAT)
            self.longest = max(self.longest, time.perf_counter() - before - BEAT)


@contextlib.asynccontextmanager
async def heartbeat() -> AsyncIterator[Heart]:
    """Listen to the loop's heart for the time of the block."""
    gc.collect()  # what other rows left behind is not this one's stall
    heart = Heart()
    task = asyncio.create_task(heart.beat())
    try:
        yield heart
        await asyncio.sleep(0)
    finally:
        task.cancel()
