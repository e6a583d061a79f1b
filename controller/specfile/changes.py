"""What differs between two specs of one batch: what may change, and what is refused, each in one line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from controller.core.settings import CHANGEABLE, ORDERS
from controller.specfile.problems import shown

MOST = 20
"""Differences told; what lies beyond is counted."""
_ABSENT = object()


def changed_fields(old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Compare two canonical documents of one batch.

    Returns the changeable fields that differ with their new values (JSON data, as ``settings_of`` has
    them), and one sentence for each other difference: field, old and new value, what to do.
    """
    changes = {name: new[name] for name in CHANGEABLE if name in new and new[name] != old.get(name)}
    fixed = [name for name in dict.fromkeys((*old, *new)) if name not in (*CHANGEABLE, *ORDERS)]
    lines = [
        line for name in fixed for line in _differences(name, old.get(name, _ABSENT), new.get(name, _ABSENT))
    ]
    if len(lines) > MOST:
        lines[MOST:] = [f"and {len(lines) - MOST} more differences"]
    return changes, lines


def _differences(path: str, old: Any, new: Any) -> Iterator[str]:
    if old == new:
        return
    if isinstance(old, dict) and isinstance(new, dict):
        for key in dict.fromkeys((*old, *new)):
            yield from _differences(f"{path}.{key}", old.get(key, _ABSENT), new.get(key, _ABSENT))
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for number, (before, after) in enumerate(zip(old, new, strict=True)):
            yield from _differences(f"{path}[{number}]", before, after)
    else:
        yield _line(path, old, new)


def _line(path: str, old: Any, new: Any) -> str:
    advice = "it can't change while the batch exists: put it back, or give the spec another name"
    if ".env." in path or path.endswith(".env"):
        return f"{path} changed: {advice}"  # values of a job's env are shown nowhere
    return f"{path} was {_shown(old)} and is now {_shown(new)}: {advice}"


def _shown(value: Any) -> str:
    if value is _ABSENT:
        return "absent"
    if isinstance(value, (dict, list)):
        return f"{'a list' if isinstance(value, list) else 'a mapping'} of {len(value)}"
    return shown(value) if isinstance(value, str) else str(value)
