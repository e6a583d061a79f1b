"""Fixtures of the tests of /rpc."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from uuid import uuid4

import pymongo
import pytest

from tests.api.rpc.world import RpcWorld, open_world


@pytest.fixture(scope="session")
def rpc_database(mongo_uri: str) -> Iterator[str]:
    """One database for all tests of /rpc: making its indexes anew for each would take most of their time."""
    name = f"test_{uuid4().hex}"
    yield name
    with pymongo.MongoClient[dict[str, object]](mongo_uri) as client:
        client.drop_database(name)


@pytest.fixture
async def rpc(tmp_path: Path, mongo_uri: str, rpc_database: str) -> AsyncIterator[RpcWorld]:
    """A server of /rpc with ada's batch."""
    async with open_world(tmp_path, mongo_uri, rpc_database) as world:
        yield world
