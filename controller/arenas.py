"""The C library's memory: one pool for all threads, and nothing large in it.

Called by ``app`` and ``ee2_app`` before there are threads, and by ``collector``. glibc gives each thread a
pool ("arena") of its own, up to eight for each core, and what is free in one is of no use to another. Ours
read a file or write one, mostly one at a time and under Python's own lock: with pools of their own they would
gain nothing.

What is large it maps apart and gives back, until the first such piece is freed: from then on pieces of that
size come from the pool. Each connection to an API server has a buffer of 256 KiB, and where one was, small
things that stay are put: the next one finds no room there, and the pool grows. A size that was said stays.
"""

from __future__ import annotations

import contextlib
import ctypes

_ARENA_MAX, _MMAP_THRESHOLD = -8, -3
"""``M_ARENA_MAX`` and ``M_MMAP_THRESHOLD`` of malloc.h."""
LARGE = 2**17
"""Bytes from which on a piece is mapped apart; what glibc begins with."""


def set_up() -> None:
    """New threads share the main pool, and what is large is mapped apart from now on.

    Where there is no glibc there is nothing to do.
    """
    with contextlib.suppress(OSError, AttributeError, TypeError):
        library = ctypes.CDLL(None)
        library.mallopt(_ARENA_MAX, 1)
        library.mallopt(_MMAP_THRESHOLD, LARGE)


def give_back() -> None:
    """What the pool keeps free goes back to the system, page by page; a few milliseconds.

    By itself only what is free at its end does. Where there is no glibc there is nothing to do.
    """
    with contextlib.suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)
