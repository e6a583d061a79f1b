"""Users' patterns over logs: bounded in time, and what is given up for that is said."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
import regex

from controller.core.spec import Match, RetryRule
from controller.patterns import matched_patterns
from controller.ports import Journal


async def test_a_pattern_that_takes_too_long_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """It matches nothing, the others do; its rule never retried anything, and nobody could tell why."""
    real, said = regex.search, list[tuple[str, Any]]()

    def search(pattern: str, text: str, **options: Any) -> Any:
        if pattern == "slow":
            raise TimeoutError
        return real(pattern, text, **options)

    monkeypatch.setattr(regex, "search", search)
    journal = cast(
        Journal, SimpleNamespace(said=lambda event, **facts: said.append((event, facts["pattern"])))
    )
    rules = [RetryRule(f"spec[{n}]", Match(logs=logs)) for n, logs in enumerate(("slow", "lice.se", "no"))]
    assert await matched_patterns(journal, rules, "the license server is gone") == ("lice.se",)
    assert said == [("pattern-too-slow", "slow")]
