"""What bounds the number of series: who has a metric label of its own; whoever comes later shares `other`.

Of batches the first 40 have one. A batch keeps its label from first sight until an hour after its end, so
that its last values are scraped and its label never changes hands while somebody looks at it.
"""

from __future__ import annotations

from collections.abc import Collection

OTHER = "other"
REFUSED = ("401", "403", "429")
"""Answers that are trouble, as others of their class are not: an alert looks for these codes."""


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


class RequestBook:
    """Labels of requests to the cluster: the first kinds as they are, later ones by class of code or refusal.

    Which kinds there are is the cluster's doing: what is counted beside our own jobs, and what it answers.
    """

    def __init__(self, limit: int = 50) -> None:
        self._limit = limit
        self._known: set[tuple[str, str, str]] = set()

    def label(self, verb: str, resource: str, code: str) -> tuple[str, str, str]:
        """Verb, resource and code to count a request under."""
        asked = (verb, resource, code)
        if len(self._known) < self._limit:
            self._known.add(asked)
        if asked in self._known:
            return asked
        as_it_is = code in REFUSED or not code[:1].isdigit()
        return OTHER, OTHER, code if as_it_is else f"{code[0]}xx"
