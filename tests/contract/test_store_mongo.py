"""The MongoDB adapter keeps the Store's contract, on a real mongod."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from uuid import uuid4

import pymongo
import pytest
from bson import ObjectId
from pymongo.database import Database

from controller import lifecycle
from controller.adapters import mongo_lineage
from controller.adapters.mongo import MongoStore, open_store
from controller.adapters.mongo_lineage import FEW
from controller.adapters.mongo_shapes import Document
from controller.core.change import Change
from controller.core.machine import Event
from controller.core.model import BatchStatus, Result, Status
from tests.contract.store_machine_suite import EPOCH
from tests.contract.store_suite import StoreSuite
from tests.contract.store_world import SECOND, StoreWorld


@pytest.fixture(scope="module")
def prepared(mongo_uri: str) -> Iterator[Database[Document]]:
    """One database for all these tests; making its indexes anew for each would take most of their time."""
    with pymongo.MongoClient[Document](mongo_uri) as client:
        database = client[f"test_{uuid4().hex}"]
        yield database
        client.drop_database(database)


@pytest.fixture
async def store(mongo_uri: str, prepared: Database[Document]) -> AsyncIterator[MongoStore]:
    """A store on an empty database."""
    store = await open_store(mongo_uri, prepared.name)
    yield store
    await store.close()
    for name in ("jobs", "gates", "quarantine"):
        prepared[name].delete_many({})
    prepared["meta"].delete_many({"_id": {"$ne": "schema"}})


@pytest.fixture
async def world(store: MongoStore) -> StoreWorld:
    """The store with the server's clock."""
    return StoreWorld(store, lambda: asyncio.sleep(0.006), await store.now())


class TestMongoStore(StoreSuite):
    """The contract."""


ENDS = ["change", "changes_many", "by another"]


@pytest.mark.parametrize("by", ENDS)
async def test_what_has_ended_is_held_no_more(
    store: MongoStore, world: StoreWorld, mongo_uri: str, prepared: Database[Document], by: str
) -> None:
    """A hundred active records are held as they were built, and none of them after its end, whose deed that
    ever was."""
    await world.add_batch(max_active=200)
    jobs = [await world.put(Status.RUNNING) for _ in range(100)]
    ids = [job.id for job in jobs]
    assert len(await store.jobs(ids)) == len(store._built) == len(jobs)
    ends = [Change(job.id, Event.ENDED, "finished", Status.COMPLETED, {"exit_code": 0}) for job in jobs]
    if by == "change":
        for end in ends:
            assert await store.change(end, EPOCH)
    elif by == "changes_many":
        assert all(await store.changes_many(ends, EPOCH))
    else:
        another = await open_store(mongo_uri, prepared.name)
        assert all(await another.changes_many(ends, EPOCH))
        await another.close()
        await store.standing(world.batch_id, ids)
    assert len(store._built) == 0


@pytest.mark.parametrize("bent", ["none", 7, None], ids=str)
@pytest.mark.parametrize("many", [1, FEW + 5])
@pytest.mark.parametrize("field", ["child_jobs", "retry_ids"])
async def test_a_list_that_is_none_costs_its_own_children_only(
    world: StoreWorld, prepared: Database[Document], field: str, many: int, bent: object
) -> None:
    """It stays as it is, takes nothing, and what is asked of it together with others is done for those."""
    sick = await world.add_batch("sick")
    root = await world.put(Status.ERROR)
    lost = await world.put_retry(root)
    parent = {"_id": ObjectId(sick.id if field == "child_jobs" else root.id)}
    prepared["jobs"].update_one(parent, {"$set": {field: bent}})
    await world.add_batch("well")
    children = [await world.put_retry(await world.put(Status.ERROR)) for _ in range(many)]
    done = await lifecycle.complete(world.store, [lost, *children])
    assert set(done.listed) == {child.id for child in children}
    assert (done.toggled, dict(done.refused)) == (many, {})
    found = prepared["jobs"].find_one(parent)
    assert found
    assert found[field] == bent


async def test_a_full_list_costs_its_own_children_only(
    world: StoreWorld, prepared: Database[Document], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It grows no further than leaves room for what else is written to its batch, which can still end."""
    full = await world.add_batch("full")
    lost = await world.put_retry(await world.put(Status.ERROR))
    await world.store.list_children(full.id, [world.store.new_id() for _ in range(100)])
    monkeypatch.setattr(mongo_lineage, "FULL", 1000)
    await world.add_batch("well")
    child = await world.put_retry(await world.put(Status.ERROR))
    done = await lifecycle.complete(world.store, [lost, child])
    assert set(done.listed) == {child.id}
    found = prepared["jobs"].find_one({"_id": ObjectId(full.id)})
    assert found
    assert len(found["child_jobs"]) == 100
    ended = {"status": BatchStatus.FINISHED, "result": Result.PARTIAL}
    assert await world.store.set_batch(full.id, [BatchStatus.RUNNING], ended)


async def test_children_that_cannot_be_read_are_not_the_last_page(
    world: StoreWorld, prepared: Database[Document]
) -> None:
    """They are left out, and a page is as long as it was asked for while there are others."""
    await world.add_batch()
    root = await world.put(Status.ERROR)
    put = [await world.put_retry(root, n, inserted=world.now - (9 - n) * SECOND) for n in range(1, 6)]
    for child in put[:3]:
        prepared["jobs"].update_one({"_id": ObjectId(child.id)}, {"$set": {"origin": "nobody"}})
    assert list(await world.store.unfinished_lifecycles(world.now, 2)) == put[3:]


@pytest.mark.parametrize("bent", [{}, {"job": None}, {"slot": 1}, 7, None], ids=str)
async def test_a_gate_that_makes_no_sense_keeps_nobody_from_leading(
    world: StoreWorld, prepared: Database[Document], bent: object
) -> None:
    """One whose holder says of no job that it holds a place ended every daemon at its start."""
    sick = await world.add_batch("sick")
    prepared["gates"].update_one({"_id": ObjectId(sick.id)}, {"$set": {"holders": [bent]}})
    await world.add_batch("well")
    job = await world.put(Status.RUNNING)
    await world.store.stamp(EPOCH + 1)
    stamped = await world.store.job(job.id)
    assert stamped is not None
    assert stamped.epoch == EPOCH + 1
