"""A simulated process: it can be delayed, paused, and killed between any two of its side effects.

Whatever a replica does to the world goes through ``call``. A dead process does nothing more: its tasks
are cancelled, and a call that one of its ``finally`` blocks still makes raises ``Dead``.
"""

from __future__ import annotations

import asyncio
import contextvars
import random
from collections.abc import AsyncIterator, Callable, Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from tests.simulation.loop import VirtualLoop

_T = TypeVar("_T")

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
"""The true time at virtual second 0."""

_OWNER: contextvars.ContextVar[Process | None] = contextvars.ContextVar("owner", default=None)


MANY = 100
"""Tasks after which a process forgets those that are done."""


class Dead(BaseException):
    """The process was killed: not an error that a program could handle."""


class TrueClock:
    """The world's own time: the store's and the cluster's clock."""

    def __init__(self, loop: VirtualLoop) -> None:
        self.loop = loop

    def now(self) -> datetime:
        """True time, UTC."""
        return START + timedelta(seconds=self.loop.elapsed)

    def monotonic(self) -> float:
        """Virtual seconds."""
        return self.loop.elapsed

    async def sleep(self, seconds: float) -> None:
        """Virtual sleep."""
        await self.loop.nap(seconds)


class Process:
    """One life of one replica, or of whoever else calls the ports. ``skew``: its wall clock's error."""

    def __init__(self, name: str, loop: VirtualLoop, rng: random.Random) -> None:
        self.name = name
        self.loop = loop
        self.rng = rng
        self.skew = 0.0
        self.dead = False
        self.minted: int | None = None
        """The last epoch that was minted for this process."""
        self.died_at = 0.0
        self.paused_until = 0.0
        self.failure: BaseException | None = None
        self.over = asyncio.Event()
        """Set once it was killed, or its main part ended with an error."""
        self._tasks: dict[asyncio.Task[Any], None] = {}
        self._many = MANY

    # -- the ports' Clock

    def now(self) -> datetime:
        """This machine's wall clock, right or wrong."""
        return START + timedelta(seconds=self.loop.elapsed + self.skew)

    def monotonic(self) -> float:
        """Virtual seconds: never wrong."""
        return self.loop.elapsed

    async def sleep(self, seconds: float) -> None:
        """Sleep, and longer while paused."""
        await self.loop.nap(seconds)
        if self.dead or self.paused_until:
            await self.breathe()

    # -- life and death

    def spawn(self, main: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run a coroutine as a part of this process; what it starts belongs to it too."""
        context = contextvars.copy_context()
        context.run(_OWNER.set, self)
        task = self.loop.create_task(main, context=context)
        task.add_done_callback(self._main_ended)
        return task

    def adopt(self, task: asyncio.Task[Any]) -> None:
        """Remember a task of this process."""
        self._tasks[task] = None
        if len(self._tasks) >= self._many:
            self._tasks = {task: None for task in self._tasks if not task.done()}
            self._many = 2 * len(self._tasks) + MANY

    def _main_ended(self, task: asyncio.Task[Any]) -> None:
        if not self.dead and not task.cancelled() and task.exception() is not None:
            self.failure = task.exception()
            self.over.set()

    def kill(self) -> None:
        """The process ends here and now."""
        if self.dead:
            return
        self.dead, self.died_at = True, self.loop.elapsed
        self.over.set()
        for task in list(self._tasks):
            task.cancel()

    async def breathe(self) -> None:
        """Wait while the process is paused; raise ``Dead`` once it was killed."""
        self.check()
        while (wait := self.paused_until - self.loop.elapsed) > 0:
            await self.loop.nap(wait)
            self.check()

    def check(self) -> None:
        """Raise ``Dead`` once the process was killed."""
        if self.dead:
            raise Dead(self.name)

    async def die_here(self) -> None:
        """Kill the process at this very point; never returns."""
        self.kill()
        await self.loop.create_future()


def owned_tasks(
    loop: asyncio.AbstractEventLoop, coro: Any, *, context: contextvars.Context | None = None
) -> asyncio.Task[Any]:
    """A task factory that tells each process which tasks are its own."""
    task: asyncio.Task[Any] = asyncio.Task(coro, loop=loop, context=context)
    owner = context.get(_OWNER) if context else _OWNER.get()
    if owner:
        owner.adopt(task)
    return task


async def hearing(
    process: Process,
    stream: AsyncIterator[_T],
    spoil: Callable[[], int],
) -> AsyncIterator[_T]:
    """A stream of hints as this process hears it: ``spoil`` says how often each one is heard.

    One that is to be heard less than not at all is held back, and comes after the next one.
    """
    late: list[_T] = []
    async for hint in stream:
        await process.breathe()
        times = spoil()
        if times < 0:
            late.append(hint)
            continue
        for _ in range(times):
            yield hint
        while late and times:
            yield late.pop()
