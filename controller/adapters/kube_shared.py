"""One list for all who ask at the same time: what they want goes into one request, begun after they asked.

Used by ``kube_cluster`` and ``kube_object_events``. The API server reads a whole namespace to tell what is
about one object: a list for ten costs it what a list for one does, and most are asked for when it is slow.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Found = TypeVar("Found")


class Shared(Generic[Key, Found]):
    """Reads for all who wait, one request of a key at a time. There is no timer: who is alone goes alone."""

    def __init__(
        self, name: str, most: int, read: Callable[[Key, Collection[str]], Awaitable[Found]]
    ) -> None:
        """``read`` is given a key and at most ``most`` of what is wanted of it; ``name`` is its tasks'."""
        self._name = name
        self._most = most
        self._read = read
        self._one_at_a_time: defaultdict[Key, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._next: dict[Key, tuple[set[str], asyncio.Task[Found]]] = {}
        """What is wanted of a request that has not begun yet: whoever asks before it does adds to it."""
        self._tasks: set[asyncio.Task[Found]] = set()

    async def ask(self, key: Key, wanted: Collection[str]) -> Found:
        """What ``read`` answers or raises, for these and maybe others. One at least, ``most`` at most."""
        there, task = self._next.get(key, (set[str](), None))
        if task is None or len(there.union(wanted)) > self._most:
            there = set()
            task = asyncio.create_task(self._in_turn(key, there), name=self._name)
            self._next[key] = there, task
            self._tasks.add(task)
            task.add_done_callback(self._over)
        there |= set(wanted)
        return await asyncio.shield(task)  # whoever is cancelled takes nothing from the others

    async def _in_turn(self, key: Key, wanted: set[str]) -> Found:
        async with self._one_at_a_time[key]:
            if self._next.get(key, (None,))[0] is wanted:
                del self._next[key]  # who asks from here on waits for the next one
            return await self._read(key, wanted)

    async def close(self) -> None:
        """End the requests that are under way."""
        self._next.clear()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _over(self, task: asyncio.Task[Found]) -> None:
        """Whoever waited was told of an error; nobody may have."""
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()
