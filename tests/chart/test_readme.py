"""The chart's README shows the values that there are; every one of them is explained."""

from __future__ import annotations

from tests.chart.readme import README, documented, rendered, undocumented


def test_the_table_is_made_of_the_comments() -> None:
    """What people read is what values.yaml says."""
    text = README.read_text(encoding="utf-8")
    assert rendered(text) == text, "python -m tests.chart.readme writes it anew"
    assert text.count("\n| `") == len(list(documented())) > 50


def test_every_value_is_explained() -> None:
    """No value without a comment."""
    assert undocumented() == []
