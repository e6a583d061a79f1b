"""One process of ``mongod``: how it is started, made a replica set, watched and ended.

Called by ``mongod`` only, which says where it keeps its data and who uses it.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import signal
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from pymongo import AsyncMongoClient
from pymongo.errors import OperationFailure, PyMongoError

from controller.adapters.local_proc import Proc, alive, look, send
from controller.adapters.mongod_log import tail
from controller.ports import BatchkeeperError

REPLICA_SET = "batchkeeper"
POLL = 0.02
STOPPING_SECONDS = 30.0
"""For each of the polite end and the other one; a mongod that closes a large cache takes a while."""

_NOT_YET_INITIALIZED = 94


class Running(NamedTuple):
    """A mongod that somebody started, as ``mongod.json`` has it."""

    proc: Proc
    socket: str

    @property
    def uri(self) -> str:
        """How to connect to it."""
        return f"mongodb://{quote(self.socket, safe='')}/?directConnection=true"


def command_of(binary: Path, state: Path, socket: str, cache_mb: int) -> list[str]:
    """How it is started: one member, journaled, on a private socket, with bounded cache and oplog."""
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


def spawn(command: list[str], log: Path) -> Proc:
    """Start it in a session of its own: a Ctrl-C in the terminal ends us, and we end it.

    The log begins anew, so that what it says of an end is about this one; the one before is kept. Raises
    ``OSError``; nothing runs then.
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
    found = look(pid)
    if found is None and os.waitpid(pid, os.WNOHANG) == (0, 0):  # it runs, and can't be looked at
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
    return found or Proc(pid, 0)


async def ready(state: Path, running: Running, patience: timedelta) -> bool:
    """Wait until it is primary, and make it a replica set where it is none yet; False when it ended."""
    try:
        async with asyncio.timeout(patience.total_seconds()), _client(running) as client:
            while not await _is_primary(client, running.socket):
                if not lives(running.proc):
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


async def stop(proc: Proc) -> None:
    """End a mongod: politely, then for good; returns when it is gone."""
    for number, seconds in ((signal.SIGTERM, STOPPING_SECONDS), (signal.SIGKILL, STOPPING_SECONDS)):
        send(proc, number)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while True:
                    if not lives(proc):
                        return
                    await asyncio.sleep(POLL)


def lives(proc: Proc) -> bool:
    """Whether this very process runs; collects it when it was our child and has ended."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(proc.pid, os.WNOHANG)
    return alive(proc)
