"""Playing a schedule: nobody's error is swallowed, half a write is half, and who crashes proves nothing."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from controller.core.model import Batch, Gate
from tests.fakes.memory_store import MemoryStore
from tests.oracle.histories import attempt, batch
from tests.oracle.invariants import Invariant
from tests.simulation import mishaps, people
from tests.simulation.explaining import drive
from tests.simulation.halves import half
from tests.simulation.leftovers import Leftovers
from tests.simulation.loop import VirtualLoop, run
from tests.simulation.orphans import Orphans
from tests.simulation.planted import Bug, Patch
from tests.simulation.planted_table import hunt
from tests.simulation.play import Played, play
from tests.simulation.process import TrueClock
from tests.simulation.scenario import draw
from tests.simulation.telling import CRASHED


async def _breaks(*_: object) -> None:
    raise ZeroDivisionError


def _leaves(*_: object) -> None:
    raise ZeroDivisionError


BREAKING: dict[str, Callable[[Patch], None]] = {
    "a request": lambda patch: patch.setitem(people.ASKS, "scale", _breaks),
    "a mishap": lambda patch: patch.setitem(mishaps.KINDS, "hand", _breaks),
    "the storm": lambda patch: patch.setattr(Orphans, "_leave", _leaves),
    "hands": lambda patch: patch.setattr(Leftovers, "_orders", _breaks),
}


@pytest.mark.parametrize("who", BREAKING)
def test_nobody_s_error_is_swallowed(who: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever does less than he was to because of an error that nobody foresaw fails the schedule."""
    calm = replace(draw(0), requests=30, mishaps=15, orphans=3, leftovers=True, rates={}, most_faults=200)
    BREAKING[who](monkeypatch)
    played = play(calm)
    assert CRASHED in played.invariants
    assert any("ZeroDivisionError" in line for line in played.violations)


def test_a_bug_that_only_breaks_by_itself_is_not_caught() -> None:
    """An error that ends the daemon tells of itself; what it leaves undone tells of nothing else."""

    def sows(patch: Patch) -> None:
        patch.setattr("controller.reconcile.look", _breaks)

    assert hunt(Bug("it breaks", sows, {"rates": {}, "mishaps": 0}), range(2)) is None
    assert _played((CRASHED, "trouble", Invariant.UNFINISHED.value)).found == frozenset()
    assert _played((CRASHED, Invariant.TRUTH.value)).found == {Invariant.TRUTH}
    assert _played((Invariant.UNFINISHED.value,)).found == {Invariant.UNFINISHED}


def _played(invariants: tuple[str, ...]) -> Played:
    return Played(0, invariants, invariants, (), (), 0.0, 0.0, 0, 0, 0)


# --------------------------------------------------------------------------------------------- half writes

JOBS = [attempt(f"t{number}") for number in range(8)]
CHILDREN = [attempt(f"t{number}", 1) for number in range(8)]
IDS = [child.id for child in CHILDREN]
GATES = [Gate(f"g{number}", 1, epoch=1) for number in range(4)]


def _store() -> MemoryStore:
    async def made(loop: VirtualLoop) -> MemoryStore:
        return MemoryStore(TrueClock(loop))

    store = run(made, random.Random(0))
    given: Batch = batch()
    drive(store.add_batch(given, Gate(given.id, 2, epoch=1)))
    for gate in GATES:
        drive(store.ensure_gate(gate))
    return store


def _with_jobs() -> MemoryStore:
    store = _store()
    drive(store.add_jobs([*JOBS, *CHILDREN]))
    return store


def _stamped(store: MemoryStore) -> int:
    return sum(gate.epoch == 2 for gate in store._gates.values())


HALVES: dict[str, tuple[Callable[[], MemoryStore], tuple[Any, ...], Callable[[MemoryStore], int], int]] = {
    "add_jobs": (_store, (JOBS,), lambda store: len(store._attempts.by_id), 8),
    "list_children": (_with_jobs, ("b", IDS), lambda store: len(store.child_jobs("b")), 8),
    "list_retries": (
        _with_jobs,
        ({job.id: [f"{job.id}-r1"] for job in JOBS},),
        lambda store: sum(bool(job.retry_ids) for job in store._attempts.by_id.values()),
        8,
    ),
    "toggle": (_with_jobs, (IDS,), lambda store: 8 - len(store._attempts.unfinished), 8),
    "stamp": (_store, (2,), _stamped, 5),
    "add_batch": (
        _store,
        (replace(batch(), id="c", name="other"), Gate("c", 1)),
        lambda store: ("c" in store._batches) + ("c" in store._gates),
        2,
    ),
}
"""By call: a store, the arguments, how much of it is done, and how much that is when it is whole."""


@pytest.mark.parametrize("name", HALVES)
def test_half_a_write_is_any_part_of_it(name: str) -> None:
    """Sometimes it is only begun, and never is it more than the whole."""
    made, args, done, whole = HALVES[name]
    found = set()
    for seed in range(20):
        store = made()
        bound, part = half(name, getattr(store, name), args, random.Random(seed))
        drive(bound(*part))
        found.add(done(store))
    assert min(found) < whole >= max(found)
    assert any(0 < one < whole for one in found)
