"""The in-memory store keeps the Store's contract, and a log of every write."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from controller.core.change import Change
from controller.core.machine import Event
from controller.core.model import Status
from tests.contract.store_suite import StoreSuite
from tests.contract.store_world import StoreWorld
from tests.fakes.memory_store import MemoryStore


class HandClock:
    """A clock that only a test moves."""

    def __init__(self) -> None:
        self.at = datetime(2026, 3, 1, 12, tzinfo=UTC)

    def now(self) -> datetime:
        """The wall clock."""
        return self.at

    def monotonic(self) -> float:
        """Seconds."""
        return self.at.timestamp()

    async def sleep(self, seconds: float) -> None:
        """Move on."""
        self.at += timedelta(seconds=seconds)


@pytest.fixture
def store() -> MemoryStore:
    """A store whose clock stands still."""
    return MemoryStore(HandClock(), seed=1)


@pytest.fixture
def world(store: MemoryStore) -> StoreWorld:
    """The store with its clock in the test's hand."""
    clock = store.clock
    return StoreWorld(store, lambda: clock.sleep(0.005), clock.now())


class TestMemoryStore(StoreSuite):
    """The contract."""


async def test_every_write_is_logged(world: StoreWorld, store: MemoryStore) -> None:
    """The log has each write's instant, document, before and after; a refused write is not in it."""
    batch = await world.add_batch()
    job = await world.put()
    await world.tick()
    claim = Change(job.id, Event.CLAIMED, "place-free", fields={"slot": 0})
    after = await store.change(claim, 1)
    assert await store.change(claim, 1) is None
    await store.claim(batch.id, [(job.id, 0)], 1)
    await store.list_children(batch.id, [job.id])
    record, parent = ("jobs", job.id), batch.id
    kinds = [(write.collection, write.id) for write in store.oplog]
    assert kinds == [
        ("batches", parent),
        ("gates", parent),
        record,
        record,
        ("gates", parent),
        ("child_jobs", parent),
    ]
    inserted, claimed = store.oplog[2:4]
    assert (inserted.before, inserted.after) == (None, job)
    assert (claimed.before, claimed.after) == (job, after)
    assert inserted.at < claimed.at
    assert claimed.after.status is Status.CREATED
