"""Hints: supervisors tell every listener, wait for none, and bury the dead ones."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from controller.adapters.local_hints import Inbox, notify
from tests.adapters.local_world import LocalWorld


def test_every_listener_is_told(tmp_path: Path) -> None:
    """Each listener gets each name, once per reading, however often it was told."""
    boxes = [Inbox(str(tmp_path), number) for number in range(2)]
    for name in ("a", "b", "a"):
        notify(str(tmp_path), "default", name)
    for box in boxes:
        assert box.read() == [("default", "a"), ("default", "b")]
        assert box.read() == []
        box.close()
    assert list((tmp_path / ".listeners").iterdir()) == []


def test_the_dead_are_not_told_again(tmp_path: Path) -> None:
    """A pipe whose reader died is removed; where nobody ever listened nothing happens."""
    notify(str(tmp_path), "default", "a")
    box = Inbox(str(tmp_path), 0)
    os.close(box.descriptor)
    notify(str(tmp_path), "default", "a")
    assert list((tmp_path / ".listeners").iterdir()) == []


def test_a_listener_that_does_not_read_delays_nobody(tmp_path: Path) -> None:
    """A full pipe loses hints; what fitted is read whole."""
    box = Inbox(str(tmp_path), 0)
    for number in range(20_000):
        notify(str(tmp_path), "default", f"sweep-{number}")
    names = [name for _, name in box.read()]
    assert 100 < len(names) < 20_000
    assert names == [f"sweep-{number}" for number in range(len(names))]
    box.close()


async def test_a_supervisor_tells_of_start_and_end(tmp_path: Path) -> None:
    """A listener is told by the supervisor itself: no daemon has to look first."""
    world = LocalWorld(tmp_path)
    box = Inbox(str(tmp_path / "cluster"), 99)
    try:
        await world.cluster.create(world.job("sweep-1", "true"))
        told = 0
        for _ in range(500):
            told += len(box.read())
            if told:
                break
            await asyncio.sleep(0.01)
        assert told
    finally:
        box.close()
        await world.end()
