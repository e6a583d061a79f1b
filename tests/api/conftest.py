"""Fixtures of the API: a place of each test's own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.api.place import Place, place


@pytest.fixture
async def here(tmp_path: Path, mongo_uri: str, mongo_database: str) -> AsyncIterator[Place]:
    """A server with three people who have tokens: ada, bob, and root, an admin."""
    async with place(tmp_path, mongo_uri, mongo_database) as made:
        yield made
