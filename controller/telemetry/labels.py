"""Which batches have a metric label of their own: the first 40; whoever comes later shares `other`.

A batch keeps its label from first sight until an hour after its end, so that its last values are
scraped and its label never changes hands while somebody looks at it.
"""

from __future__ import annotations

from collections.abc import Collection

OTHER = "other"


class LabelBook:
    """Batch id → label. Time is the caller's monotonic clock, in seconds."""

    def __init__(self, limit: int = 40, linger: float = 3600.0) -> None:
        self._limit = limit
        self._linger = linger
        self._labels: dict[str, str] = {}
        self._ended: dict[str, float] = {}

    def see(self, batch_id: str, namespace: str, name: str) -> str:
        """The label of a batch, given at first sight: its name, or with the namespace where that is taken."""
        if batch_id not in self._labels:
            self._labels[batch_id] = self._new(namespace, name)
        return self._labels[batch_id]

    def of(self, batch_id: str) -> str:
        """The label of a batch; ``other`` when it was never seen."""
        return self._labels.get(batch_id, OTHER)

    def knows(self, batch_id: str) -> bool:
        """Whether the batch was seen, and has not been let go since."""
        return batch_id in self._labels

    def keep(self, unfinished: Collection[str], now: float) -> tuple[frozenset[str], frozenset[str]]:
        """Say which batches are unfinished: returns the ids that ended just now, and the labels let go."""
        for batch_id in unfinished:
            self._ended.pop(batch_id, None)
        ended = frozenset(self._labels) - frozenset(unfinished) - frozenset(self._ended)
        self._ended.update(dict.fromkeys(ended, now))
        gone = [batch_id for batch_id, at in self._ended.items() if now - at >= self._linger]
        labels = frozenset(self._labels.pop(batch_id) for batch_id in gone)
        for batch_id in gone:
            del self._ended[batch_id]
        return ended, labels - {OTHER}

    def _new(self, namespace: str, name: str) -> str:
        taken = set(self._labels.values()) - {OTHER}
        if len(taken) >= self._limit:
            return OTHER
        return name if name not in taken and name != OTHER else f"{namespace}/{name}"
