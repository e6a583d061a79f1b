"""The logs of jobs whose folders are gone take no more room than they may, the oldest going first."""

from __future__ import annotations

import asyncio
import os
import time
from contextlib import aclosing
from pathlib import Path

from controller.adapters import local_logs
from tests.adapters.local_world import LocalWorld

SIZE = 64 * 1024


def log(root: Path, name: str, age: float) -> Path:
    """A log that was written to so many seconds ago."""
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * SIZE)
    os.utime(path, (1e9 - age, 1e9 - age))
    return path


def test_the_oldest_logs_go(tmp_path: Path) -> None:
    """Of all namespaces together; what fits stays, and a second look removes nothing."""
    old, new, older, newer = (
        log(tmp_path, name, age)
        for name, age in (("a/1.log", 30.0), ("a/2.log", 10.0), ("b/1.log", 40.0), ("b/2.log", 0.0))
    )
    assert local_logs.prune(str(tmp_path), 4 * SIZE) == 0
    assert local_logs.prune(str(tmp_path), 3 * SIZE - 1) == 2
    assert [path.exists() for path in (old, new, older, newer)] == [False, True, False, True]
    assert local_logs.prune(str(tmp_path), 3 * SIZE - 1) == 0


def test_what_is_no_log_stays(tmp_path: Path) -> None:
    """A folder that somebody put there, a link and what it leads to; without any log nothing is said."""
    theirs = log(tmp_path / "theirs", "a/1.log", 50.0)
    logs = tmp_path / "logs"
    assert local_logs.prune(str(logs), 0) == 0
    ours = log(logs, "a/1.log", 0.0)
    (logs / "a" / "folder").mkdir()
    (logs / "a" / "link.log").symlink_to(theirs)
    (logs / "link").symlink_to(theirs.parent)
    (logs / "file").touch()
    assert local_logs.prune(str(logs), 0) == 1
    assert not ours.exists()
    assert theirs.exists()
    assert (logs / "a" / "link.log").is_symlink()


async def test_old_logs_go_while_somebody_listens(tmp_path: Path) -> None:
    """A daemon removes what is too much; a command that only looks at a job does not."""
    world = LocalWorld(tmp_path, kept_logs=SIZE)
    logs = tmp_path / "cluster" / "logs" / "default"
    old, new = log(logs, "sweep-1.log", 10.0), log(logs, "sweep-2.log", 0.0)
    try:
        await world.cluster.observe(["default"])
        assert old.exists()
        async with aclosing(world.cluster.changes()) as changes:  # type: ignore[type-var]
            await anext(changes)
            listening = asyncio.ensure_future(anext(changes))
            until = time.monotonic() + 30
            while old.exists() and time.monotonic() < until:
                await asyncio.sleep(0.02)
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)
        assert not old.exists()
        assert new.exists()
    finally:
        await world.end()
