"""Durations as people write them: ``30s``, ``1h30m``, ``14d``; read by config and specs, shown everywhere."""

from __future__ import annotations

import re
from datetime import timedelta

_UNITS = {
    "w": timedelta(weeks=1),
    "d": timedelta(days=1),
    "h": timedelta(hours=1),
    "m": timedelta(minutes=1),
    "s": timedelta(seconds=1),
    "ms": timedelta(milliseconds=1),
}
_SHOWN = ("d", "h", "m", "s", "ms")
"""Weeks are read but not written: ``14d`` is easier to compare with than ``2w``."""

_DURATION = re.compile("".join(rf"(?:(?P<{unit}>[0-9]{{1,9}}(?:\.[0-9]{{1,3}})?){unit})?" for unit in _UNITS))
LONGEST = timedelta(days=3650)
"""Anything longer is a slip of the keyboard, and would overflow clocks further on."""


def parse_duration(text: str) -> timedelta:
    """Read a duration: numbers with units w, d, h, m, s, ms, each at most once, the longest first.

    Raises ``ValueError`` whose message says what to write instead.
    """
    match = _DURATION.fullmatch(text.strip())
    parts = {unit: float(number) for unit, number in (match.groupdict() if match else {}).items() if number}
    if not parts:
        raise ValueError(
            f"{_shown(text)} is not a duration: write a number and its unit, as 30s, 15m, 1h30m or 14d"
        )
    if sum(_UNITS[unit] / _UNITS["d"] * number for unit, number in parts.items()) > LONGEST.days:
        raise ValueError(f"{_shown(text)} is longer than ten years ({LONGEST.days}d)")
    return sum((_UNITS[unit] * number for unit, number in parts.items()), timedelta())


def format_duration(duration: timedelta) -> str:
    """Write a duration so that ``parse_duration`` reads the same, to the millisecond: ``1h30m``, ``0s``."""
    rest = round(duration / _UNITS["ms"])
    sign, rest = ("-", -rest) if rest < 0 else ("", rest)
    parts = []
    for unit in _SHOWN:
        count, rest = divmod(rest, _UNITS[unit] // _UNITS["ms"])
        if count:
            parts.append(f"{count}{unit}")
    return sign + "".join(parts) if parts else "0s"


def _shown(text: str) -> str:
    """The offending text, short enough for one line."""
    return repr(text if len(text) <= 40 else text[:37] + "...")


def span(length: timedelta) -> str:
    """A duration in its two largest units: ``3m20s``, ``2d4h``."""
    seconds = max(0, round(length.total_seconds()))
    step = 3600 if seconds >= 24 * 3600 else 60 if seconds >= 3600 else 1
    return format_duration(timedelta(seconds=seconds - seconds % step))
