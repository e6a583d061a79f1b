"""Processes that stand still: SIGSTOP, and the wait until every thread has heeded it.

Used where a test needs a process that is there and silent. The signal alone is only asked for: on a busy
machine threads run on for a while, and answer.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

PATIENCE = 60.0
"""Seconds."""


def freeze(pid: int) -> None:
    """Return once no thread of this process runs any more. Raises ``TimeoutError``."""
    os.kill(pid, signal.SIGSTOP)
    give_up = time.monotonic() + PATIENCE
    while not _stands(pid):
        if time.monotonic() > give_up:
            raise TimeoutError(f"process {pid} runs on {PATIENCE:.0f} s after its SIGSTOP")
        time.sleep(0.005)


def _stands(pid: int) -> bool:
    tasks = Path(f"/proc/{pid}/task").glob("*/stat")
    return all(task.read_text(encoding="utf-8").rpartition(")")[2].split()[0] in "Tt" for task in tasks)
