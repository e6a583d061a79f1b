"""The store on three members: what is acknowledged lasts, and what may not last is no answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from uuid import uuid4

import pymongo
import pytest

from controller.adapters.mongo import open_store
from controller.core.model import Status
from controller.ports import Conflict, Unavailable
from tests.contract.store_world import StoreWorld
from tests.failover.members import NAME, ReplicaSet
from tests.failover.strikes import Fate
from tests.failover.way import Way, way_to
from tests.failover.wire import NO_COLLECTION

PATIENCE = timedelta(seconds=1)


@pytest.fixture
def way(members: ReplicaSet) -> Iterator[Way]:
    """A way to the members."""
    with way_to([one.address for one in members.members]) as way:
        yield way


@pytest.fixture
async def world(members: ReplicaSet, way: Way) -> AsyncIterator[StoreWorld]:
    """A store of this test's own on the replica set, which gives up soon."""
    members.healed()
    database = f"store_{uuid4().hex[:12]}"
    made = await open_store(way.uri(NAME), database)  # the calls of the tests give up soon, not this one
    await made.close()
    store = await open_store(way.uri(NAME), database, PATIENCE)
    yield StoreWorld(store, lambda: asyncio.sleep(0.006), await store.now())
    await store.close()
    with pymongo.MongoClient[dict[str, object]](members.uri) as client:
        client.drop_database(database)


async def test_a_name_taken_by_what_may_not_last(members: ReplicaSet, world: StoreWorld) -> None:
    """A batch that nobody has acknowledged is in the way of its own repetition, and who looks for it does not
    find it (``intake`` waits then); once all is well there is one."""
    with members.stalled(*members.secondaries()):
        for _ in range(2):
            with pytest.raises((Unavailable, Conflict)):
                await world.add_batch("stalled")
            assert await world.store.batch_named("lab", "stalled") is None
    members.healed()
    found = await world.store.batches()
    assert [batch.name for batch in found] == ["stalled"]


async def test_records_that_may_not_last(members: ReplicaSet, world: StoreWorld) -> None:
    """Nor are records that are recorded twice while nobody acknowledges them; then each is there once."""
    await world.add_batch()
    jobs = [world.attempt() for _ in range(3)]
    with members.stalled(*members.secondaries()):
        for _ in range(2):
            with pytest.raises(Unavailable):
                await world.store.add_jobs(jobs)
    members.healed()
    assert list(await world.store.add_jobs(jobs)) == [False] * 3
    assert {job.id for job in await world.store.jobs([job.id for job in jobs])} == {job.id for job in jobs}


async def test_a_repetition_that_may_not_last(world: StoreWorld, way: Way) -> None:
    """Records that are there already, and a majority that does not answer in time: that is no conflict."""
    await world.add_batch()
    jobs = [world.attempt() for _ in range(3)]
    assert list(await world.store.add_jobs(jobs[:2])) == [True] * 2
    way.judge = lambda key, message: Fate.NOT_ALL_HEARD if key == ("insert", "jobs") else None
    with pytest.raises(Unavailable):
        await world.store.add_jobs(jobs)


async def test_what_is_acknowledged_lasts(members: ReplicaSet, world: StoreWorld) -> None:
    """The primary dies right after an answer: what it answered is there."""
    await world.add_batch()
    jobs = [await world.put() for _ in range(3)]
    lost = members.primary()
    members.kill(lost)
    members.primary(but=lost)
    members.healed()
    for job in jobs:
        assert (await world.read(job.id)).status is Status.WAITING


async def test_a_server_that_never_answers_is_left(world: StoreWorld, way: Way) -> None:
    """Letting go of a store ends, whether or not anybody hears that its sessions are over."""
    store = await open_store(way.uri(NAME), "left", PATIENCE)
    await store.epoch()
    way.judge = lambda key, message: Fate.SILENT if key[0] == "endSessions" else None
    async with asyncio.timeout(30):
        await store.close()
    assert way.seen["endSessions", NO_COLLECTION]
