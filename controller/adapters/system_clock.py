"""The machine's clocks as ``ports.Clock``: the one place that reads them for the engine."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime


class SystemClock:
    """Wall clock, monotonic clock, and waiting on the latter (asyncio's loop runs on it)."""

    def now(self) -> datetime:
        """Now, timezone-aware UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds that never step."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait so many seconds; at once for none or fewer."""
        await asyncio.sleep(seconds)
