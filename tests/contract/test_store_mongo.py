"""The MongoDB adapter keeps the Store's contract, on a real mongod."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from uuid import uuid4

import pymongo
import pytest
from pymongo.database import Database

from controller.adapters.mongo import MongoStore, open_store
from controller.adapters.mongo_shapes import Document
from tests.contract.store_suite import StoreSuite
from tests.contract.store_world import StoreWorld


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
