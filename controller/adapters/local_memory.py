"""How much memory a job uses, measured as the sum of its processes' PSS.

Standard library only and few imports: each supervisor loads this.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from controller.adapters.local_proc import Proc, proportional, resident

_SHARE = 20
"""The kernel walks page tables for a PSS: at most one part in so many of a processor goes into it."""


class Meter:
    """Samples a job's memory. ``limit`` in bytes, 0: none. ``peak``: the largest sample, in bytes."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.peak = 0
        self._rested = 0.0

    def over(self, procs: Sequence[Proc]) -> int:
        """The bytes in use if they are over the limit, else 0.

        RSS is cheap and never below PSS. So a large job, whose PSS takes long to read, is measured
        less often as long as its RSS is within the limit, and at once when it is not.
        """
        suspicious = 0 < self.limit < resident(procs)
        before = time.monotonic()
        if before < self._rested and not suspicious:
            return 0
        used = proportional(procs)
        after = time.monotonic()
        self._rested = after + _SHARE * (after - before)
        self.peak = max(self.peak, used)
        return used if 0 < self.limit < used else 0
