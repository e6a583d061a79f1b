"""A database as EE2 keeps it, a desk of ours on it, and a scheduler that does as a test tells it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from typing import Any

import pymongo
import pytest

from controller.adapters.mongo_ee2 import MongoEe2, open_ee2
from controller.adapters.system_clock import SystemClock
from controller.ee2.desk import Ee2Desk
from tests.ee2.forge import Ee2
from tests.ee2.oracle import Oracle
from tests.ee2.scheduler import Scheduler, Told

PATIENCE = timedelta(seconds=30)


@pytest.fixture
def ee2(mongo_uri: str, mongo_database: str) -> Iterator[Ee2]:
    """EE2 on a database of this test's own."""
    with pymongo.MongoClient[dict[str, Any]](mongo_uri) as client:
        client[mongo_database].create_collection("ee2_jobs")
        yield Ee2(client[mongo_database])


@pytest.fixture
async def records(mongo_uri: str, mongo_database: str) -> AsyncIterator[MongoEe2]:
    """The adapter on the same database."""
    opened = await open_ee2(mongo_uri, mongo_database, "ee2_jobs", "batchkeeper_ee2", PATIENCE)
    await opened.prepare(indexes=True)
    yield opened
    await opened.close()


@pytest.fixture
def scheduler() -> Scheduler:
    """A scheduler that says yes until told otherwise."""
    return Scheduler()


@pytest.fixture
def desk(ee2: Ee2, records: MongoEe2, scheduler: Scheduler) -> Ee2Desk:
    """What the passes work with."""
    return Ee2Desk(records, scheduler, SystemClock(), Told())


@pytest.fixture
def oracle(ee2: Ee2, scheduler: Scheduler) -> Iterator[Oracle]:
    """Judges what happens within its ``watching``, at the end of the test too."""
    judge = Oracle(ee2, scheduler.agreed)
    yield judge
    assert not judge.violations
