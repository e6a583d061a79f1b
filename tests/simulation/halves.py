"""Half writes: of a write of several documents, what is applied when nobody hears the answer.

A store that loses its connection, its primary or its patience in the middle of one has any part of it. What
is one document stays whole.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from functools import partial
from typing import Any, cast

from controller.core.copying import replace
from controller.core.model import Batch, Gate
from tests.fakes.memory_store import MemoryStore


def half(name: str, bound: Any, args: tuple[Any, ...], rng: random.Random) -> tuple[Any, tuple[Any, ...]]:
    """The call that does any part of this one of the store's, from nothing to all of it."""
    match name:
        case "changes_many" | "add_jobs" | "toggle":
            return bound, (_some(args[0], rng), *args[1:])
        case "list_children":
            return bound, (args[0], _some(args[1], rng))
        case "list_retries":
            roots = _some(args[0], rng)
            return bound, ({root: args[0][root] for root in roots},)
        case "add_batch":
            return rng.choice((bound, partial(_without_its_gate, bound.__self__))), args
        case "stamp":
            return partial(_stamp_some, bound.__self__, rng), args
        case _:
            return bound, args


def _some(items: Iterable[Any], rng: random.Random) -> list[Any]:
    return [item for item in items if rng.random() < 0.5]


class _Breaking:
    """The store, whose connection breaks when the gate is to be written."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def ensure_gate(self, gate: Gate) -> None:
        """Nothing comes of it."""


async def _without_its_gate(store: MemoryStore, batch: Batch, gate: Gate) -> None:
    await MemoryStore.add_batch(cast(MemoryStore, _Breaking(store)), batch, gate)


async def _stamp_some(store: MemoryStore, rng: random.Random, epoch: int) -> None:
    """As many gates as are drawn; or all of them, and some records."""
    gates = list(store._gates.values())
    whole = rng.random() < 0.5
    for gate in gates if whole else _some(gates, rng):
        if gate.epoch < epoch:
            store._put_gate(replace(gate, epoch=epoch))
    if not whole or any(gate.epoch > epoch for gate in store._gates.values()):
        return
    for job in [store._attempts.by_id[job] for job in _some(store._attempts.active, rng)]:
        if job.epoch < epoch:
            store._put(store._touched(job, epoch=epoch))
