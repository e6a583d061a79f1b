"""The chart's README: its table of values is made of the comments in values.yaml.

``python -m tests.chart.readme`` writes it anew.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ruamel.yaml import YAML

from tests.chart.helm import CHART

README = CHART / "README.md"
VALUES = CHART / "values.yaml"
_TABLE = re.compile(r"(<!-- values: [^>]*-->\n).*?(<!-- /values -->)", re.DOTALL)
_KEY = re.compile(r"^( *)([A-Za-z_]+):(.*)$")


@dataclass(frozen=True)
class Value:
    """One value that an operator may set."""

    name: str
    default: Any
    meaning: str


def documented() -> Iterator[Value]:
    """Every commented key of values.yaml, in its order, with all that is below it as its default."""
    values = YAML(typ="safe", pure=True).load(VALUES)
    said: list[str] = []
    path: list[str] = []
    for line in VALUES.read_text(encoding="utf-8").splitlines():
        if line.strip().startswith("#"):
            said.append(line.strip().lstrip("#").strip())
            continue
        if (found := _KEY.match(line)) and said:
            path = [*path[: len(found[1]) // 2], found[2]]
            default = values
            for key in path:
                default = default[key]
            yield Value(".".join(path), default, " ".join(said))
        elif found:
            path = [*path[: len(found[1]) // 2], found[2]]
        said = []


def undocumented() -> list[str]:
    """The values that no comment explains: neither theirs nor one of a group they are in."""
    known = [value.name for value in documented()]

    def look(values: Any, path: str) -> Iterator[str]:
        if path in known:
            return
        if not isinstance(values, dict) or not values:
            yield path
            return
        for key, inner in values.items():
            yield from look(inner, f"{path}.{key}".lstrip("."))

    return list(look(YAML(typ="safe", pure=True).load(VALUES), ""))


def table() -> str:
    """The values as the README shows them."""
    rows = (f"| `{value.name}` | {shown(value.default)} | {value.meaning} |" for value in documented())
    return "\n".join(("| value | default | meaning |", "|---|---|---|", *rows)) + "\n"


def shown(default: Any) -> str:
    """A default, short."""
    if default in ("", [], {}):
        return "–"
    text = default if isinstance(default, str) else json.dumps(default)
    return f"`{text.replace('|', '&#124;')}`"


def rendered(text: str) -> str:
    """The README with its table as values.yaml is now."""
    return _TABLE.sub(lambda found: found[1] + table() + found[2], text)


if __name__ == "__main__":
    README.write_text(rendered(README.read_text(encoding="utf-8")), encoding="utf-8")
