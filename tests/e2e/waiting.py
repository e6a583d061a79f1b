"""Waiting for something that will come to be: polled, bounded, never a fixed sleep."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

PATIENCE = 60.0
"""Seconds after which what did not come to be never will; generous, since the machine may be busy."""
POLL = 0.03


def wait_for(what: str, look: Callable[[], T | None], seconds: float = PATIENCE) -> T:
    """The first truthy answer of ``look``; fails with ``what`` when there was none in time."""
    until = time.monotonic() + seconds
    while True:
        found = look()
        if found:
            return found
        assert time.monotonic() < until, f"never came to be: {what}; last seen: {found!r}"
        time.sleep(POLL)
