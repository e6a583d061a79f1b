"""The lock on the state folder: one leader on one machine (R12). The kernel lets go when a process dies.

Called by ``app``. The lock is for efficiency and for a clear line to the second daemon; what keeps two
leaders harmless is the epoch and the gate.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import math
import os
import time
from pathlib import Path
from typing import IO

from controller.ports import BatchkeeperError


class AlreadyLed(BatchkeeperError):
    """Another daemon holds this state folder."""


AGAIN, MOST = 1.0, 60.0
"""Seconds after which a daemon stands again whose term has ended: twice as many after each short one, at most
so many. It could not begin while its database was away, or found a newer leader of it."""
LONG = 2 * MOST
"""Seconds from one election to the next after which that was no short term."""


ASKING_SECONDS = 0.5
"""For so long the lock may be another one's who only asks whether it is held: see ``StateLock.held``."""


class LockElector:
    """The candidate that holds the lock on the state folder: on one machine it is elected by starting.

    It is overtaken only where daemons of two state folders share one database.
    """

    def __init__(self, identity: str) -> None:
        self.identity = identity
        self.trouble = ""
        self._pause = 0.0
        self._elected = -math.inf

    async def acquire(self) -> None:
        """See ``Elector.acquire``."""
        now = asyncio.get_running_loop().time()
        if now - self._elected < LONG:
            self._pause = min(MOST, 2 * self._pause or AGAIN)
            await asyncio.sleep(self._pause)
        else:
            self._pause = 0.0
        self._elected = asyncio.get_running_loop().time()

    async def lost(self) -> str:
        """See ``Elector.lost``: the kernel holds the lock for as long as this process lives."""
        await asyncio.Event().wait()
        return ""

    async def release(self) -> None:
        """See ``Elector.release``: the lock goes with the process."""


class StateLock:
    """An exclusive lock on ``<state>/lock``, with the holder's pid in it for people."""

    def __init__(self, state: Path) -> None:
        self.path = state / "lock"
        self._file: IO[str] | None = None

    def acquire(self) -> None:
        """Take the lock now. Raises ``AlreadyLed`` naming its holder, or ``BatchkeeperError``."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            file = self.path.open("a+", encoding="utf-8")
        except OSError as error:
            raise BatchkeeperError(
                f"the state folder {self.path.parent} can't be used ({error.strerror}): "
                "give a folder you may write as state_dir in config.yaml"
            ) from error
        try:
            _lock(file)
        except BlockingIOError as error:
            file.close()
            who = f" (pid {self.holder()})" if self.holder() else ""
            raise AlreadyLed(
                f"another daemon{who} holds the state folder {self.path.parent}: use it with "
                "'batchkeeper submit' and 'batchkeeper status', or give this one its own state_dir"
            ) from error
        except OSError as error:  # as some network file systems say
            file.close()
            raise no_locks(self.path.parent, error) from error
        with contextlib.suppress(OSError):  # a full disk must not keep the only daemon out
            file.truncate(0)
            file.write(f"{os.getpid()}\n")
            file.flush()
        self._file = file

    def holder(self) -> int | None:
        """The pid that the file names, if it names one."""
        try:
            return int(self.path.read_text(encoding="utf-8").strip() or 0) or None
        except (OSError, ValueError):
            return None

    def held(self) -> bool:
        """Whether somebody else holds the lock at this moment."""
        try:
            with self.path.open("r", encoding="utf-8") as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False

    def release(self) -> None:
        """Let go."""
        if self._file:
            self._file.close()
            self._file = None


def no_locks(state: Path, error: OSError) -> BatchkeeperError:
    """One line about a state folder on a file system without locks."""
    return BatchkeeperError(
        f"the state folder {state} can't be locked ({error.strerror}): name one on a local disk as "
        "state_dir in config.yaml"
    )


def _lock(file: IO[str]) -> None:
    """Raises ``BlockingIOError`` when a daemon has it, ``OSError`` where there are no locks."""
    give_up = time.monotonic() + ASKING_SECONDS
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= give_up:
                raise
            time.sleep(0.01)
        else:
            return
