"""The in-memory spec source keeps the contract."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from tests.contract.source_suite import SourceSuite, UnreadableSuite, World
from tests.fakes.memory_source import MemorySource


class MemoryWorld(World):
    """Files in a dictionary."""

    def __init__(self) -> None:
        self.limit = 1000
        self.memory = MemorySource(self.limit)
        self.source = self.memory

    def put(self, key: str, content: bytes) -> None:
        """Drop it."""
        self.memory.drop(key, content)

    def remove(self, key: str) -> None:
        """Remove it."""
        self.memory.remove(key)

    def spoil(self, key: str) -> None:
        """Spoil it."""
        self.memory.spoil(key, "permission denied")

    def lose(self) -> None:
        """Scans fail."""
        self.memory.unavailable = "gone for a test"

    def heal(self) -> None:
        """Scans work."""
        self.memory.unavailable = ""

    def status(self, key: str) -> Mapping[str, Any] | None:
        """The newest."""
        return self.memory.status(key)

    def pass_time(self) -> None:
        """Time is no matter here."""


class TestMemorySource(SourceSuite, UnreadableSuite):
    @pytest.fixture
    def world(self) -> World:
        """An empty source in memory."""
        return MemoryWorld()

    async def test_the_same_status_is_kept_once(self, world: World) -> None:
        """Telling the same again records nothing, so a test can count what changed."""
        memory = MemorySource()
        memory.drop("a.yaml", b"")
        for state in ("running", "running", "finished"):
            await memory.tell("a.yaml", {"state": state})
        assert [status["state"] for _, status in memory.told] == ["running", "finished"]
