"""Hints from supervisors to daemons that a job changed: one named pipe per listener, no polling.

A hint is ``<namespace>/<name>``; one that gets lost costs a second, never correctness. Standard
library only and few imports: each supervisor loads this.
"""

# pathlib would cost every supervisor several milliseconds of its start.
from __future__ import annotations

import contextlib
import errno
import os

from controller.adapters import local_proc

_LISTENERS = ".listeners"


def notify(root: str, namespace: str, name: str) -> None:
    """Tell every listener; never raises, never waits."""
    with contextlib.suppress(OSError):
        for listener in os.listdir(os.path.join(root, _LISTENERS)):
            if not listener.startswith("."):
                _tell(os.path.join(root, _LISTENERS, listener), f"{namespace}/{name}\n".encode())


def _tell(path: str, line: bytes) -> None:
    try:
        pipe = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno == errno.ENXIO:  # its reader is dead
            with contextlib.suppress(OSError):
                os.unlink(path)
        return
    try:
        with contextlib.suppress(OSError):  # full: the listener has enough to look at
            os.write(pipe, line)
    finally:
        os.close(pipe)


class Inbox:
    """The reading end of one named pipe. Raises ``OSError`` where no pipe can be made."""

    def __init__(self, root: str, number: int) -> None:
        folder = os.path.join(root, _LISTENERS)
        os.makedirs(folder, mode=0o700, exist_ok=True)
        me = local_proc.look(os.getpid())
        name = f"{os.getpid()}.{me.start if me else 0}.{number}"
        self._path = os.path.join(folder, name)
        # It gets its name only once it has a reader: a pipe without one is taken for a dead listener's.
        draft = os.path.join(folder, f".{name}")
        os.mkfifo(draft, 0o600)
        # Read-write, so that the pipe is never at its end when no supervisor has it open.
        self.descriptor = os.open(draft, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        os.rename(draft, self._path)
        self._rest = b""

    def read(self) -> list[tuple[str, str]]:
        """The (namespace, name) pairs that have arrived, each once; never waits."""
        with contextlib.suppress(BlockingIOError):
            self._rest += os.read(self.descriptor, 1 << 16)
        *lines, self._rest = self._rest.split(b"\n")
        pairs = (line.decode().partition("/") for line in lines)
        return list(dict.fromkeys((namespace, name) for namespace, _, name in pairs))

    def close(self) -> None:
        """Stop listening."""
        os.close(self.descriptor)
        with contextlib.suppress(OSError):
            os.unlink(self._path)
