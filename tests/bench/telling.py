"""The program as it is, which tells on SIGUSR1 what it holds.

``python -m tests.bench.telling FILE [--trace] [--heart] COMMAND…``. FILE is replaced as a whole each time:
asyncio tasks by what they run, objects that the garbage collector knows, with ``--trace`` the lines that hold
most memory, with ``--heart`` the event loop's longest stall in seconds. Run by ``memory`` and ``scale`` in
place of ``controller``.
"""

from __future__ import annotations

import asyncio
import gc
import json
import signal
import sys
import tracemalloc
from collections import Counter
from pathlib import Path
from typing import Any

from controller.cli import main

FRAMES, LINES = 8, 40
BEAT = 0.01


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


def told() -> dict[str, Any]:
    """What this process holds at this moment; to be called where the event loop runs."""
    tasks = Counter(getattr(task.get_coro(), "__qualname__", "?") for task in asyncio.all_tasks())
    objects = gc.get_objects()
    document: dict[str, Any] = {"tasks": dict(tasks), "objects": len(objects), "stall": Hearing.longest}
    if tracemalloc.is_tracing():
        document["kinds"] = dict(Counter(type(one).__qualname__ for one in objects).most_common(LINES))
        held = tracemalloc.take_snapshot().statistics("traceback")[:LINES]
        document["held"] = [
            {"bytes": one.size, "count": one.count, "where": one.traceback.format()} for one in held
        ]
    return document


def tell_on_signal(file: Path) -> None:
    """From now on SIGUSR1 has it told."""

    def tell(*_: object) -> None:
        half = file.with_suffix(".half")
        half.write_text(json.dumps(told()), encoding="utf-8")
        half.replace(file)

    signal.signal(signal.SIGUSR1, tell)


if __name__ == "__main__":
    where, *arguments = sys.argv[1:]
    while arguments[0].startswith("--"):
        option, *arguments = arguments
        if option == "--trace":
            tracemalloc.start(FRAMES)
        if option == "--heart":
            asyncio.set_event_loop_policy(Hearing())
    tell_on_signal(Path(where))
    sys.exit(main(arguments))
