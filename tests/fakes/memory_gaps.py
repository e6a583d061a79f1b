"""Stretches of time without a good pass, in memory. ``memory_batches`` extends this."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from tests.fakes.memory_changes import kept

_GAPS_KEPT = timedelta(days=60)


class MemoryGaps:
    """The last good pass of each namespace, and the gaps before it."""

    def __init__(self) -> None:
        """Nobody has seen anything."""
        self._last_pass: dict[str, datetime] = {}
        self._gaps: dict[str, list[tuple[datetime, datetime]]] = {}

    async def note_good_pass(self, at: datetime, longest: timedelta, namespaces: Iterable[str]) -> None:
        """Record a good pass that saw all of these."""
        at = kept(at)
        for name in namespaces:
            last = self._last_pass.get(name, at)
            self._gaps[name] = [gap for gap in self._gaps.get(name, ()) if gap[1] > at - _GAPS_KEPT]
            if last < at - longest:
                self._gaps[name].append((last, at))
            self._last_pass[name] = max(last, at)

    async def blind_gaps(self) -> Mapping[str, Sequence[tuple[datetime, datetime]]]:
        """By namespace: stretches of time without a good pass."""
        return {name: list(gaps) for name, gaps in self._gaps.items()}
