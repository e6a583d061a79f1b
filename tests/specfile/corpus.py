"""The hand-made bad specs under ``bad/``: one file per class, each case with every line it must be told.

A case is ``### title``, a spec, and its problems after ``>>> ``, without the file's name. What a spec
needs and the case doesn't write is added (a title that begins with ``=`` keeps it as it stands), so a
case's own text begins on line 4.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

BAD = Path(__file__).parent / "bad"
FILE = "bad.yaml"

_BEFORE = {"apiVersion": "batchkeeper/v1", "kind": "Batch", "name": "bad"}
_AFTER = {"tasks": "{range: {name: I, from: 1, to: 2}}", "job": "{image: a}"}


@dataclass(frozen=True)
class Case:
    """One bad spec and the problems that its author must be told."""

    kind: str
    title: str
    content: bytes
    problems: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.kind}: {self.title}"


def cases() -> Iterator[Case]:
    """All of them."""
    for path in sorted(BAD.glob("*.txt")):
        for block in path.read_text(encoding="utf-8").split("### ")[1:]:
            title, *lines = block.splitlines()
            body = [line for line in lines if not line.startswith(">>> ")]
            told = tuple(line.removeprefix(">>> ") for line in lines if line.startswith(">>> "))
            if not title.startswith("= "):
                body = completed(body)
            yield Case(path.stem, title.removeprefix("= "), "\n".join([*body, ""]).encode(), told)


def completed(body: list[str]) -> list[str]:
    """The lines with the required fields that they don't have."""
    written = {line.partition(":")[0] for line in body}
    before = [f"{key}: {value}" for key, value in _BEFORE.items() if key not in written]
    after = [f"{key}: {value}" for key, value in _AFTER.items() if key not in written]
    return [*before, *body, *after]
