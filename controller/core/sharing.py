"""How batches share what an operator's limits leave (S13): places per batch, for one pass.

The leader's plan calls ``share`` before any gate is asked; ``explain`` calls ``why_not`` for a batch
that got less than it could use. Both count *active* attempts, so every batch belongs into
``demands``, also one that wants nothing: what it runs takes room away from the others.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class Demand:
    """What one batch has and wants. ``due``: attempts that could start now; ``free``: its gate's places.

    ``age`` is the instant when the batch was inserted; the older one goes first.
    """

    batch_id: str
    user: str
    namespace: str
    active: int
    due: int
    free: int
    max: int
    priority: int
    age: datetime

    @property
    def wanted(self) -> int:
        """How many places the batch could use by itself."""
        return max(0, min(self.due, self.free))


@dataclass(frozen=True, slots=True)
class Limits:
    """An operator's bounds on active attempts: in sum, of each namespace, of each user. None: no bound."""

    total: int | None = None
    per_namespace: int | None = None
    per_user: int | None = None


NO_LIMITS = Limits()


class Bound(StrEnum):
    """Which limit keeps a batch from another place."""

    BATCH = "max-concurrent"
    TOTAL = "total-limit"
    NAMESPACE = "namespace-limit"
    USER = "user-limit"


@dataclass(frozen=True, slots=True)
class Shortage:
    """The limit that binds, how much of it is in use, and the sentence for people."""

    bound: Bound
    used: int
    limit: int
    sentence: str


_Order = tuple[bool, int, float, datetime, str]


class _Room:
    """What the limits leave. Room only ever shrinks while places are given."""

    def __init__(self, demands: Iterable[Demand], limits: Limits) -> None:
        self.limits = limits
        self.total = 0
        self.namespaces: Counter[str] = Counter()
        self.users: Counter[str] = Counter()
        for demand in demands:
            self.take(demand, demand.active)

    def take(self, demand: Demand, places: int) -> None:
        """Book places of this batch."""
        self.total += places
        self.namespaces[demand.namespace] += places
        self.users[demand.user] += places

    def binding(self, demand: Demand) -> tuple[Bound, int, int] | None:
        """The first limit that refuses this batch another place, what is used, and the limit."""
        for bound, used, limit in (
            (Bound.TOTAL, self.total, self.limits.total),
            (Bound.NAMESPACE, self.namespaces[demand.namespace], self.limits.per_namespace),
            (Bound.USER, self.users[demand.user], self.limits.per_user),
        ):
            if limit is not None and used >= limit:
                return bound, used, limit
        return None


def share(demands: Sequence[Demand], limits: Limits) -> Mapping[str, int]:
    """The places each batch may take now, by batch id; every batch is in the answer.

    Place by place, each goes to a batch that holds none yet, before any that holds one; then to the
    highest priority, then to the least active/max, then to the oldest. What a batch already runs
    counts as places it holds, so a batch that waits for its first is served before the others'
    next, however few places come free at a time. Nothing is left over that a batch could have used
    within the limits. The order of ``demands`` does not matter. O((batches + places) · log batches).
    """
    granted = {demand.batch_id: 0 for demand in demands}
    room = _Room(demands, limits)
    heap = [(_order(demand, 0), demand) for demand in demands if demand.wanted]
    heapq.heapify(heap)
    while heap:
        _, demand = heapq.heappop(heap)
        if room.binding(demand):
            continue  # for good: room never grows back
        room.take(demand, 1)
        granted[demand.batch_id] += 1
        if granted[demand.batch_id] < demand.wanted:
            heapq.heappush(heap, (_order(demand, granted[demand.batch_id]), demand))
    return granted


def why_not(
    batch_id: str, demands: Sequence[Demand], limits: Limits, granted: Mapping[str, int]
) -> Shortage | None:
    """Which limit keeps this batch from starting more than it was granted; None if all it has due starts.

    ``granted`` is what ``share`` answered for the same demands. Raises KeyError for an unknown batch.
    """
    mine = next((demand for demand in demands if demand.batch_id == batch_id), None)
    if mine is None:
        raise KeyError(batch_id)
    if granted[batch_id] >= max(0, mine.due):
        return None
    room = _Room(demands, limits)
    for demand in demands:
        room.take(demand, granted.get(demand.batch_id, 0))
    if granted[batch_id] < mine.wanted and (binding := room.binding(mine)):
        bound, used, limit = binding
        return Shortage(bound, used, limit, _sentence(bound, mine, used, limit))
    used = mine.max - mine.free + granted[batch_id]
    return Shortage(Bound.BATCH, used, mine.max, _sentence(Bound.BATCH, mine, used, mine.max))


def _order(demand: Demand, granted: int) -> _Order:
    """Smaller goes first; the id only settles what else would depend on the order of the demands."""
    held = demand.active + granted
    load = held / demand.max if demand.max > 0 else float("inf")
    return held > 0, -demand.priority, load, demand.age, demand.batch_id


def _sentence(bound: Bound, demand: Demand, used: int, limit: int) -> str:
    what = {
        Bound.BATCH: "active jobs in batch",
        Bound.TOTAL: "active jobs in all batches",
        Bound.NAMESPACE: f"active jobs in namespace {demand.namespace}",
        Bound.USER: f"active jobs of {demand.user}",
    }[bound]
    return f"{used} of at most {limit} {what}: the next starts when one of them ends"
