"""Python's garbage collector, so that it seldom stops the event loop and never for long.

Used by ``app`` for as long as the daemon runs. A collection holds up everybody, and the full one looks at
every object there is: with a hundred thousand tasks or ten thousand active records it took 100 to 140 ms,
a few times in a minute, and was what stalled the loop longest, in quiet and under load. Nearly all of these
objects never go, and those that go need no collector, for there are hardly any cycles.
"""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator

THRESHOLDS = (2000, 10, 50)
"""The youngest are looked at after so many new objects that stayed, those that are left after ten times as
many (some 5 ms), and all after a million, so that a cycle is still found within the hour of a busy daemon."""


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
