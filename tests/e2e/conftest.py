"""Fixtures of the end-to-end tests: a place of a test's own, judged by the oracle when the test is over."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pymongo
import pytest

from tests.e2e.place import Place


@pytest.fixture
def root() -> Iterator[Path]:
    """A folder of this test's own."""
    with folder() as path:
        yield path


@pytest.fixture
def place(root: Path, mongo_uri: str) -> Iterator[Place]:
    """A place of this test's own, with a database of its own on the worker's mongod."""
    with judged_place(root, mongo_uri) as place:
        yield place


@pytest.fixture(scope="module")
def shared(mongo_uri: str) -> Iterator[Place]:
    """A place with a daemon that many tests of a module use at once, each with batches of its own."""
    with folder() as path, judged_place(path, mongo_uri) as place:
        place.start()
        yield place


@contextmanager
def folder() -> Iterator[Path]:
    """A folder in memory where there is one: what is proved here is no disk's speed."""
    memory = Path("/dev/shm")
    path = Path(tempfile.mkdtemp(prefix="bk-e2e-", dir=memory if os.access(memory, os.W_OK) else None))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


@contextmanager
def judged_place(root: Path, uri: str) -> Iterator[Place]:
    """A place that the oracle judges at the end, unless the test has failed by then."""
    place = Place(root, uri, f"e2e_{uuid4().hex[:12]}")
    try:
        yield place
        place.close()
    finally:
        place.tidy()
        with pymongo.MongoClient[dict[str, object]](uri) as client:
            client.drop_database(place.database)
