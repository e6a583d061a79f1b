"""How old what a leader knows of the cluster is: since when the namespace it misses most was not seen.

``app`` tells the gauge ``cache_age_seconds`` with it. A namespace counts from the moment when a batch of it
is open: one without batches is not looked at, and an idle controller is not blind. Times are monotonic.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field


@dataclass(slots=True)
class Seeing:
    """The namespaces that must be seen, and since when."""

    _wanted: dict[str, float] = field(default_factory=dict)

    def want(self, namespaces: Collection[str], now: float) -> None:
        """From now on these namespaces are to be seen, and no others."""
        self._wanted = {name: self._wanted.get(name, now) for name in namespaces}

    def age(self, seen_at: Mapping[str, float], now: float) -> float:
        """Seconds for which the namespace that is missed most was not seen. ``seen_at``: good looks."""
        looks = (max(since, seen_at.get(name, since)) for name, since in self._wanted.items())
        return max((now - look for look in looks), default=0.0)
