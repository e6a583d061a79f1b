"""Python's garbage collector, so that it seldom stops the event loop and never for long.

Used by ``app`` for as long as the daemon runs. A collection holds up everybody, and the full one looks at
every object there is: with a hundred thousand tasks or ten thousand active records it took 100 to 140 ms,
a few times in a minute, and was what stalled the loop longest, in quiet and under load. Nearly all of these
objects never go, and of those that go few need a collector. But each connection that ends leaves a cycle of
asyncio's, each spec that is read one of the parser's: where little else happens the full collection comes
after many hours only, and memory grows till then. So everything is looked at by the clock, too, as often as
that costs next to nothing, and the youngest in between: they are few, and what has gone by then need not wait
until two thousand others have come.
"""

from __future__ import annotations

import contextlib
import gc
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta

from controller import arenas

THRESHOLDS = (2000, 10, 50)
"""The youngest are looked at after so many new objects that stayed, those that are left after ten times as
many (some 5 ms), and all after a million, so that a cycle is still found within the hour of a busy daemon."""
YOUNG_EVERY = timedelta(seconds=30)
"""Between two looks at the youngest."""
SWEEP_EVERY = timedelta(minutes=5)
"""Between two looks at everything, at least."""
SHARE = 6000
"""A look at everything may take one part in so many of the time: after one of 50 ms the next comes in five
minutes, after 140 ms in a quarter of an hour."""


@contextlib.contextmanager
def short_pauses() -> Iterator[None]:
    """For the time of the block: what is there already is left alone, and the rest is looked at seldom.

    To be entered when everything is imported and put together: that is what is left alone.
    """
    before = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


@dataclass(slots=True)
class Sweeper:
    """Looks at the youngest by the clock, and at everything, the seldomer the longer that takes."""

    monotonic: Callable[[], float] = time.monotonic
    _due: float = 0.0
    """The monotonic instant before which only the youngest are looked at."""

    async def sweep(self) -> None:
        """Collect what is in no use, of everything if it is time for that, and give back what is free then.

        Holds up everybody meanwhile.
        """
        begun = self.monotonic()
        if begun < self._due:
            gc.collect(0)
            return
        gc.collect()
        arenas.give_back()
        over = self.monotonic()
        self._due = over + max(SWEEP_EVERY.total_seconds(), SHARE * (over - begun))
