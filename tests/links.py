"""The documents as a reader sees them: pages, headings, and where the links between them lead."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
FOLDERS = ("docs", "examples", "deploy")
_FENCED = re.compile(r"^( *)```.*?^\1```", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"\]\((?!https?:|mailto:)([^)\s#]*)(?:#([^)\s]+))?\)")
_HEADING = re.compile(r"^#{1,6} +(.+?) *$", re.MULTILINE)
_MARKUP = re.compile(r"[^\w\- ]")


def documents() -> list[Path]:
    """Every page of the repository."""
    below = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*.md")]
    return sorted([*ROOT.glob("*.md"), *below])


def prose(page: Path) -> str:
    """What the page says outside of its fenced blocks."""
    return _FENCED.sub("", page.read_text(encoding="utf-8"))


def anchors(page: Path) -> set[str]:
    """The anchors that a forge gives to the page's headings; of two that are equal the second is numbered."""
    found: set[str] = set()
    for heading in _HEADING.findall(prose(page)):
        words = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading)
        slug = _MARKUP.sub("", words.lower()).replace(" ", "-")
        number = 1
        while (name := slug if number == 1 else f"{slug}-{number - 1}") in found:
            number += 1
        found.add(name)
    return found


def links(page: Path, text: str = "") -> Iterator[tuple[Path, str]]:
    """Where the relative links of the page, or of this text in it, lead: a path, and an anchor or nothing."""
    for target, anchor in _LINK.findall(text or prose(page)):
        yield ((page.parent / target).resolve() if target else page), anchor


def dead(page: Path) -> list[str]:
    """Links of the page to what is not there."""
    return [
        f"{target.name}#{anchor}" if anchor else str(target)
        for target, anchor in links(page)
        if not target.exists() or (anchor and (target.suffix != ".md" or anchor not in anchors(target)))
    ]


def reached(start: Path, most: int = 99) -> set[Path]:
    """Pages that a reader gets to from here with at most so many links."""
    known, edge = {start}, {start}
    for _ in range(most):
        edge = {target for page in edge for target, _ in links(page) if target.suffix == ".md"} - known
        known |= edge
    return known
