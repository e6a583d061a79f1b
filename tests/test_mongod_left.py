"""No mongod of ours is left running that nobody can find, whatever becomes of its record or its folder."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import shutil
from pathlib import Path

import pytest

from controller.adapters import mongod, mongod_process
from controller.adapters.mongod import acquire
from controller.adapters.mongod_process import Running
from controller.adapters.state_lock import StateLock
from controller.ports import BatchkeeperError
from tests.test_mongod import VERSION_6, another_user, note, notes, pid_it_uses, runs, script


async def test_one_that_nobody_wrote_down(state: Path) -> None:
    """After a crash between its start and its record it is found all the same: it holds the folder."""
    user = another_user(state)
    pid = pid_it_uses(user)
    user.kill()
    await asyncio.to_thread(user.communicate)
    (state / "mongod.json").unlink()
    used = await acquire(state)
    assert used.pid == pid
    await used.release()
    assert not runs(pid)


async def test_a_folder_that_is_removed_under_it(state: Path) -> None:
    """Its mongod ends with its last user: nobody would ever find it."""
    used = await acquire(state)
    _remove(state)
    await used.release()
    assert not runs(used.pid)


async def test_a_folder_with_a_comma(state: Path) -> None:
    """Its name is no list of addresses."""
    used = await acquire(state / "salt, and 100 % größer: @home")
    note(used, "there")
    assert notes(used) == ["there"]
    await used.release()


async def test_one_that_can_not_be_written_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not left running: nobody could find it, nor start another one beside it."""
    marker = tmp_path / "pid"
    slow = script(tmp_path / "mongod", f"{VERSION_6}echo $$ > {marker}; exec sleep 600")

    def full(folder: Path, running: Running) -> None:
        while not (marker.exists() and marker.read_text()):
            pass
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(mongod, "write_record", full)
    with pytest.raises(BatchkeeperError, match=r"can't be used \(No space left on device\): make room"):
        await acquire(tmp_path / "state", str(slow))
    assert not runs(int(marker.read_text()))


async def test_one_that_can_not_be_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With too many open files not even its start time can be read: it is not left running either."""
    pids: list[int] = []

    def blind(pid: int) -> None:
        pids.append(pid)

    slow = script(tmp_path / "mongod", f"{VERSION_6}exec sleep 600")
    monkeypatch.setattr(mongod_process, "look", blind)
    with pytest.raises(BatchkeeperError, match="Too many open files"):
        await acquire(tmp_path / "state", str(slow))
    assert len(pids) == 1
    assert not runs(pids[0])


async def test_a_file_system_without_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some network file systems have none: nobody holds the folder, and that is no bug."""

    def none(file: object, operation: int) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", none)
    told = r"can't be locked \(Function not implemented\): \w+ one on a local disk as state_dir"
    with pytest.raises(BatchkeeperError, match=told):
        await acquire(tmp_path / "state")
    with pytest.raises(BatchkeeperError, match=told):
        StateLock(tmp_path / "state").acquire()


def _remove(folder: Path) -> None:
    """Until nothing is left of it: new files are written into it meanwhile."""
    while folder.exists():
        shutil.rmtree(folder, ignore_errors=True)
