"""What a process holds, and whether it grows. Called by the rows that look at another process."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import psutil

KIB = 1024
MIB = 1024 * KIB


def resident(pid: int) -> int:
    """Bytes of its memory that are resident now. ``psutil.NoSuchProcess``: it has ended."""
    return int(psutil.Process(pid).memory_info().rss)


def anonymous(pid: int) -> int:
    """Bytes of it that are resident and no file's, which psutil does not tell. ``OSError``: it has ended."""
    return _status(pid, "RssAnon")


def resident_peak(pid: int) -> int:
    """The most bytes that were ever resident, which psutil does not tell. ``OSError``: it has ended."""
    return _status(pid, "VmHWM")


def _status(pid: int, key: str) -> int:
    text = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    found = re.search(rf"^{key}:\s+(\d+)", text, re.MULTILINE)
    if found is None:
        raise ProcessLookupError(f"process {pid} has ended")  # a zombie has a status without memory
    return int(found[1]) * KIB


def threads(pid: int) -> int:
    """How many threads it has. ``psutil.NoSuchProcess``: it has ended."""
    return psutil.Process(pid).num_threads()


def seconds_of_cpu(pid: int) -> float:
    """CPU seconds it has used, its own and the kernel's for it. ``psutil.NoSuchProcess``: it has ended."""
    spent = psutil.Process(pid).cpu_times()
    return float(spent.user + spent.system)


def open_files(pid: int) -> Counter[str]:
    """Its file descriptors by kind: ``socket``, ``pipe``, ``anon_inode``, ``file``."""
    folder, kinds = f"/proc/{pid}/fd", Counter[str]()
    for number in os.listdir(folder):
        try:
            target = os.readlink(f"{folder}/{number}")
        except FileNotFoundError:
            continue  # closed since the listing
        kinds["file" if target.startswith("/") else target.partition(":")[0]] += 1
    return kinds


def slope(points: Sequence[tuple[float, float]]) -> float:
    """Of the straight line through these (x, y) with the least squares. ``ValueError``: there is none."""
    if len({x for x, _ in points}) < 2:
        raise ValueError("a line needs two points that are not above each other")
    x_mean = sum(x for x, _ in points) / len(points)
    y_mean = sum(y for _, y in points) / len(points)
    spread = sum((x - x_mean) ** 2 for x, _ in points)
    return sum((x - x_mean) * (y - y_mean) for x, y in points) / spread
