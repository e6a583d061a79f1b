"""The engine's journal in a simulation: only what must never be said is kept."""

from __future__ import annotations

from typing import Any

from tests.simulation.telling import crashed

MOST = 20
"""Troubles kept; the first ones matter."""


class StrictJournal:
    """An unforeseen error, or an alarm of the engine itself, is trouble; the rest is not kept."""

    def __init__(self, who: str, trouble: list[str], expected: frozenset[str]) -> None:
        self._who = who
        self._trouble = trouble
        self._expected = expected

    def quarantined(self, item: str, error: BaseException, seconds: float, **facts: object) -> None:
        """An error that nobody foresaw."""
        if len(self._trouble) < MOST:
            self._trouble.append(f"{crashed(f'{self._who}, {item}', error)} {facts}")

    def violated(self, invariant: str, **facts: object) -> None:
        """The engine's own alarm."""
        if invariant not in self._expected:
            self._trouble.append(f"{self._who}: alarm {invariant} {facts}")

    def __getattr__(self, name: str) -> Any:
        return _nothing


def _nothing(*_: object, **__: object) -> None:
    pass
