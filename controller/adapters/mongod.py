"""A real ``mongod`` of our own: a single-member replica set in the state folder, shared by whoever needs it.

Called by ``app`` and by every command when no MongoDB address is configured. It listens on a unix socket
in the state folder that only this user may open; no port is taken and nobody else can connect.

Whoever comes first starts it and whoever leaves last stops it: each user holds a shared lock on
``mongod.users``, which the kernel takes back when a user is killed. Starting and stopping happen under
an exclusive lock, so two commands never start two. ``mongod.json`` says where it is; it is believed
only when that very process lives and answers.
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
import signal
import stat
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import IO, Any, NamedTuple
from urllib.parse import quote

from pymongo import AsyncMongoClient
from pymongo.errors import OperationFailure, PyMongoError

from controller.adapters.local_proc import Proc, alive, look, send
from controller.adapters.mongod_binary import find_binary
from controller.adapters.mongod_log import explained, tail
from controller.ports import BatchkeeperError

REPLICA_SET = "batchkeeper"
LONGEST_SOCKET_PATH = 100
"""Bytes; the system allows 107."""
ROOM = 600 * 2**20
"""Bytes that a new data folder needs: three journal files of 100 MiB and then some."""
POLL = 0.02
LOOK_SECONDS = 0.5
"""How often a user looks whether it still runs."""
LONGEST_WAIT_SECONDS = 30.0
"""Between two tries to start one again that does not start."""
STOPPING_SECONDS = 30.0

_NOT_YET_INITIALIZED = 94
_ALREADY_INITIALIZED = 23


class Running(NamedTuple):
    """A mongod that somebody started, as ``mongod.json`` has it."""

    proc: Proc
    socket: str

    @property
    def uri(self) -> str:
        """How to connect to it."""
        return f"mongodb://{quote(self.socket, safe='')}/?directConnection=true"


Starter = Callable[[], Awaitable[Running]]
"""Finds the running one, or starts one; called under the lock."""


class Mongod:
    """One user's hold on the mongod of a state folder."""

    def __init__(self, state: Path, running: Running, users: IO[bytes], start: Starter) -> None:
        self._state = state
        self._running = running
        self._users = users
        self._start = start

    @property
    def uri(self) -> str:
        """How to connect to it."""
        return self._running.uri

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._running.proc.pid

    def runs(self) -> bool:
        """Whether it still runs, as far as its process tells."""
        return _lives(self._running.proc)

    async def revive(self) -> None:
        """Start it again after it has ended, unless another user has; the address stays the same.

        Raises ``BatchkeeperError`` when it does not start.
        """
        async with _exclusive(self._state):
            self._running = await self._start()

    async def release(self) -> None:
        """Let go of it; the last user stops it and waits until it is gone."""
        async with _exclusive(self._state):
            with self._users:
                try:
                    fcntl.flock(self._users, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    return  # somebody else uses it still
                # Another user may have had to start a new one meanwhile.
                running = _read(self._state) or self._running
                await stop(running.proc)
                _clear(self._state, running)


@contextlib.asynccontextmanager
async def database_uri(
    configured: str,
    state: Path,
    binary: str = "",
    cache_mb: int = 256,
    say: Callable[[str], None] = lambda line: None,
) -> AsyncIterator[str]:
    """The address of the database: the configured one, else that of a mongod of our own meanwhile.

    One of our own that is killed is started again at the same address; ``say`` gets one line each time.
    """
    if configured:
        yield configured
        return
    mongod = await acquire(state, binary, cache_mb)
    keeper = asyncio.create_task(_keep(mongod, say))
    try:
        yield mongod.uri
    finally:
        keeper.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await keeper
        await mongod.release()


async def _keep(mongod: Mongod, say: Callable[[str], None]) -> None:
    """Start it again whenever it has ended; what keeps it from starting is tried less and less often."""
    wait = LOOK_SECONDS
    while True:
        await asyncio.sleep(wait)
        if mongod.runs():
            continue
        try:
            await mongod.revive()
        except BatchkeeperError as error:
            say(str(error))
            wait = min(2 * wait, LONGEST_WAIT_SECONDS)
        else:
            say(f"mongod had ended by itself and was started again (pid {mongod.pid})")
            wait = LOOK_SECONDS


async def acquire(
    state: Path, binary: str = "", cache_mb: int = 256, patience: timedelta = timedelta(seconds=60)
) -> Mongod:
    """Find this state folder's mongod, or start it; returns when it accepts writes.

    ``binary``: a configured path, or empty. Raises ``BatchkeeperError``, one line with what to do, when
    none can run here or it is not ready within ``patience``.
    """
    state = _folder(state)

    async def find_or_start() -> Running:
        running = _read(state)
        # One that was found may be dying at this very moment: then there is none.
        if running and await _ready(state, running, patience):
            return running
        return await _started(state, binary, cache_mb, patience)

    async with _exclusive(state):
        users = (state / "mongod.users").open("ab")
        try:
            fcntl.flock(users, fcntl.LOCK_SH)
            running = await find_or_start()
        except BaseException:
            users.close()
            raise
    return Mongod(state, running, users, find_or_start)


async def _started(state: Path, binary: str, cache_mb: int, patience: timedelta) -> Running:
    """A new one, ready; one that is not ready in time is stopped again."""
    running = await _start(state, binary, cache_mb)
    try:
        if await _ready(state, running, patience):
            return running
        raise BatchkeeperError(explained(state))
    except BaseException:
        await stop(running.proc)
        _clear(state, running)
        raise


async def stop(proc: Proc) -> None:
    """End a mongod: politely, then for good; returns when it is gone."""
    for number, seconds in ((signal.SIGTERM, STOPPING_SECONDS), (signal.SIGKILL, STOPPING_SECONDS)):
        send(proc, number)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while True:
                    if not _lives(proc):
                        return
                    await asyncio.sleep(POLL)


def _lives(proc: Proc) -> bool:
    """Whether this very process runs; collects it when it was our child and has ended."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(proc.pid, os.WNOHANG)
    return alive(proc)


# ------------------------------------------------------------------------------------ the state folder


def _record(state: Path) -> Path:
    return state / "mongod.json"


def _folder(state: Path) -> Path:
    """The state folder, made if need be, with room for a new database."""
    state = state.absolute()
    try:
        (state / "mongo").mkdir(parents=True, exist_ok=True)
        (state / "mongod.users").touch()
        fresh = not (state / "mongo" / "WiredTiger").exists()
        free = shutil.disk_usage(state).free
    except OSError as error:
        raise _unusable(state, error) from error
    if fresh and free < ROOM:
        raise BatchkeeperError(
            f"the disk with the state folder {state} has {free // 2**20} MiB left, a database needs "
            f"{ROOM // 2**20}: make room, or name another folder as state_dir in config.yaml"
        )
    return state


def _unusable(state: Path, error: OSError) -> BatchkeeperError:
    advice = "make room" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "name one you may write"
    return BatchkeeperError(
        f"the state folder {state} can't be used ({error.strerror}): {advice}, state_dir in config.yaml"
    )


@contextlib.asynccontextmanager
async def _exclusive(state: Path) -> AsyncIterator[None]:
    """Nobody else starts or stops this folder's mongod meanwhile."""
    try:
        lock = (state / "mongod.starting").open("ab")
    except OSError as error:
        raise _unusable(state, error) from error
    with lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                await asyncio.sleep(POLL)
        yield


def _read(state: Path) -> Running | None:
    """The mongod that the file names, if that very process still runs."""
    try:
        found = json.loads(_record(state).read_text(encoding="utf-8"))
        running = Running(Proc(int(found["pid"]), int(found["start"])), str(found["socket"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return running if _lives(running.proc) else None


def _clear(state: Path, running: Running) -> None:
    _record(state).unlink(missing_ok=True)
    folder = Path(running.socket).parent
    if folder != state:
        shutil.rmtree(folder, ignore_errors=True)


def _write(state: Path, running: Running) -> None:
    facts = {
        "pid": running.proc.pid,
        "start": running.proc.start,
        "socket": running.socket,
        "uri": running.uri,
    }
    half = _record(state).with_suffix(".part")
    half.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    half.replace(_record(state))


# -------------------------------------------------------------------------------------------- starting


async def _start(state: Path, configured: str, cache_mb: int) -> Running:
    binary = await asyncio.to_thread(find_binary, configured, state)
    socket = _socket(state)
    try:
        proc = _spawn(_command(binary, state, socket, cache_mb), state / "mongod.log")
        running = Running(proc, socket)
        _write(state, running)
    except OSError as error:
        raise _unusable(state, error) from error
    return running


def _socket(state: Path) -> str:
    """The path of the socket, always the same one: in the state folder, or where it is short enough."""
    path = state / "mongod.sock"
    if len(os.fsencode(path)) > LONGEST_SOCKET_PATH:
        path = _private_folder(state) / "mongod.sock"
    path.unlink(missing_ok=True)
    return str(path)


def _private_folder(state: Path) -> Path:
    """A folder for temporary files that belongs to this state folder, and to nobody but us."""
    digest = hashlib.sha256(os.fsencode(state)).hexdigest()[:16]
    folder = Path(tempfile.gettempdir()) / f"batchkeeper-{os.geteuid()}-{digest}"
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
        raise BatchkeeperError(f"{folder} is not a private folder of ours: remove it, or set TMPDIR")
    return folder


def _command(binary: Path, state: Path, socket: str, cache_mb: int) -> list[str]:
    return [
        str(binary),
        *("--dbpath", str(state / "mongo")),
        *("--replSet", REPLICA_SET),
        *("--bind_ip", socket, "--nounixsocket"),  # this socket, and not one in /tmp as well
        *("--wiredTigerCacheSizeGB", str(cache_mb / 1024)),
        *("--oplogSize", "512"),  # MiB; the default is a twentieth of the disk
        *("--setParameter", "diagnosticDataCollectionEnabled=false"),
        "--quiet",
    ]


def _spawn(command: list[str], log: Path) -> Proc:
    """Start it in a session of its own: a Ctrl-C in the terminal ends us, and we end it.

    The log begins anew, so that what it says of an end is about this one; the one before is kept.
    """
    if log.exists():
        log.replace(log.with_suffix(".log.1"))
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    pid = os.posix_spawn(
        command[0],
        command,
        os.environ,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(log), flags, 0o600),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setsid=True,
    )
    return look(pid) or Proc(pid, 0)


async def _ready(state: Path, running: Running, patience: timedelta) -> bool:
    """Wait until it is primary, and make it a replica set where it is none yet; False when it ended."""
    try:
        async with asyncio.timeout(patience.total_seconds()), _client(running) as client:
            while not await _is_primary(client, running.socket):
                if not _lives(running.proc):
                    return False
                await asyncio.sleep(POLL)
            return True
    except TimeoutError as error:
        raise BatchkeeperError(
            f"mongod (pid {running.proc.pid}) was not ready after {patience.total_seconds():g} s; "
            f"its log {state / 'mongod.log'} ends: {tail(state)}"
        ) from error


def _client(running: Running) -> AsyncMongoClient[dict[str, Any]]:
    return AsyncMongoClient(running.uri, serverSelectionTimeoutMS=200, socketTimeoutMS=2000)


async def _is_primary(client: AsyncMongoClient[dict[str, Any]], socket: str) -> bool:
    """Whether it accepts writes. Asked before it listens, the driver would look again only much later."""
    if not _listens(socket):
        return False
    try:
        if (await client.admin.command("hello"))["isWritablePrimary"]:
            return True
        await _configure(client, socket)
    except PyMongoError:
        return False
    return False


def _listens(socket: str) -> bool:
    return Path(socket).exists()


async def _configure(client: AsyncMongoClient[dict[str, Any]], socket: str) -> None:
    """Make it a replica set of one, or tell one whose folder was moved its new address."""
    member = {"_id": 0, "host": socket}
    try:
        config = (await client.admin.command("replSetGetConfig"))["config"]
    except OperationFailure as error:
        if error.code != _NOT_YET_INITIALIZED:
            raise
        await client.admin.command("replSetInitiate", {"_id": REPLICA_SET, "members": [member]})
        return
    if config["members"][0]["host"] != socket:
        config["members"][0]["host"] = socket
        config["version"] += 1
        await client.admin.command("replSetReconfig", config, force=True)
