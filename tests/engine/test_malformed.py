"""Documents that somebody bent by hand, on a real mongod: each costs itself (O2)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from uuid import uuid4

import pytest
from bson import ObjectId

from controller.adapters.mongo import MongoStore, open_store
from controller.adapters.system_clock import SystemClock
from controller.core.model import Counts, Origin, Status, Verdict, When
from controller.people import Caller, People
from controller.retrying import retry
from tests.contract.store_world import StoreWorld


@pytest.fixture
async def world(mongo_uri: str) -> AsyncIterator[StoreWorld]:
    """A store of its own, and a batch in it."""
    store = await open_store(mongo_uri, f"test_{uuid4().hex}")
    world = StoreWorld(store, lambda: store.nudge(), await store.now())
    await world.add_batch("good")
    yield world
    await store._client.drop_database(store._db.name)
    await store.close()


async def test_a_gate_that_cannot_be_read_is_one_batch_less(world: StoreWorld) -> None:
    """One bent gate made every look at any gate fail, and the daemon end after each of its starts."""
    store, good = world.store, world.batch_id
    assert isinstance(store, MongoStore)
    bad = await world.add_batch("bad")
    await store._gates.update_one({"_id": ObjectId(bad.id)}, {"$set": {"cancel": True}})
    assert set(await store.gates([good, bad.id])) == {good}
    assert "gate" in store.quarantined()[bad.id]


async def test_a_verdict_that_nobody_knows_is_not_counted(world: StoreWorld) -> None:
    """A newer program's, say: whoever began to lead counted anew, and ended after each of its starts."""
    store = world.store
    assert isinstance(store, MongoStore)
    odd = await world.put(Status.ERROR, verdict=Verdict.LOST, finished=world.now)
    await world.put(Status.ERROR, verdict=Verdict.LOST, finished=world.now)
    await store._jobs.update_one({"_id": ObjectId(odd.id)}, {"$set": {"verdict": "bewitched"}})
    counts = await store.recount(world.batch_id)
    assert counts == Counts({Status.ERROR: 2}, {Verdict.LOST: 1})
    batch = await store.batch(world.batch_id)
    assert batch is not None
    assert batch.counts == counts


async def test_a_root_that_cannot_be_read_costs_its_own_retry(world: StoreWorld) -> None:
    """The retry of a hundred jobs failed as a whole for one task whose first attempt could not be read."""
    store = world.store
    assert isinstance(store, MongoStore)
    ended = {"verdict": Verdict.LOST, "origin": Origin.SPEC}
    bad, good = await world.put(Status.ERROR, **ended), await world.put(Status.ERROR, **ended)
    child = await world.put_retry(bad, 1, status=Status.ERROR, finished=world.now, verdict=Verdict.LOST)
    await store._jobs.update_one({"_id": ObjectId(bad.id)}, {"$set": {"job_input": 7}})
    people = People(store, SystemClock())
    answers = await retry(people, Caller("ada"), [child.id, good.id])
    assert ["can't be read" in answer.error for answer in answers] == [True, False]
    assert answers[1].retry_id


async def test_who_waits_and_cannot_be_read_keeps_nobody_from_the_line(world: StoreWorld) -> None:
    """One place was free, the first in line could not be read, and so nobody of the batch ever started."""
    store = world.store
    assert isinstance(store, MongoStore)
    roots = [await world.put() for _ in range(4)]
    failed = await world.put(Status.ERROR, verdict=Verdict.LOST, finished=world.now)
    ends = [await world.put_retry(job, 1, when=When.BATCH_END) for job in (failed, roots[3])]
    for bent in (roots[0].id, roots[1].id, ends[0].id):
        await store._jobs.update_one({"_id": ObjectId(bent)}, {"$set": {"job_input": 7}})
    for n in (1, 2, 9):
        found = await store.waiting(world.batch_id, n, world.now)
        assert [job.id for job in found] == [job.id for job in roots[2 : 2 + n]]
    assert [job.id for job in await store.waiting_for_end(world.batch_id, 1, world.now)] == [ends[1].id]
