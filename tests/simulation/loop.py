"""An event loop whose clock jumps: no real waiting, no threads, no sockets, one order of events per seed.

Nothing here knows what is simulated. Timers that are due at one instant run in an order drawn from the
seed; everything else keeps asyncio's own order, so a run is a function of its seed alone. A schedule is
mostly waiting, so the loop is its own: what is ready runs until nothing is, then the clock jumps.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import gc
import heapq
import itertools
import random
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Executor
from typing import Any, TypeVar

_T = TypeVar("_T")

GRAIN = 1e-6
"""Seconds: how far apart timers of one instant are put to draw their order."""


class Stuck(AssertionError):
    """Nothing is ready and no timer is set, but the main coroutine has not ended: a deadlock."""


class _Handle(list[Any]):
    """Context, callback and arguments that wait for their turn or instant: a list, which is made fastest."""

    __slots__ = ()

    def cancel(self) -> None:
        self.clear()

    def cancelled(self) -> bool:
        return not self

    done = cancelled


class VirtualLoop(asyncio.BaseEventLoop):
    """Virtual time in seconds since the start. ``rng`` decides among timers of one instant."""

    _stopping: bool
    """asyncio's own; its types leave it out."""

    def __init__(self, rng: random.Random) -> None:
        super().__init__()
        self.elapsed = 0.0
        self._draw = rng.random
        self._waiting: deque[_Handle] = deque()
        self._timers: list[tuple[float, int, _Handle | asyncio.Future[None]]] = []
        self._numbers = itertools.count()

    def time(self) -> float:
        """The virtual instant."""
        return self.elapsed

    def nap(self, seconds: float) -> asyncio.Future[None]:
        """As ``asyncio.sleep``, to be awaited at once: half of all that a schedule does is this."""
        future: asyncio.Future[None] = asyncio.Future(loop=self)
        when = self.elapsed + seconds + self._draw() * GRAIN
        heapq.heappush(self._timers, (when, next(self._numbers), future))
        return future

    def wake(self, future: asyncio.Future[None], when: float) -> None:
        """Let the future have its result at that instant, unless it is done by then."""
        heapq.heappush(self._timers, (when + self._draw() * GRAIN, next(self._numbers), future))

    def call_at(  # type: ignore[override]  # a handle of our own, with what is asked of asyncio's
        self,
        when: float,
        callback: Callable[..., object],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> _Handle:
        """As asyncio's, but what is due at one instant runs in a drawn order."""
        handle = _Handle((context or contextvars.copy_context(), callback, args))
        heapq.heappush(self._timers, (when + self._draw() * GRAIN, next(self._numbers), handle))
        return handle

    def call_later(  # type: ignore[override]
        self,
        delay: float,
        callback: Callable[..., object],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> _Handle:
        """As asyncio's, in virtual seconds."""
        return self.call_at(self.elapsed + delay, callback, *args, context=context)

    def call_soon(  # type: ignore[override]
        self, callback: Callable[..., object], *args: Any, context: contextvars.Context | None = None
    ) -> _Handle:
        """As asyncio's."""
        handle = _Handle((context or contextvars.copy_context(), callback, args))
        self._waiting.append(handle)
        return handle

    def run_in_executor(  # type: ignore[override]
        self, executor: Executor | None, func: Callable[..., _T], *args: Any
    ) -> asyncio.Future[_T]:
        """There are no threads: the function runs here and now."""
        future: asyncio.Future[_T] = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:  # noqa: BLE001 -- handed to whoever awaits it
            future.set_exception(error)
        return future

    def _run_once(self) -> None:
        """Until the loop is stopped: everything that is ready, then what is due next."""
        waiting = self._waiting
        while True:
            while waiting:
                handle = waiting.popleft()
                if not handle:
                    continue
                context, callback, args = handle
                try:
                    context.run(callback, *args)
                except (SystemExit, KeyboardInterrupt):
                    raise
                except BaseException as error:  # noqa: BLE001 -- as asyncio does it
                    self.call_exception_handler({"message": "a callback failed", "exception": error})
                if self._stopping:
                    return
            self._jump()

    def _jump(self) -> None:
        """On to the next instant at which something is due."""
        timers = self._timers
        while timers:
            when, _, due = heapq.heappop(timers)
            if due.done():
                continue
            if when > self.elapsed:
                self.elapsed = when
            if isinstance(due, _Handle):
                self._waiting.append(due)
            else:
                due.set_result(None)
            return
        raise Stuck("nothing is ready and no timer is set")

    def _write_to_self(self) -> None:
        pass


def run(main: Callable[[VirtualLoop], Coroutine[Any, Any, _T]], rng: random.Random) -> _T:
    """Run the coroutine to its end on a fresh loop; every other task is cancelled and awaited then."""
    loop = VirtualLoop(rng)
    loop.set_exception_handler(lambda _loop, _context: None)  # tasks of crashed replicas: nobody awaits them
    with _uncollected():
        try:
            return loop.run_until_complete(main(loop))
        finally:
            _cancel_all(loop)
            loop.close()


@contextlib.contextmanager
def _uncollected() -> Iterator[None]:
    """A simulated world is small, and goes as one when it is over: what is gone of it before may wait."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


def _cancel_all(loop: VirtualLoop) -> None:
    tasks = asyncio.all_tasks(loop)
    for task in tasks:
        task.cancel()
    if tasks:
        loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
    loop.run_until_complete(loop.shutdown_asyncgens())
