"""No link leads nowhere, no page is on its own, and a newcomer's questions are two links from the README."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.links import README, ROOT, anchors, dead, documents, links, reached

QUESTIONS = ROOT / "docs" / "questions.md"
_QUESTION = re.compile(r"^\*\*(.+?\?)\*\* (.+?)(?=\n\n|\Z)", re.DOTALL | re.MULTILINE)
ASKED = _QUESTION.findall(QUESTIONS.read_text(encoding="utf-8"))
MUST_BE_ASKED = (
    "why trait 37 failed",
    "retry-failed-traits.sh",
    "raise the cap",
    "daemon dies",
    "Who may retry",
    "start nothing",
    "old scripts",
    "not retried",
    "EE2 clients",
    "MongoDB or the cluster is lost",
)


@pytest.mark.parametrize("page", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_no_link_is_dead(page: Path) -> None:
    """Neither its file nor its heading is missing."""
    assert not dead(page)


def test_every_page_is_linked_to() -> None:
    """Whoever starts at the README gets to each."""
    assert set(documents()) - reached(README) == set()


def test_the_ten_questions_are_asked() -> None:
    """Each once, and no more than ten: what is asked most is found."""
    assert len(ASKED) == len(MUST_BE_ASKED)
    for words, (question, _) in zip(MUST_BE_ASKED, ASKED, strict=True):
        assert words in question


@pytest.mark.parametrize(("question", "answer"), ASKED, ids=range(len(ASKED)))
def test_a_question_is_answered_within_two_links(question: str, answer: str) -> None:
    """In two lines and a link, whose heading is there; from the README that is the second link."""
    assert QUESTIONS in reached(README, 1)
    assert answer.count("\n") <= 2
    ((page, anchor),) = links(QUESTIONS, answer)
    assert page in reached(README, 2)
    assert anchor in anchors(page), question


def test_a_dead_link_is_seen(tmp_path: Path) -> None:
    """The look itself: a missing file, a missing heading; what is in a fenced block is no link."""
    page, other = tmp_path / "page.md", tmp_path / "other.md"
    other.write_text("# One `two`, three\n\n# One two three\n", encoding="utf-8")
    good = "[a](other.md#one-two-three) [b](other.md#one-two-three-1) [c](other.md) [d](#here)\n\n## Here\n"
    page.write_text(good + "```\n[x](missing.md)\n```\n", encoding="utf-8")
    assert dead(page) == []
    page.write_text(good + "[x](missing.md) [y](other.md#four)", encoding="utf-8")
    assert dead(page) == [str(tmp_path / "missing.md"), "other.md#four"]
