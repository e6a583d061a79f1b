"""How much memory a job uses, measured as the sum of its processes' PSS.

Standard library only and few imports: each supervisor loads this.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from controller.adapters.local_proc import Proc, proportional, resident

_REST = 20
"""The kernel walks page tables for a PSS: after one, no other for so many times as long as it took."""
_SHORT_REST = 4
"""The same where RSS is over the limit, as it stays for workers that share their pages."""


class Meter:
    """Samples a job's memory. ``limit`` in bytes, 0: none. ``peak``: the largest sample, in bytes."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.peak = 0
        self._rested = 0.0
        self._hurried = 0.0
        """Until these instants (monotonic) nothing is measured: usually, and where RSS is over the limit."""

    def over(self, procs: Sequence[Proc]) -> int:
        """The bytes in use if they are over the limit, else 0.

        RSS is cheap and never below PSS. So a large job, whose PSS takes long to read, is measured
        less often as long as its RSS is within the limit, and at once when it comes to be over it.
        """
        suspicious = 0 < self.limit < resident(procs)
        before = time.monotonic()
        if before < (self._hurried if suspicious else self._rested):
            return 0
        used = proportional(procs)
        after = time.monotonic()
        self._rested = after + _REST * (after - before)
        self._hurried = after + _SHORT_REST * (after - before) if suspicious else after
        self.peak = max(self.peak, used)
        return used if 0 < self.limit < used else 0
