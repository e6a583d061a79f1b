"""The program as it is, which tells on SIGUSR1 what it holds.

``python -m tests.bench.telling FILE [--trace] [--heart] COMMAND…``. FILE is replaced as a whole each time:
asyncio tasks by what they run, objects that the garbage collector knows, what the C library has given out,
with ``--trace`` the lines that hold most of what came since it was first asked, and those that hold more than
when all was warm, with ``--heart`` the event loop's longest stall in seconds. Run by ``memory`` and ``scale``
in place of ``controller``.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import json
import math
import signal
import sys
import time
import tracemalloc
from collections import Counter
from pathlib import Path
from typing import Any, ClassVar

from controller.cli import main

FRAMES, LINES = 8, 40
BEAT = 0.01
EVERY, WARM = 600.0, 2
"""Seconds between two looks at the lines that hold memory, and how many there are before growth is told."""


class Hearing(asyncio.DefaultEventLoopPolicy):
    """Every loop has a heart that beats by callbacks; ``longest`` is how late, in seconds, a beat came."""

    longest = 0.0

    def new_event_loop(self) -> asyncio.AbstractEventLoop:
        """A loop with a heart."""
        loop = super().new_event_loop()
        loop.call_soon(self._beat, loop, loop.time())
        return loop

    def _beat(self, loop: asyncio.AbstractEventLoop, due: float) -> None:
        now = loop.time()
        Hearing.longest = max(Hearing.longest, now - due)
        loop.call_at(now + BEAT, self._beat, loop, now + BEAT)


class _Malloc(ctypes.Structure):
    """``struct mallinfo2`` of the C library: bytes of its one pool, and of what it maps by itself."""

    _fields_ = tuple(
        (name, ctypes.c_size_t)
        for name in (
            *("arena", "ordblks", "smblks", "hblks", "hblkhd"),
            *("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"),
        )
    )


def malloc() -> dict[str, int]:
    """Bytes that the C library has given out, keeps free, and has mapped apart; all 0: it is another one."""
    library = ctypes.CDLL(None)
    if not hasattr(library, "mallinfo2"):
        return {"used": 0, "free": 0, "mapped": 0}
    library.mallinfo2.restype = _Malloc
    found = library.mallinfo2()
    return {"used": found.uordblks, "free": found.fordblks, "mapped": found.hblkhd}


def told() -> dict[str, Any]:
    """What this process holds at this moment; to be called where the event loop runs."""
    tasks = Counter(getattr(task.get_coro(), "__qualname__", "?") for task in asyncio.all_tasks())
    objects = gc.get_objects()
    document: dict[str, Any] = {
        "tasks": dict(tasks),
        "objects": len(objects),
        "stall": Hearing.longest,
        "blocks": sys.getallocatedblocks(),
        "malloc": malloc(),
    }
    if tracemalloc.is_tracing():
        document["kinds"] = dict(Counter(type(one).__qualname__ for one in objects).most_common(LINES))
        document |= Traces.look(time.monotonic())
    return document


class Traces:
    """Which lines hold most memory, and which hold more than at the second look, when all is warm.

    A look takes a process some seconds, in which it does nothing else: there is one every ten minutes.
    """

    _looks: ClassVar[list[tracemalloc.Snapshot]] = []
    """The first two."""
    _at = -math.inf
    _told: ClassVar[dict[str, Any]] = {}

    @classmethod
    def look(cls, now: float) -> dict[str, Any]:
        """What the newest look told. ``now``: seconds of a clock that only goes on."""
        if now - cls._at >= EVERY:
            cls._at, snapshot = now, tracemalloc.take_snapshot()
            cls._told = {"held": [_line(one.traceback, one.size, one.count) for one in _most(snapshot)]}
            if len(cls._looks) == WARM:
                grown = snapshot.compare_to(cls._looks[-1], "traceback")[:LINES]
                cls._told["grown"] = [_line(one.traceback, one.size_diff, one.count_diff) for one in grown]
            else:
                cls._looks.append(snapshot)
        return cls._told


def _most(snapshot: tracemalloc.Snapshot) -> list[tracemalloc.Statistic]:
    return snapshot.statistics("traceback")[:LINES]


def _line(where: tracemalloc.Traceback, size: int, count: int) -> dict[str, Any]:
    return {"bytes": size, "count": count, "where": where.format()}


def tell_on_signal(file: Path, *, trace: bool = False) -> None:
    """From now on SIGUSR1 has it told. ``trace``: from the first one on memory is traced, which is slow."""

    def tell(*_: object) -> None:
        if trace and not tracemalloc.is_tracing():
            tracemalloc.start(FRAMES)
        half = file.with_suffix(".half")
        half.write_text(json.dumps(told()), encoding="utf-8")
        half.replace(file)

    signal.signal(signal.SIGUSR1, tell)


if __name__ == "__main__":
    where, *arguments = sys.argv[1:]
    options = set[str]()
    while arguments[0].startswith("--"):
        options.add(arguments.pop(0))
    if "--heart" in options:
        asyncio.set_event_loop_policy(Hearing())
    tell_on_signal(Path(where), trace="--trace" in options)
    sys.exit(main(arguments))
