"""Fixtures of the failover tests: one replica set for each worker that needs it, whole before every test."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pymongo
import pytest
from pymongo.errors import PyMongoError

from tests.e2e.conftest import folder
from tests.failover.members import ReplicaSet, three_members
from tests.failover.place import FailoverPlace


@pytest.fixture(scope="session")
def members() -> Iterator[ReplicaSet]:
    """Three members of this worker's own."""
    with three_members() as found:
        yield found


@pytest.fixture
def place(members: ReplicaSet) -> Iterator[FailoverPlace]:
    """A place on the replica set, judged by the oracle at its end."""
    members.healed()
    with folder() as root, judged(FailoverPlace(root, members)) as place:
        yield place


@contextmanager
def judged(place: FailoverPlace) -> Iterator[FailoverPlace]:
    """The oracle judges it at its end, unless the test has failed by then."""
    try:
        yield place
        place.close()
    finally:
        place.tidy()
        with suppress(PyMongoError), pymongo.MongoClient[dict[str, object]](place.uri) as client:
            client.drop_database(place.database)
