"""The C library's memory for threads: one pool for all of them, not one for each.

Called by ``app`` and ``ee2_app`` before there are threads. glibc gives each thread a pool ("arena") of its
own, up to eight for each core, and what is free in one is of no use to another. Ours read a file or write
one, mostly one at a time and under Python's own lock: with pools of their own they would gain nothing.
"""

from __future__ import annotations

import contextlib
import ctypes

_ARENA_MAX = -8
"""``M_ARENA_MAX`` of malloc.h."""


def share_one() -> None:
    """From now on new threads share the main pool. Where there is no glibc there is nothing to do."""
    with contextlib.suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).mallopt(_ARENA_MAX, 1)
