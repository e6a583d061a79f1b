"""Fixtures of the bucket's tests: one server for a worker, a bucket and a way to it for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from tests.s3.server import CREDENTIALS, Hand, new_bucket, serving
from tests.s3.way import way_to
from tests.s3.world import BucketWorld


@pytest.fixture(scope="session")
def s3() -> Iterator[str]:
    """The address of a server that speaks S3."""
    with serving() as url:
        yield url


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the environment, as a pod or a shell has them; and no shared files of whoever runs the tests."""
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, "/nonexistent")
    for name in ("AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def hand(s3: str) -> Hand:
    """Somebody else at a new bucket."""
    return new_bucket(s3)


@pytest.fixture
async def world(hand: Hand) -> AsyncIterator[BucketWorld]:
    """An empty bucket, and a source that watches it."""
    async with way_to(hand.url) as way:
        yield BucketWorld(hand, way)
