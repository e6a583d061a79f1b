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
import fcntl
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import IO

from controller.adapters.mongod_binary import find_binary
from controller.adapters.mongod_folder import (
    clear_record,
    exclusively,
    read_record,
    socket_path,
    unrecorded,
    unusable,
    usable_folder,
    write_record,
)
from controller.adapters.mongod_log import explained
from controller.adapters.mongod_process import Running, command_of, lives, ready, spawn, stop
from controller.ports import BatchkeeperError

LOOK_SECONDS = 0.5
"""How often a user looks whether it still runs."""
LONGEST_WAIT_SECONDS = 30.0
"""Between two tries to start one again that does not start."""

Starter = Callable[[bool], Awaitable[Running]]
"""Finds the running one, or starts one; called under the lock. True: one that takes long is left to go on."""


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
        return lives(self._running.proc)

    async def revive(self) -> None:
        """Start it again after it has ended, unless another user has; the address stays the same.

        Raises ``BatchkeeperError`` when it does not start, or is not ready in time; then it goes on, so that
        what it has recovered so far is not lost, and the next call waits for it again.
        """
        async with exclusively(self._state):
            self._running = await self._start(True)

    async def release(self) -> None:
        """Let go of it; the last user stops it and waits until it is gone."""
        try:
            async with exclusively(self._state):
                await self._let_go()
        except BatchkeeperError:  # the folder was removed under it: nobody would ever find that mongod again
            await self._let_go()

    async def _let_go(self) -> None:
        with self._users:
            try:
                fcntl.flock(self._users, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return  # somebody else uses it still
            # Another user may have had to start a new one meanwhile.
            running = read_record(self._state) or self._running
            await stop(running.proc)
            clear_record(self._state, running)


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
        except (BatchkeeperError, OSError) as error:  # of the system too: too many open files, a full disk
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
    state = usable_folder(state)

    async def find_or_start(goes_on: bool = False) -> Running:
        running = read_record(state) or _taken_note_of(state)
        # One that was found may be dying at this very moment: then there is none.
        if running and await ready(state, running, patience):
            return running
        return await _started(state, binary, cache_mb, patience, goes_on)

    async with exclusively(state):
        users = (state / "mongod.users").open("ab")
        try:
            fcntl.flock(users, fcntl.LOCK_SH)
            running = await find_or_start()
        except BaseException:
            users.close()
            raise
    return Mongod(state, running, users, find_or_start)


def _taken_note_of(state: Path) -> Running | None:
    """One that runs without a record gets it."""
    if running := unrecorded(state):
        with contextlib.suppress(OSError):  # it serves all the same
            write_record(state, running)
    return running


async def _started(state: Path, binary: str, cache_mb: int, patience: timedelta, goes_on: bool) -> Running:
    """A new one, ready; one that is not ready in time is stopped again, unless it ``goes_on``."""
    running = await _start(state, binary, cache_mb)
    try:
        if await ready(state, running, patience):
            return running
        raise BatchkeeperError(explained(state))
    except BaseException:
        if not (goes_on and lives(running.proc)):
            await stop(running.proc)
            clear_record(state, running)
        raise


async def _start(state: Path, configured: str, cache_mb: int) -> Running:
    binary = await asyncio.to_thread(find_binary, configured, state)
    try:
        socket = socket_path(state)
        running = Running(spawn(command_of(binary, state, socket, cache_mb), state / "mongod.log"), socket)
    except OSError as error:
        raise unusable(state, error) from error
    try:
        write_record(state, running)
    except OSError as error:
        await stop(running.proc)  # the next one could not find it, and not start another beside it
        raise unusable(state, error) from error
    return running
