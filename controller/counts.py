"""Counts: what this process changed and has not yet added to the batches' cached counts.

Called by ``engine`` for each change, and by whoever reads or closes a batch. A cache for people and for the
brake, which counts anew before it holds; losing it loses nothing (design: the records are the truth).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from controller.core.copying import replace
from controller.core.model import Attempt, Batch, Counts, Status, Verdict
from controller.ports import Store, Unavailable

K = TypeVar("K")
Move = tuple[Attempt | None, Attempt]
"""A record before, None where there was none, and after a change."""
_STATUSES, _VERDICTS = tuple(Status), tuple(Verdict)


@dataclass(slots=True)
class Tally:
    """By batch id, what is to be added to its cached counts."""

    _moves: dict[str, list[Move]] = field(default_factory=dict)
    _miscounted: set[str] = field(default_factory=set)
    """Ids of batches whose counts may have been written or not, or have met a change twice."""
    _changing: Counter[str] = field(default_factory=Counter)
    """By batch id: changes that are being written."""
    _undisturbed: set[str] = field(default_factory=set)
    """Ids of batches that are being counted anew while nothing of them is being written."""

    @contextlib.contextmanager
    def changing(self, batch_id: str) -> Iterator[None]:
        """Until a change is written and told here, nobody knows whether a count of all records has met it."""
        self._changing[batch_id] += 1
        self._undisturbed.discard(batch_id)
        try:
            yield
        finally:
            self._changing[batch_id] -= 1
            self._changing += Counter()  # let go of those at zero

    def add(self, before: Attempt | None, after: Attempt) -> None:
        """Remember a change of status."""
        self._moves.setdefault(after.batch_id, []).append((before, after))

    def counted(self, batch: Batch) -> Batch:
        """The batch with what this process changed and has not yet added."""
        moves = self._moves.get(batch.id)
        if not moves:
            return batch
        delta = counts_of(moves)
        status = _added(_STATUSES, batch.counts.status, delta.status)
        return replace(batch, counts=Counts(status, _added(_VERDICTS, batch.counts.first, delta.first)))

    def clear(self) -> None:
        """What an earlier lead left uncounted is in the records, which are counted anew."""
        self._moves.clear()
        self._miscounted.clear()

    def forget(self, batch_id: str) -> None:
        """It is over."""
        self._miscounted.discard(batch_id)

    def doubt(self, batch_id: str) -> None:
        """It is counted anew with the next ``flush``."""
        self._miscounted.add(batch_id)

    async def flush(self, store: Store, batch_id: str) -> None:
        """Bring the cached counts up to date; anew, where nobody knows what was written the last time."""
        if batch_id in self._miscounted:
            self._moves.pop(batch_id, None)
            await self._recount(store, batch_id)
        elif moves := self._moves.pop(batch_id, []):
            try:
                await store.add_counts(batch_id, counts_of(moves))
            except (Unavailable, asyncio.CancelledError):
                self.doubt(batch_id)
                raise

    async def recount(self, store: Store, batch_id: str) -> Counts:
        """Count all records now; once more with the next ``flush``, where one was being written meanwhile."""
        await self.flush(store, batch_id)  # else that would be added to what is counted here
        return await self._recount(store, batch_id)

    async def _recount(self, store: Store, batch_id: str) -> Counts:
        (self._undisturbed.discard if self._changing[batch_id] else self._undisturbed.add)(batch_id)
        counts = await store.recount(batch_id)
        if batch_id in self._undisturbed:
            self._undisturbed.discard(batch_id)
            self._miscounted.discard(batch_id)
        else:
            self.doubt(batch_id)
        return counts


def _added(keys: Iterable[K], one: Mapping[K, int], other: Mapping[K, int]) -> dict[K, int]:
    return {key: n for key in keys if (n := one.get(key, 0) + other.get(key, 0)) > 0}


def counts_of(moves: Sequence[Move]) -> Counts:
    """The sum of changes of status, as what to add to the cached counts."""
    status: dict[Status, int] = {}
    first: dict[object, int] = {}
    for before, after in moves:
        if before is not None:
            status[before.status] = status.get(before.status, 0) - 1
        status[after.status] = status.get(after.status, 0) + 1
        if after.attempt == 0 and after.status.terminal and after.verdict:
            first[after.verdict] = first.get(after.verdict, 0) + 1
    return Counts({key: n for key, n in status.items() if n}, first)  # type: ignore[arg-type]
