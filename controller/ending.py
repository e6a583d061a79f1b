"""Ending tasks for good. Called by ``daemon``."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

AGAIN_SECONDS = 1.0
"""How long a task gets to tidy up before it is cancelled once more."""


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
