"""Memory and CPU as Kubernetes writes them: ``32Gi``, ``500m``; kept as bytes and millicores inside."""

from __future__ import annotations

import math
import re
from decimal import Decimal

_MEMORY = {
    "": 1,
    "k": 10**3,
    "M": 10**6,
    "G": 10**9,
    "T": 10**12,
    "P": 10**15,
    "Ki": 2**10,
    "Mi": 2**20,
    "Gi": 2**30,
    "Ti": 2**40,
    "Pi": 2**50,
}
_NUMBER = r"[0-9]{1,20}(?:\.[0-9]{1,9})?"
_MEMORY_TEXT = re.compile(rf"({_NUMBER})\s?([A-Za-z]*)")
_CPU_TEXT = re.compile(rf"({_NUMBER})(m?)")
MOST_MEMORY = 2**60
MOST_CPU = 10**9
"""In millicores: a million cores."""


def parse_memory(text: str) -> int:
    """Read an amount of memory and return bytes; a part of a byte is rounded up.

    Raises ``ValueError`` whose message says what to write instead.
    """
    match = _MEMORY_TEXT.fullmatch(text.strip())
    if match is None or match[2] not in _MEMORY:
        raise ValueError(
            f"{_shown(text)} is not an amount of memory: {_memory_advice(match[2] if match else '')}"
        )
    size = Decimal(match[1]) * _MEMORY[match[2]]
    if size > MOST_MEMORY:
        raise ValueError(
            f"{_shown(text)} is more memory than there is ({format_memory(MOST_MEMORY)} at most)"
        )
    return math.ceil(size)


def format_memory(size: int) -> str:
    """Write bytes exactly, in the unit that makes the shortest text: ``32Gi``, ``32G``, ``1536Mi``."""
    exact = [f"{size // unit}{name}" for name, unit in _MEMORY.items() if size % unit == 0]
    return min(exact, key=len) if size else "0"


def parse_cpu(text: str) -> int:
    """Read an amount of CPU (``12``, ``0.5``, ``500m``) and return millicores.

    Raises ``ValueError`` whose message says what to write instead.
    """
    match = _CPU_TEXT.fullmatch(text.strip())
    if match is None:
        raise ValueError(
            f"{_shown(text)} is not an amount of CPU: write cores or millicores, as 12, 0.5 or 500m"
        )
    millicores = Decimal(match[1]) * (1 if match[2] else 1000)
    if millicores != int(millicores):
        raise ValueError(f"{_shown(text)} is finer than one millicore (1m)")
    if millicores > MOST_CPU:
        raise ValueError(f"{_shown(text)} is more CPU than there is ({format_cpu(MOST_CPU)} at most)")
    return int(millicores)


def parse_some_cpu(text: str) -> int:
    """``parse_cpu`` of what jobs request, which is some CPU at least. Raises ``ValueError`` as it does."""
    if millicores := parse_cpu(text):
        return millicores
    raise ValueError(f"{_shown(text)} is no CPU at all: write cores or millicores, as 12, 0.5 or 500m")


def format_cpu(millicores: int) -> str:
    """Write millicores as Kubernetes does: whole cores plainly, ``12``, all else as ``1500m``."""
    return f"{millicores}m" if millicores % 1000 else str(millicores // 1000)


def _memory_advice(unit: str) -> str:
    """What to write instead; people's most common slips (``GB``, ``gi``, ``m``) get their own answer."""
    near = next((known for known in _MEMORY if known and unit.lower() in _slips(known)), None)
    if near is not None:
        return f"write {near!r} instead of {unit!r}"
    return "write bytes or a number and its unit, as 512Mi or 32Gi"


def _slips(unit: str) -> tuple[str, ...]:
    """How people write a unit that we know, in lower case."""
    return (unit.lower(), unit.lower() + "b")


def _shown(text: str) -> str:
    """The offending text, short enough for one line."""
    return repr(text if len(text) <= 40 else text[:37] + "...")
