"""Time as a port: the engine reads no other clock."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol


class Clock(Protocol):
    """Time as an argument. The engine reads no other clock."""

    def now(self) -> datetime:
        """The wall clock, timezone-aware UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds of a clock that never steps; comparable within one process only."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait, on the monotonic clock."""
        ...
