"""A real folder keeps the spec source's contract."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.contract.folder_world import FolderWorld
from tests.contract.source_suite import SourceSuite, UnreadableSuite, World


class TestSpecDirectory(SourceSuite, UnreadableSuite):
    @pytest.fixture
    def world(self, tmp_path: Path) -> World:
        """An empty folder."""
        folder = tmp_path / "specs"
        folder.mkdir()
        return FolderWorld(folder)
