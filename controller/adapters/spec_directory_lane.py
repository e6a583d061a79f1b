"""File work off the event loop: one piece at a time, and nobody waits for it without a bound.

A thread that hangs on a dead NFS server can't be ended. So it is left alone: no second one is started
beside it, callers are told at once that it is late, and what it brings when it does come back is not
lost. It is a daemon thread, because a hanging share must not keep the program from ending.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Generic, TypeVar

T = TypeVar("T")


class Lane(Generic[T]):
    """Runs one kind of work in a thread. ``bound`` in seconds."""

    def __init__(self, name: str, bound: float) -> None:
        self._name = name
        self._bound = bound
        self._under_way: asyncio.Future[T] | None = None

    async def run(self, work: Callable[[], T]) -> T:
        """The result of ``work``, or that of earlier work that was late and has come back since.

        Raises ``TimeoutError`` when it isn't there in time, and what the work raised. A caller that
        is cancelled leaves the work, and its result, to the next one. One caller at a time.
        """
        bound = 0.0
        if self._under_way is None:
            self._under_way, bound = self._start(work), self._bound
        done, _ = await asyncio.wait({self._under_way}, timeout=bound)
        if not done:
            raise TimeoutError
        finished, self._under_way = self._under_way, None
        return finished.result()

    def _start(self, work: Callable[[], T]) -> asyncio.Future[T]:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()

        def run() -> None:
            try:
                settle = _with_result(future, work())
            except BaseException as error:  # noqa: BLE001 - not handled here: it is raised where it is awaited
                settle = _with_error(future, error)
            with suppress(RuntimeError):  # the loop has ended meanwhile: nobody waits any more
                loop.call_soon_threadsafe(settle)

        threading.Thread(target=run, name=self._name, daemon=True).start()
        return future


def _with_result(future: asyncio.Future[T], result: T) -> Callable[[], None]:
    return lambda: None if future.done() else future.set_result(result)


def _with_error(future: asyncio.Future[T], error: BaseException) -> Callable[[], None]:
    return lambda: None if future.done() else future.set_exception(error)
