"""Charts are counted over all records of a batch, so what was counted is given again for a while.

Called by ``routes_charts``. However many look at a batch, it is counted once at a time, and for no more
than a small share of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from controller.core.model import Batch
from controller.ending import end_all

GOOD_FOR = 3.0
"""Seconds for which an answer is given again, at least."""
SHARE = 20.0
"""An answer that took a second is given again for so many."""
LONGEST = 120.0
"""Seconds for which it is given again, at most, unless the batch is over."""
REMEMBERED = 100
"""Batches whose answers are kept, as they were sent: their numbers as objects are ten times as large."""


@dataclass(slots=True)
class _Told:
    """One batch's charts. ``over``: at which end of the batch they were counted; None: it went on."""

    over: object
    task: asyncio.Task[bytes]
    good_until: float = 0.0


class Charting:
    """What was counted lately, by batch."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._told: dict[str, _Told] = {}

    async def ask(self, batch: Batch, count: Callable[[], Coroutine[Any, Any, bytes]]) -> bytes:
        """The charts of a batch, counted now unless that was done lately. Raises what ``count`` raises."""
        told = self._told.get(batch.id)
        if told is None or not self._good(told, batch):
            self._told.pop(batch.id, None)
            while len(self._told) >= REMEMBERED:
                del self._told[next(iter(self._told))]
            told = self._told[batch.id] = self._count(batch, count)
        # Everybody waits for the same count, and one who goes away does not end it.
        return await asyncio.shield(told.task)

    async def close(self) -> None:
        """End what is being counted."""
        await end_all([told.task for told in self._told.values()])

    def _good(self, told: _Told, batch: Batch) -> bool:
        if told.over != _over(batch):
            return False
        return not told.task.done() or told.over is not None or self._monotonic() < told.good_until

    def _count(self, batch: Batch, count: Callable[[], Coroutine[Any, Any, bytes]]) -> _Told:
        told = _Told(_over(batch), asyncio.create_task(count(), name=f"charts of {batch.id}"))
        begun = self._monotonic()

        def done(task: asyncio.Task[bytes]) -> None:
            now = self._monotonic()
            told.good_until = now + min(LONGEST, GOOD_FOR + SHARE * (now - begun))
            if (task.cancelled() or task.exception()) and self._told.get(batch.id) is told:
                del self._told[batch.id]  # the next one who asks tries again

        told.task.add_done_callback(done)
        return told


def _over(batch: Batch) -> object:
    return (batch.status, batch.finished) if batch.status.closed else None
