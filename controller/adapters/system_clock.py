"""The machine's clocks as ``ports.Clock``: the one place that reads them for the engine."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime

STEADY = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
"""The clock that goes on while the machine is suspended, where there is one: else what was seen before a
suspension would count as fresh after it, and a lease as held."""


class SystemClock:
    """Wall clock, monotonic clock, and waiting; a wait may be longer by what the machine was suspended."""

    def now(self) -> datetime:
        """Now, timezone-aware UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds that never step and never stop."""
        return time.clock_gettime(STEADY)

    async def sleep(self, seconds: float) -> None:
        """Wait so many seconds; at once for none or fewer."""
        await asyncio.sleep(seconds)
