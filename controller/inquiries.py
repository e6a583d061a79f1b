"""Whose turn it is to be asked about: an object that gets no pod tells why in its events only, and each look
is several requests.

Used by ``deeds``. A quota, or a queue in which five hundred objects wait for hours, must cost the API server
little: few are asked about at one time, and each ever less often.
"""

from __future__ import annotations

from dataclasses import dataclass, field

RATE, BURST = 2.0, 20.0
"""Objects a second that are asked about, and at most at one time."""
VOLLEY = BURST / 2
"""So many more at a time, not one by one: those who are asked about together share the cluster's lists."""
AGAIN = BURST / 2 + 1
"""What must be left for one that was asked about before: who never was comes first."""
FIRST, LONGEST = 5.0, 600.0
"""Seconds until one is asked about again: at first, doubled each time, and at most."""
REMEMBERED = 10_000


@dataclass(slots=True)
class Inquiries:
    """What was asked about, by job id: until when it is left alone, and for how long after the next time."""

    _asked: dict[str, tuple[float, float]] = field(default_factory=dict)
    _tokens: float = BURST
    _at: float = 0.0

    def turn(self, job_id: str, now: float) -> bool:
        """Whether this one may be asked about at this monotonic instant; if so, it counts as asked about."""
        due, wait = self._asked.get(job_id, (now, FIRST))
        if now < due:
            return False
        if (more := max(0.0, now - self._at) * RATE) >= VOLLEY:
            self._tokens, self._at = min(BURST, self._tokens + more), now
        if self._tokens < (AGAIN if job_id in self._asked else 1):
            return False
        self._tokens -= 1
        self._asked.pop(job_id, None)
        self._asked[job_id] = now + wait, min(2 * wait, LONGEST)
        while len(self._asked) > REMEMBERED:
            del self._asked[next(iter(self._asked))]
        return True
