"""The cluster of local processes keeps the contract, with real processes and real files."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from controller.adapters.local_history import Entry
from controller.ports import NewJob
from tests.adapters.local_world import LocalWorld
from tests.contract.cluster_suite import ClusterSuite
from tests.contract.cluster_world import NS, Does, World

COMMANDS: dict[Does, Sequence[str]] = {
    Does.SUCCEED: ("sh", "-c", "echo first; echo last"),
    Does.FAIL: ("sh", "-c", "exit 3"),
    Does.STAY: ("sleep", "600"),
    Does.IGNORE: ("sh", "-c", "trap '' TERM; while :; do sleep 0.05; done"),
}


class RealWorld(World):
    """Small commands; somebody else's object is a folder without labels."""

    def __init__(self, local: LocalWorld) -> None:
        self.local = local
        self.cluster = local.cluster

    def job(self, name: str, does: Does, job_id: str = "") -> NewJob:
        """A command."""
        return self.local.job(name, *COMMANDS[does], job_id=job_id)

    async def pass_time(self) -> None:
        """Wait."""
        await asyncio.sleep(0.04)

    def add_foreign(self, name: str) -> str:
        """A folder made by hand; what it is called by is up to the cluster."""
        folder = self.local.folder(name)
        folder.mkdir(parents=True)
        return f"folder-{folder.stat().st_ino}"

    def remove_foreign(self, name: str) -> None:
        """By hand."""
        self.local.folder(name).rmdir()

    def history(self) -> Sequence[Entry]:
        """The file."""
        return self.local.history()


class TestLocalProcesses(ClusterSuite):
    """The suite."""

    @pytest.fixture
    async def world(self, tmp_path: Path) -> AsyncIterator[World]:
        """In a folder of its own; nothing of it runs on after the test."""
        local = LocalWorld(tmp_path, NS)
        yield RealWorld(local)
        await local.end()
