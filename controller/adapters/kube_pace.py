"""How fast requests go out to the API server: a rate with a burst, and the silence that it asked for.

Called by ``kube_client`` before each request. Turns are given in the order in which they were asked for.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from controller.ports import Unavailable

MAX_SILENCE = 60.0
"""Seconds for which one answer may keep the client quiet."""


class Pace:
    """``rate`` requests a second in the long run, ``burst`` at once after a quiet time.

    Nobody waits longer than ``patience`` seconds for a turn: that is ``Unavailable``, and nothing was sent.
    """

    def __init__(
        self,
        rate: float,
        burst: int,
        patience: float,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._interval = 1 / rate
        self._leeway = (burst - 1) / rate
        self._patience = patience
        self._clock = clock
        self._sleep = sleep
        self._line = asyncio.Lock()
        """Held by the first who waits for the rate: a sleep that ends late lets nobody overtake."""
        self._next = clock()
        """When the next turn would be due if all requests came evenly."""
        self._quiet_until = clock()
        self._quiet_for = ""

    @property
    def quiet(self) -> str:
        """Why nothing goes out now; empty: something may."""
        return self._quiet_for if self._quiet_until > self._clock() else ""

    async def turn(self) -> None:
        """Return when the next request may go out. Raises ``Unavailable``."""
        now = self._clock()
        due = max(self._next, now)
        wait = due - self._leeway - now
        if wait > self._patience:
            raise Unavailable(
                f"{wait:.0f} s of requests to the API server stand in line: raise kubernetes.rate"
            )
        self._next = due + self._interval
        if wait > 0 or self._line.locked():
            async with self._line:
                if (left := due - self._leeway - self._clock()) > 0:
                    await self._sleep(left)
        await self.silence()

    async def silence(self) -> None:
        """Return when the API server is not to be left alone any more. Raises ``Unavailable``."""
        while (silence := self._quiet_until - self._clock()) > 0:
            if silence > self._patience:
                raise Unavailable(f"{self._quiet_for} for another {silence:.0f} s")
            await self._sleep(silence)

    def keep_quiet(self, seconds: float, code: int) -> None:
        """Send nothing for so long, because the API server said so in an answer with this code."""
        self._quiet_until = max(self._quiet_until, self._clock() + min(seconds, MAX_SILENCE))
        self._quiet_for = f"the API server answered {code} and asked to be left alone"
