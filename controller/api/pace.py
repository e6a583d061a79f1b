"""How fast one caller may ask: a token bucket each, the least used forgotten first."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

MOST_CALLERS = 10_000


class Pace:
    """So many requests a second in the long run, so many at once, for each caller on its own."""

    def __init__(self, rate: float, burst: int, monotonic: Callable[[], float]) -> None:
        self._rate = rate
        self._burst = burst
        self._monotonic = monotonic
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, caller: str) -> float:
        """Take one; 0: it may be done now, else the seconds until it may."""
        now = self._monotonic()
        left, since = self._buckets.pop(caller, (float(self._burst), now))
        left = min(float(self._burst), left + max(0.0, now - since) * self._rate)
        wait = 0.0 if left >= 1 else (1 - left) / self._rate
        self._buckets[caller] = (left if wait else left - 1, now)
        if len(self._buckets) > MOST_CALLERS:
            self._buckets.popitem(last=False)
        return wait
