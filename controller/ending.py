"""Being told to end, and ending tasks for good. Called by ``daemon``, both roots and the commands."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

END = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
"""What tells a daemon to end: whoever looks after it, Ctrl-C, a terminal that was closed."""
AGAIN_SECONDS = 1.0
"""How long a task gets to tidy up before it is cancelled once more."""


async def see_through(work: Coroutine[Any, Any, None], seconds: float, name: str) -> None:
    """Let this come to its end for so long, whoever is cancelled meanwhile; then it is ended."""
    task, until = asyncio.create_task(work, name=name), asyncio.get_running_loop().time() + seconds
    while not task.done() and (left := until - asyncio.get_running_loop().time()) > 0:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait({task}, timeout=left)
    await end_all([task])
    if not task.cancelled():
        task.result()


async def end_all(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel these tasks until every one has ended.

    One cancel is not enough: before Python 3.12 ``asyncio.wait_for``, which the database's driver uses
    for each message, returns as if nothing had happened when it is cancelled in the very turn of the loop
    in which what it waits for is done. A task that goes round in a loop then goes on for ever.
    """
    left = set(tasks)
    while left := {task for task in left if not task.done()}:
        for task in left:
            task.cancel()
        await asyncio.wait(left, timeout=AGAIN_SECONDS)


def on_signals(numbers: Iterable[signal.Signals], told: Callable[[signal.Signals], object]) -> None:
    """Call ``told`` in the running loop when one of these comes; one that is ignored, as by nohup, stays so.

    Only a process's main thread hears signals: anywhere else nothing is changed.
    """
    loop = asyncio.get_running_loop()
    for number in numbers:
        if signal.getsignal(number) is not signal.SIG_IGN:
            with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):
                loop.add_signal_handler(number, told, number)
