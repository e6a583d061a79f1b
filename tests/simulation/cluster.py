"""The cluster in memory on virtual time: who listens to it waits without a task of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

from controller.ports import NewJob
from tests.fakes.memory_cluster import MemoryCluster
from tests.fakes.memory_objects import End
from tests.simulation.loop import VirtualLoop
from tests.simulation.process import TrueClock


class _Bell:
    """In the place of an ``asyncio.Event`` that is cleared after each waiting."""

    def __init__(self) -> None:
        self.waiting: list[asyncio.Future[None]] = []

    def set(self) -> None:
        waiting, self.waiting = self.waiting, []
        for future in waiting:
            if not future.done():
                future.set_result(None)

    def clear(self) -> None:
        pass


class VirtualCluster(MemoryCluster):
    """As ``MemoryCluster``, only that waiting costs less."""

    def __init__(self, clock: TrueClock, ends: Callable[[NewJob], End], **more: Any) -> None:
        super().__init__(clock, ends, **more)
        self._loop: VirtualLoop = clock.loop
        self._bell = _Bell()
        self._news = cast(asyncio.Event, self._bell)

    def _settle(self) -> None:
        now, due = self._loop.elapsed, self._due
        if due and due[0][0] <= now:
            super()._settle()
        elif now > self._instant:
            self._instant = now

    async def _something(self) -> None:
        waiter: asyncio.Future[None] = self._loop.create_future()
        due = self.next_due()
        self._bell.waiting.append(waiter)
        if due is not None:
            self._loop.wake(waiter, due)
        await waiter
