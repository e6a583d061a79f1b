"""What a mongod of our own leaves in the state folder: its record, its lock, its socket, its data.

Called by ``mongod`` only. ``mongod.json`` is believed only when that very process lives.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import hashlib
import json
import os
import shutil
import stat
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

from controller.adapters.local_proc import Proc, command_line, look
from controller.adapters.mongod_process import POLL, Running, lives
from controller.adapters.state_lock import no_locks
from controller.ports import BatchkeeperError

LONGEST_SOCKET_PATH = 100
"""Bytes; the system allows 107."""
ROOM = 600 * 2**20
"""Bytes that a new data folder needs: three journal files of 100 MiB and then some."""


def record_path(state: Path) -> Path:
    """Where the record of a running mongod is."""
    return state / "mongod.json"


def usable_folder(state: Path) -> Path:
    """The state folder, made if need be, with room for a new database."""
    state = state.absolute()
    try:
        (state / "mongo").mkdir(parents=True, exist_ok=True)
        (state / "mongod.users").touch()
        fresh = not (state / "mongo" / "WiredTiger").exists()
        free = shutil.disk_usage(state).free
    except OSError as error:
        raise unusable(state, error) from error
    if fresh and free < ROOM:
        raise BatchkeeperError(
            f"the disk with the state folder {state} has {free // 2**20} MiB left, a database needs "
            f"{ROOM // 2**20}: make room, or name another folder as state_dir in config.yaml"
        )
    return state


def unusable(state: Path, error: OSError) -> BatchkeeperError:
    """One line about a state folder that can't be used."""
    advice = "make room" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "name one you may write"
    return BatchkeeperError(
        f"the state folder {state} can't be used ({error.strerror}): {advice}, state_dir in config.yaml"
    )


@contextlib.asynccontextmanager
async def exclusively(state: Path) -> AsyncIterator[None]:
    """Nobody else starts or stops this folder's mongod meanwhile."""
    try:
        lock = (state / "mongod.starting").open("ab")
    except OSError as error:
        raise unusable(state, error) from error
    with lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                await asyncio.sleep(POLL)
            except OSError as error:  # as some network file systems say
                raise no_locks(state, error) from error
        yield


def read_record(state: Path) -> Running | None:
    """The mongod that the file names, if that very process still runs."""
    try:
        found = json.loads(record_path(state).read_text(encoding="utf-8"))
        running = Running(Proc(int(found["pid"]), int(found["start"])), str(found["socket"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return running if lives(running.proc) else None


def unrecorded(state: Path) -> Running | None:
    """A mongod of ours that no record names, as after a crash before it was written: it holds the folder."""
    with contextlib.suppress(OSError, ValueError):
        proc = look(int((state / "mongo" / "mongod.lock").read_text(encoding="utf-8")))
        words = command_line(proc).decode(errors="surrogateescape").split("\0") if proc else []
        if proc and str(state / "mongo") in words and "--bind_ip" in words[:-1]:
            return Running(proc, words[words.index("--bind_ip") + 1])
    return None


def clear_record(state: Path, running: Running) -> None:
    """Forget a mongod that has ended, and its socket."""
    record_path(state).unlink(missing_ok=True)
    socket = Path(running.socket)
    socket.unlink(missing_ok=True)
    if socket.parent != state:
        with contextlib.suppress(OSError):
            socket.parent.rmdir()  # a private folder of ours is empty now; any other one stays


def write_record(state: Path, running: Running) -> None:
    """Say where a mongod is; atomic, and first of all after its start."""
    facts = {
        "pid": running.proc.pid,
        "start": running.proc.start,
        "socket": running.socket,
        "uri": running.uri,
    }
    half = record_path(state).with_suffix(".part")
    half.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    half.replace(record_path(state))


def socket_path(state: Path) -> str:
    """The path of the socket, always the same one: in the state folder, or where it is short enough."""
    path = state / "mongod.sock"
    if len(os.fsencode(path)) > LONGEST_SOCKET_PATH or "," in str(path):  # mongod takes a list of addresses
        path = private_folder(state) / "mongod.sock"
    path.unlink(missing_ok=True)
    return str(path)


def private_folder(state: Path) -> Path:
    """A folder for temporary files that belongs to this state folder, and to nobody but us."""
    digest = hashlib.sha256(os.fsencode(state)).hexdigest()[:16]
    folder = Path(tempfile.gettempdir()) / f"batchkeeper-{os.geteuid()}-{digest}"
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
        raise BatchkeeperError(f"{folder} is not a private folder of ours: remove it, or set TMPDIR")
    return folder
