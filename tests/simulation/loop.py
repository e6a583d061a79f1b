"""An event loop whose clock jumps: no real waiting, no threads, no sockets, one order of events per seed.

Nothing here knows what is simulated. Timers that are due at one instant run in an order drawn from the
seed; everything else keeps asyncio's own order, so a run is a function of its seed alone.
"""

from __future__ import annotations

import asyncio
import contextvars
import random
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from typing import Any, TypeVar

_T = TypeVar("_T")

GRAIN = 1e-6
"""Seconds: how far apart timers of one instant are put to draw their order."""


class Stuck(AssertionError):
    """Nothing is ready and no timer is set, but the main coroutine has not ended: a deadlock."""


class _Jump:
    """In the place of a selector: nothing to select from, so waiting is moving the clock."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop

    def select(self, timeout: float | None) -> list[Any]:
        if timeout is None:
            raise Stuck("nothing is ready and no timer is set")
        if timeout > 0:
            self._loop.elapsed += timeout
        return []

    def close(self) -> None:
        pass


class VirtualLoop(asyncio.BaseEventLoop):
    """Virtual time in seconds since the start. ``rng`` decides among timers of one instant."""

    def __init__(self, rng: random.Random) -> None:
        super().__init__()
        self.elapsed = 0.0
        self._rng = rng
        self._selector = _Jump(self)
        self._clock_resolution = 1e-9

    def time(self) -> float:
        """The virtual instant."""
        return self.elapsed

    def call_at(  # type: ignore[override]  # asyncio's own types are stricter than any override can be
        self,
        when: float,
        callback: Callable[..., object],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        """As asyncio's, but what is due at one instant runs in a drawn order."""
        return super().call_at(when + self._rng.random() * GRAIN, callback, *args, context=context)

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

    def _process_events(self, event_list: list[Any]) -> None:
        pass

    def _write_to_self(self) -> None:
        pass


def run(main: Callable[[VirtualLoop], Coroutine[Any, Any, _T]], rng: random.Random) -> _T:
    """Run the coroutine to its end on a fresh loop; every other task is cancelled and awaited then."""
    loop = VirtualLoop(rng)
    loop.set_exception_handler(lambda _loop, _context: None)  # tasks of crashed replicas: nobody awaits them
    try:
        return loop.run_until_complete(main(loop))
    finally:
        _cancel_all(loop)
        loop.close()


def _cancel_all(loop: VirtualLoop) -> None:
    tasks = asyncio.all_tasks(loop)
    for task in tasks:
        task.cancel()
    if tasks:
        loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
    loop.run_until_complete(loop.shutdown_asyncgens())
