"""The event loop's longest stall while something else happens."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import time
from collections.abc import AsyncIterator

from controller.collector import short_pauses
from tests.bench.figures import Figure

BEAT = 0.005


class Heart:
    """``longest`` is how late, in seconds, the latest beat came; ``working``, how much this thread worked
    between two beats, which a machine that does other work does not lengthen."""

    def __init__(self) -> None:
        self.longest = 0.0
        self.working = 0.0

    async def beat(self) -> None:
        """Until it is cancelled."""
        while True:
            before, worked = time.perf_counter(), time.thread_time()
            await asyncio.sleep(BEAT)
            self.longest = max(self.longest, time.perf_counter() - before - BEAT)
            self.working = max(self.working, time.thread_time() - worked)

    def figures(self, more: str = "") -> list[Figure]:
        """The stall as rows of a table, which follow that of what was done meanwhile."""
        longest = Figure(
            f"… the loop's longest stall meanwhile{more}", self.longest * 1000, "ms", None, "≤ 100 ms"
        )
        return [longest, Figure(f"… … of it this process's own CPU time{more}", self.working * 1000, "ms")]


@contextlib.asynccontextmanager
async def heartbeat() -> AsyncIterator[Heart]:
    """Listen to the loop's heart for the time of the block, with the daemon's own collector."""
    gc.collect()  # what other rows left behind is not this one's stall
    heart = Heart()
    with short_pauses():
        task = asyncio.create_task(heart.beat())
        try:
            yield heart
            await asyncio.sleep(0)
        finally:
            task.cancel()
