"""What a process holds, from /proc, and whether it grows. Called by the rows that look at another process."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

KIB = 1024
MIB = 1024 * KIB


def resident(pid: int) -> int:
    """Bytes of its memory that are resident now. ``OSError``: it has ended."""
    return _status(pid, "VmRSS") * KIB


def resident_peak(pid: int) -> int:
    """The most bytes that were ever resident. ``OSError``: it has ended."""
    return _status(pid, "VmHWM") * KIB


def threads(pid: int) -> int:
    """How many threads it has. ``OSError``: it has ended."""
    return _status(pid, "Threads")


def seconds_of_cpu(pid: int) -> float:
    """CPU seconds it has used so far, its own and the kernel's for it. ``OSError``: it has ended."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


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


def _status(pid: int, key: str) -> int:
    text = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    found = re.search(rf"^{key}:\s+(\d+)", text, re.MULTILINE)
    if found is None:
        raise ProcessLookupError(f"process {pid} has ended")  # a zombie has a status without memory
    return int(found[1])
