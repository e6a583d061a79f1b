"""Starts supervisors, and starts them again when they died before their job ran.

Two supervisors for one folder do no harm: the second leaves. Called by ``local_tending``, in threads.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from controller.adapters import local_environment, local_output
from controller.adapters.local_folders import QUEUED, Folders, Record

_PROGRAM = Path(__file__).with_name("local_supervisor.py")
_LONGEST_PAUSE = 30.0
"""Seconds between attempts to start a supervisor that won't start."""
_FORGOTTEN = 600.0
"""Seconds after which a failed start that nobody asked about again is forgotten."""
_DEFAULTS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE, signal.SIGXFSZ, signal.SIGCHLD)


@dataclass(slots=True)
class _Launch:
    errors: str
    """The file that its standard error goes to."""
    pid: int
    """The supervisor, a child of this process; 0 when it could not be started or has failed."""
    tries: int
    again: float
    """Not to be started again before this (monotonic)."""
    problem: str = ""


class Launcher:
    """The supervisors that this process started."""

    def __init__(self, folders: Folders) -> None:
        self._folders = folders
        self._launches: dict[str, _Launch] = {}
        self._lock = threading.Lock()

    def ensure(self, record: Record) -> None:
        """Start a supervisor for a queued folder that has none, unless that failed a moment ago."""
        with self._lock:
            last = self._launches.get(record.uid)
            now = time.monotonic()
            if last and (last.pid or now < last.again):
                return
            tries = last.tries + 1 if last else 1
            errors = self._folders.path(record.namespace, record.name, "supervisor.err")
            launch = _Launch(errors, 0, tries, now + min(2.0 ** (tries - 2), _LONGEST_PAUSE))
            try:
                launch.pid = self._spawn(record, errors)
            except OSError as error:
                launch.problem = f"the job's supervisor can't be started: {error.strerror}"
            self._launches[record.uid] = launch

    def problem(self, record: Record) -> str:
        """Why a queued job has no supervisor although it should, or empty."""
        launch = self._launches.get(record.uid) if record.phase == QUEUED else None
        return launch.problem if launch else ""

    def collect(self) -> None:
        """Take note of supervisors that ended, so that none of them stays a zombie."""
        with self._lock:
            for uid, launch in list(self._launches.items()):
                code = _exit_code(launch.pid) if launch.pid else None
                stale = not launch.pid and time.monotonic() > launch.again + _FORGOTTEN
                if code == 0 or stale:
                    del self._launches[uid]
                elif code is not None:
                    launch.pid = 0
                    how = f"it was killed by signal {-code}" if code < 0 else f"exit code {code}"
                    why = local_output.last_line(launch.errors) or how
                    launch.problem = f"the job's supervisor failed: {why}"

    def _spawn(self, record: Record, errors: str) -> int:
        folder = self._folders.path(record.namespace, record.name)
        interpreter = sys.executable
        env = local_environment.base(os.environ, interpreter)
        job = record.job["run"]["identity"]["BATCHKEEPER_JOB"]
        read, write = os.O_RDONLY, os.O_WRONLY | os.O_CREAT | os.O_APPEND
        return os.posix_spawn(
            interpreter,
            [interpreter, "-I", "-S", str(_PROGRAM), folder, record.uid],
            {**env, "BATCHKEEPER_JOB": job},
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, read, 0),
                (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
                (os.POSIX_SPAWN_OPEN, 2, errors, write, 0o600),
            ],
            setsid=True,
            setsigmask=[],
            setsigdef=_DEFAULTS,
        )


def _exit_code(pid: int) -> int | None:
    """The exit code of a child that ended; None while it runs."""
    try:
        done, status = os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return 0
    return os.waitstatus_to_exitcode(status) if done else None
