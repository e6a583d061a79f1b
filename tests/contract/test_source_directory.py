"""A real folder keeps the spec source's contract."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from controller.adapters.spec_directory import SpecDirectory
from controller.adapters.spec_directory_watch import SPEC_LIMIT
from tests.contract.source_suite import SourceSuite, World


class FolderWorld(World):
    """Files in a folder; the monotonic clock is the test's."""

    def __init__(self, folder: Path) -> None:
        self.limit = SPEC_LIMIT
        self.folder = folder
        self.time = 0.0
        self.source = SpecDirectory(folder, lambda: self.time)

    def put(self, key: str, content: bytes) -> None:
        """Write in place."""
        (self.folder / key).write_bytes(content)

    def remove(self, key: str) -> None:
        """Unlink or remove."""
        (self.folder / key).unlink()

    def spoil(self, key: str) -> None:
        """A socket's or fifo's name can't be read as a file, by root neither."""
        os.mkfifo(self.folder / key)

    def lose(self) -> None:
        """Take the folder away."""
        self.folder.rename(self.folder.with_name("away"))

    def heal(self) -> None:
        """Bring it back."""
        self.folder.with_name("away").rename(self.folder)

    def status(self, key: str) -> Mapping[str, Any] | None:
        """Read what a person would."""
        path = self.folder / f"{key}.status.yaml"
        return YAML(typ="safe").load(path.read_text()) if path.exists() else None

    def pass_time(self) -> None:
        """Two seconds, as between two scans."""
        self.time += 2.0


class TestSpecDirectory(SourceSuite):
    @pytest.fixture
    def world(self, tmp_path: Path) -> World:
        """An empty folder."""
        folder = tmp_path / "specs"
        folder.mkdir()
        return FolderWorld(folder)
