"""A configured server that is up before somebody has initiated its replica set."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from controller.adapters.mongo import open_store
from controller.adapters.mongod_binary import find_binary
from controller.adapters.mongod_process import Running, command_of, ready, spawn, stop
from controller.ports import Unavailable
from tests.e2e.waiting import wait_for


async def test_a_replica_set_that_is_not_initiated_yet_is_waited_for(root: Path) -> None:
    """It is no reason to give up: whoever starts both at once initiates it a moment later."""
    (root / "mongo").mkdir()
    socket = root / "mongod.sock"
    command = command_of(find_binary("", root), root, str(socket), 256)
    running = Running(spawn(command, root / "mongod.log"), str(socket))
    try:
        wait_for("its socket", socket.exists)
        with pytest.raises(Unavailable, match=r"rs\.initiate"):
            await open_store(running.uri, "late", timedelta(seconds=20))
        assert await ready(root, running, timedelta(seconds=60))
        store = await open_store(running.uri, "late", timedelta(seconds=20))
        await store.close()
    finally:
        await stop(running.proc)
