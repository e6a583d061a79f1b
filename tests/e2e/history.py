"""What the local cluster's own history says, in numbers: the judge of how many ran at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

from controller.adapters.local_history import CREATE, DELETE, END, START, Entry, read_history


def history(state: Path) -> list[Entry]:
    """Every line so far."""
    return list(read_history(str(state / "cluster" / "history.jsonl")))


def most_at_once(entries: Iterable[Entry], counts: Callable[[str], bool]) -> int:
    """The greatest number of objects, of those names, that were there and had not ended, at any instant."""
    alive: set[str] = set()
    most = 0
    for entry in entries:
        if not counts(entry.name):
            continue
        if entry.kind == CREATE:
            alive.add(entry.uid)
        elif entry.kind in (END, DELETE):
            alive.discard(entry.uid)
        most = max(most, len(alive))
    return most


def under(prefix: str) -> Callable[[str], bool]:
    """Names that begin so."""
    return lambda name: name.startswith(prefix)


def starts(entries: Iterable[Entry]) -> Counter[str]:
    """How often each name's program was started."""
    return Counter(entry.name for entry in entries if entry.kind == START)


def revision(entries: Iterable[Entry], kind: str, name: str) -> int:
    """Where in the order of effects this happened first."""
    return next(entry.revision for entry in entries if entry.kind == kind and entry.name == name)
