"""Whether each process still hears: a stream of hints that is over is asked for again, or the process ends.

Hints make a daemon quick and nothing else, so one that is deaf is right all the same, and an interval late
for ever: no invariant tells. What tells is how long nobody has had a stream open.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.simulation.process import Process

DEAF = "deaf"
SIDES = ("cluster", "store")


class Torn(Exception):
    """A stream broke in a way that nobody foresaw: who hears it must end: it can't know what it misses."""


def is_torn(error: BaseException) -> bool:
    """Whether a process ended of nothing else, as it must."""
    if isinstance(error, BaseExceptionGroup):
        return all(map(is_torn, error.exceptions))
    return isinstance(error, Torn)


@dataclass(slots=True)
class Ears:
    """Whose streams are not open, and since when. ``patience``: for how long that may be, in seconds."""

    patience: float
    trouble: list[str]
    _deaf: dict[tuple[Process, str], float] = field(default_factory=dict)

    def born(self, process: Process) -> None:
        """A process that is to hear both sides has begun."""
        for side in SIDES:
            self.closed(process, side)

    def closed(self, process: Process, side: str) -> None:
        """A stream is over, whatever ended it."""
        self._deaf[process, side] = process.monotonic()

    def opened(self, process: Process, side: str) -> None:
        """It is asked for again."""
        self._judge(process, side, self._deaf.pop((process, side), process.monotonic()))

    def look(self) -> None:
        """Judge those that have not asked again by now."""
        for (process, side), since in list(self._deaf.items()):
            if process.dead:
                del self._deaf[process, side]
            else:
                self._judge(process, side, since)

    def _judge(self, process: Process, side: str, since: float) -> None:
        silence = process.monotonic() - since
        if silence > self.patience:
            self.trouble.append(f"{DEAF}: {process.name} has not heard the {side} for {silence:.0f} s")
