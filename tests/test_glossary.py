"""The glossary has every word that records, logs and commands use, and no other."""

from __future__ import annotations

import re
from enum import Enum
from pathlib import Path

import pytest

from controller.core.machine import Event
from controller.core.model import BatchStatus, ForeignKind, Hold, Origin, Result, Status, Verdict, When

GLOSSARY = (Path(__file__).parents[1] / "docs" / "glossary.md").read_text(encoding="utf-8")


def rows(section: str) -> dict[str, str]:
    """The words of one section's table and their meanings."""
    _, _, rest = GLOSSARY.partition(f"\n## {section}\n")
    text = rest.partition("\n## ")[0]
    return dict(re.findall(r"^\| `([^`]+)` \| (.+?) \|", text, re.MULTILINE))


@pytest.mark.parametrize(
    "words", [Status, BatchStatus, Result, Verdict, Origin, When, Hold, Event, ForeignKind]
)
def test_every_value_is_explained(words: type[Enum]) -> None:
    """Each value of each enum has its line in the enum's section, in the enum's order, and no word is
    there that isn't one."""
    assert list(rows(words.__name__)) == [word.value for word in words]


def test_no_two_words_of_a_section_mean_the_same() -> None:
    """A line that was copied and not finished shows."""
    for words in (Status, BatchStatus, Result, Verdict, Origin, When, Hold, Event, ForeignKind):
        meanings = list(rows(words.__name__).values())
        assert len(set(meanings)) == len(meanings)
