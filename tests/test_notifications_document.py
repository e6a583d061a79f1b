"""The page about notifications shows what the program tells, with the settings that there are.

``python -m tests.test_notifications_document`` writes the table anew.
"""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

from controller.config import Settings
from controller.core.notices import TELLS, Topic
from controller.teller import EVENT_AGE, LONGEST_ASKED, LONGEST_REST

PAGE = Path(__file__).resolve().parents[1] / "docs" / "notifications.md"
_TABLE = re.compile(r"(<!-- topics -->\n).*?(<!-- /topics -->)", re.DOTALL)


def table() -> str:
    """A line for each topic."""
    head = "| reason | type | webhook | when |\n|---|---|---|---|\n"
    lines = (
        f"| `{topic.value}` | {'Warning' if tell.warning else 'Normal'} | {'yes' if tell.webhook else '–'} "
        f"| {tell.when} |\n"
        for topic, tell in TELLS.items()
    )
    return head + "".join(lines)


def rendered(text: str) -> str:
    """The page with its table as the code is now."""
    return _TABLE.sub(lambda found: found[1] + table() + found[2], text)


def test_the_table_is_what_the_program_tells() -> None:
    """Every reason stands there, and no other."""
    text = PAGE.read_text(encoding="utf-8")
    assert rendered(text) == text, "python -m tests.test_notifications_document writes it anew"
    named = set(re.findall(r"\b(?:Batch|Spec|Job|Cap|Retries|Systemic)[A-Z][a-z]+\b", text))
    assert named == {topic.value for topic in Topic}


def test_the_figures_are_the_programs() -> None:
    """Defaults and bounds that the page quotes."""
    text, told = PAGE.read_text(encoding="utf-8"), Settings().notifications
    assert (told.timeout, told.give_up_after) == (timedelta(seconds=10), timedelta(hours=1))
    assert "`timeout` (10 s)" in text
    assert "`give_up_after` (1 h; Events: 30 min)" in text
    assert timedelta(minutes=30) == EVENT_AGE
    assert (LONGEST_REST, LONGEST_ASKED) == (60.0, 600.0)


def test_it_names_no_setting_that_there_is_not() -> None:
    """The example can be put into a configuration as it is."""
    keys = re.findall(r"^  (\w+): \S", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert keys
    assert set(keys) <= set(type(Settings().notifications).model_fields)


if __name__ == "__main__":
    PAGE.write_text(rendered(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
