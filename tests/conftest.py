"""Fixtures that many tests share: a real MongoDB, once per test worker."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pymongo
import pytest

from controller.adapters.mongod import acquire


@pytest.fixture(scope="session")
def mongo_uri() -> Iterator[str]:
    """The address of a real server: ``MONGODB_URI``, else a mongod of this worker's own, in memory."""
    configured = os.environ.get("MONGODB_URI", "")
    if configured:
        yield configured
        return
    memory = Path("/dev/shm")
    state = Path(tempfile.mkdtemp(prefix="batchkeeper-", dir=memory if os.access(memory, os.W_OK) else None))
    try:
        mongod = asyncio.run(acquire(state, patience=timedelta(minutes=4)))
        yield mongod.uri
        asyncio.run(mongod.release())
    finally:
        shutil.rmtree(state)


@pytest.fixture
def mongo_database(mongo_uri: str) -> Iterator[str]:
    """The name of a database of this test's own, dropped at its end."""
    name = f"test_{uuid4().hex}"
    yield name
    with pymongo.MongoClient[dict[str, object]](mongo_uri) as client:
        client.drop_database(name)
