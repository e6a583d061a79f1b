"""A real folder as the world of a spec source: for the contract suite, and for the folder's own tests."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from controller.adapters.spec_directory import SpecDirectory
from controller.adapters.spec_directory_watch import SPEC_LIMIT
from tests.contract.source_suite import World


class FolderWorld(World):
    """Files in a folder; the monotonic clock is the test's."""

    source: SpecDirectory

    def __init__(self, folder: Path, bound: float = 30.0) -> None:
        self.limit = SPEC_LIMIT
        self.folder = folder
        self.bound = bound
        self.time = 0.0
        self.restart()

    def restart(self) -> None:
        """A new source that remembers nothing."""
        self.source = SpecDirectory(self.folder, lambda: self.time, self.bound)

    def put(self, key: str, content: bytes) -> None:
        """Write in place."""
        (self.folder / key).parent.mkdir(parents=True, exist_ok=True)
        (self.folder / key).write_bytes(content)

    def remove(self, key: str) -> None:
        """Unlink or remove."""
        (self.folder / key).unlink()

    def spoil(self, key: str) -> None:
        """A fifo: even root can't read it as a file."""
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
