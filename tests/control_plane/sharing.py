"""One control plane for all workers of a test run: whoever comes first has it started.

Called by ``fixtures``. Users find each other by a key; the keeper ends the control plane when the last one
has let go of its connection.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
PATIENCE = 180.0
"""Seconds in which a control plane must be ready, on a machine that is busy with other things."""
POLL = 0.05


class Failed(Exception):
    """The control plane did not start, or did not obey; the message says what its programs said."""


class Hold:
    """One user's hold on a control plane."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._answers = connection.makefile("rb")
        self._one_at_a_time = threading.Lock()
        self.about: dict[str, Any] = json.loads(self._answers.readline())
        """What the keeper said when it greeted us."""

    def order(self, do: str, name: str = "") -> dict[str, Any]:
        """Have the keeper do something, and wait until it is done. Raises ``Failed``."""
        with self._one_at_a_time:
            self._connection.sendall(json.dumps({"do": do, "name": name}).encode() + b"\n")
            answer: dict[str, Any] = json.loads(self._answers.readline())
        if "error" in answer:
            raise Failed(answer["error"])
        return answer

    def release(self) -> None:
        """Let go of it."""
        self._answers.close()
        self._connection.close()


def acquire(key: str, binaries: Path) -> Hold:
    """The control plane of that key, started unless somebody holds it already. Raises ``Failed``."""
    folder = Path(tempfile.gettempdir()) / f"bk-control-plane-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    path = folder / f"{key[:16]}.sock"
    with _alone(folder / "starting.lock"):
        return _connected(path) or _started(path, binaries)


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    with path.open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _connected(path: Path) -> Hold | None:
    """Become a user of what listens there; None: nothing does, or it is just going."""
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.connect(os.fspath(path))
        return Hold(connection)
    except (OSError, ValueError):
        connection.close()
        return None


def _started(path: Path, binaries: Path) -> Hold:
    """Start a keeper and be its first user."""
    path.unlink(missing_ok=True)
    log = path.with_suffix(".log")
    with log.open("wb") as said:
        keeper = subprocess.Popen(
            [sys.executable, "-m", "tests.control_plane.keeper", str(path), str(binaries)],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            start_new_session=True,  # a Ctrl-C in the terminal ends its users, which ends it
        )
    until = time.monotonic() + PATIENCE
    while keeper.poll() is None:
        if hold := _connected(path):
            keeper.returncode = 0  # not ours to wait for: it outlives us when another worker uses it still
            return hold
        if time.monotonic() > until:
            keeper.kill()
        time.sleep(POLL)
    raise Failed(f"no control plane: {log.read_text(errors='replace')[-2000:]}")
