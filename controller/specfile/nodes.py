"""A spec as written: scalars as their text, and the line of every key and item.

Made by ``yaml_reading`` and ``json_reading``, turned into plain data for the models, and asked for the
line of whatever turns out to be wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

_NULLS = frozenset({"", "~", "null", "Null", "NULL"})


class Empty(str):
    """The text of a scalar that stands for "no value" where a field is expected: ``null``, ``~``, nothing.

    In ``env`` and parameters it stays the text that was written.
    """

    __slots__ = ()


@dataclass(slots=True)
class Scalar:
    """A value. ``plain``: written without quotes."""

    text: str
    line: int
    plain: bool = False


@dataclass(slots=True)
class Items:
    """A list."""

    line: int
    items: list[Node] = field(default_factory=list)


@dataclass(slots=True)
class Fields:
    """A mapping; ``lines`` has the line of each key."""

    line: int
    values: dict[str, Node] = field(default_factory=dict)
    lines: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class Hole:
    """Where something stood that was refused while reading: nothing more is said about it."""

    line: int


Node = Scalar | Items | Fields | Hole
Path = Sequence[str | int]


def plain_data(node: Node) -> Any:
    """Dicts, lists and texts, as the models take them; a hole is an ``Empty``."""
    if isinstance(node, Fields):
        return {key: plain_data(value) for key, value in node.values.items()}
    if isinstance(node, Items):
        return [plain_data(item) for item in node.items]
    if isinstance(node, Hole):
        return Empty()
    return Empty(node.text) if node.plain and node.text in _NULLS else node.text


def line_of(root: Node, path: Path) -> int:
    """The line (from 1) of the key or item at the path, or of the nearest thing around it."""
    node, line = root, root.line
    for step in path:
        if isinstance(node, Fields) and step in node.values:
            line = node.lines[str(step)]
            node = node.values[str(step)]
        elif isinstance(node, Items) and isinstance(step, int) and step < len(node.items):
            node = node.items[step]
            line = node.line
        else:
            break
    return line


def in_hole(root: Node, path: Path) -> bool:
    """Whether the path leads to or through a hole."""
    node = root
    for step in path:
        if isinstance(node, Hole):
            return True
        if isinstance(node, Fields) and step in node.values:
            node = node.values[str(step)]
        elif isinstance(node, Items) and isinstance(step, int) and step < len(node.items):
            node = node.items[step]
        else:
            return False
    return isinstance(node, Hole)


def dotted(path: Path) -> str:
    """A path as people write it: ``retry[0].backoff.max``."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text
