"""One job from its start to its end: at most once ever, within its limits, with nothing left behind.

Runs in the supervisor process (``local_supervisor``). Standard library only and few imports.
"""

# pathlib would cost every supervisor several milliseconds of its start.
from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import time
from collections.abc import Callable

from controller.adapters import (
    local_apart,
    local_child,
    local_ends,
    local_files,
    local_hints,
    local_history,
)
from controller.adapters import local_proc as proc
from controller.adapters.local_child import Child
from controller.adapters.local_environment import NotStartable, environment
from controller.adapters.local_files import Json
from controller.adapters.local_folders import FINISHED, QUEUED, RUNNING, Folders, Record
from controller.adapters.local_memory import Meter
from controller.adapters.local_output import Output

_MOUNT_TIMEOUT = 30.0
"""Seconds a hostPath or the working directory may take to answer before the mount has failed."""
_RETRY = 1.0
"""Seconds between attempts to write to a disk that is full."""


def supervise(folder: str, uid: str) -> None:
    """Run the job of this folder if it is still this object, was never run, and nobody else has it."""
    lock = local_files.try_lock(os.path.join(folder, "lock"))
    if lock is None:
        return
    rest, name = os.path.split(folder)
    root, namespace = os.path.split(rest)
    folders = Folders(root)
    record = folders.read(namespace, name)
    # Once it is ``running`` its command may have run: whatever became of it, it is never run again.
    if record and record.uid == uid and not record.tombstone and record.phase == QUEUED:
        Supervision(folders, record, lock).run()


class Supervision:
    """The life of one job. ``lock``: the descriptor of its lock file, held."""

    def __init__(self, folders: Folders, record: Record, lock: int) -> None:
        self._folders = folders
        self._record = record
        self._lock = lock
        self._run: Json = record.job["run"]
        self._folder = folders.path(record.namespace, record.name)
        self._output = Output(os.path.join(self._folder, "log"), self._run["log_bytes"])
        self._meter = Meter(self._run["memory"])
        mark = f"BATCHKEEPER_JOB={self._run['identity']['BATCHKEEPER_JOB']}"
        self._apart = local_apart.Apart(os.path.join(self._folder, local_apart.NAME), mark)
        self._status: Json = {}
        self._child: Child | None = None
        self._code: int | None = None
        self._report: Json | None = None
        self._cause: Json = {}
        self._started_at: float | None = None
        self._kill_at: float | None = None
        self._shutdown = False
        self._poll = select.poll()
        self._wakeup = -1

    def run(self) -> None:
        """Start, watch, end, clean up, record: each of these in its order."""
        self._listen_to_signals()
        local_child.adopt_orphans()
        me = proc.look(os.getpid())
        self._status = {
            "phase": QUEUED,
            "boot": proc.boot_id(),
            "supervisor": me,
            "scheduled": local_files.mark(),
        }
        if self._insist(lambda: self._folders.note(self._record, self._status), abandon=self._unwanted):
            self._start()
            while self._child and self._code is None:
                self._let_run(self._run["sample"])
                self._watch()
        self._clear_away()
        self._finish()

    # ---------------------------------------------------------------------------------------- the start

    def _start(self) -> None:
        if self._unwanted():
            return
        if self._run["fault"]:
            if self._begin():
                self._output.write(self._run["fault"].encode() + b"\n")
                self._report = local_ends.INJECTED_FAULT
            return
        if not self._insist(lambda: local_child.make_folders(self._run, self._folder), self._unwanted):
            return
        try:
            env = environment(self._run, self._folder, os.environ)
            self._child = local_child.fork(self._run, env, self._folder)
        except NotStartable as error:
            self._report = local_ends.start_error(str(error))
        except OSError as error:  # nothing has run: the next supervisor may find room for a process
            raise SystemExit(f"the job's process can't be made: {error.strerror}") from error
        else:
            self._poll.register(self._child.output, select.POLLIN)
            self._poll.register(self._child.report, select.POLLIN)
            self._kill_at = time.monotonic() + _MOUNT_TIMEOUT

    def _hear(self, line: bytes) -> None:
        """The child is ready, or says why it can't run."""
        found: Json = json.loads(line)
        if found:
            self._report = found
        elif self._code is None and not self._cause and self._begin() and self._child:
            with contextlib.suppress(BrokenPipeError):
                os.write(self._child.go, b"!")

    def _begin(self) -> bool:
        """Record the start before it happens; False when the job is not wanted any more."""
        started = local_files.mark()
        process = {"job": proc.look(self._child.pid)} if self._child else {}
        status = {**self._status, **process, "phase": RUNNING, "started": started}
        if not self._insist(
            lambda: self._folders.advance(self._record, local_history.START, status), abandon=self._unwanted
        ):
            return False
        self._status, self._started_at, self._kill_at = status, time.monotonic(), None
        self._notify()
        return True

    # -------------------------------------------------------------------------------------- the watching

    def _watch(self) -> None:
        """One look at everything that may end the job before it ends itself.

        Whoever was held up (stopped, swapped out, asleep with the machine) hears first what came meanwhile:
        a job that has ended ran into nothing.
        """
        now = time.monotonic()
        self._wait(0)
        if self._code is not None:
            return
        below = self._below()
        if used := self._meter.over(below) if self._started_at else 0:
            self._cause = self._cause or local_ends.out_of_memory(used, self._meter.limit)
            self._kill_at = now
        elif self._unwanted():
            self._stop(local_ends.DELETED, now)
        elif self._shutdown:
            self._stop(local_ends.SHUTDOWN, now)
        elif self._overdue(now):
            self._stop(local_ends.DEADLINE, now)
        if self._kill_at is not None and now >= self._kill_at:
            self._cause = self._cause or local_ends.MOUNT_TIMEOUT
            self._kill(below)

    def _below(self) -> list[proc.Proc]:
        """Every process of the job; those that nobody would find without this one are written down."""
        below = proc.descendants(os.getpid())
        if self._child:
            self._apart.note(below, self._child.pid)
        return below

    def _stop(self, cause: Json, now: float) -> None:
        """SIGTERM once, SIGKILL after the grace; a later order may only shorten it."""
        if self._cause.get("stop") == cause["stop"]:
            return
        order = self._order()
        grace = float(order["grace"]) if order else 0.0 if self._gone() else float(self._run["grace"])
        kill_at = now + (grace if self._started_at else 0.0)
        first = not self._cause
        self._cause = self._cause or cause
        self._kill_at = kill_at if self._kill_at is None else min(kill_at, self._kill_at)
        if first and self._child and self._started_at:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._child.pid, signal.SIGTERM)

    def _overdue(self, now: float) -> bool:
        deadline = self._run["deadline"]
        return bool(deadline) and self._started_at is not None and now >= self._started_at + deadline

    def _order(self) -> Json | None:
        found = local_files.read(os.path.join(self._folder, "delete.json"))
        return found if found and found.get("uid") == self._record.uid else None

    def _gone(self) -> bool:
        """Whether somebody removed the folder by hand: that ends the job too."""
        try:
            return os.stat(os.path.join(self._folder, "lock")).st_ino != os.fstat(self._lock).st_ino
        except FileNotFoundError:
            return True
        except OSError:
            return False

    def _unwanted(self) -> bool:
        return self._gone() or self._order() is not None

    # ------------------------------------------------------------------------------------------- the end

    def _clear_away(self) -> None:
        """Kill whatever is left below this process, forked, detached or daemonised.

        What ends while it is looked for may leave a child that the look missed: only the kernel's word that
        this process has no child proves that nobody is left, for every orphan below becomes one.
        """
        pause = 0.002
        while self._reap():
            self._kill(self._below())
            self._wait(pause)
            pause = min(2 * pause, 1.0)  # one that hangs in the kernel takes its time
        if self._child:
            with contextlib.suppress(BlockingIOError):
                self._take_report(self._child.report)  # it may have died faster than it was heard
            while self._take_output(self._child.output):
                pass
        self._output.close()

    def _finish(self) -> None:
        """Record the end, and free the name if that was asked for."""
        end = local_ends.end_of(self._code, self._report, self._cause)
        status = {**self._status, **end, "phase": FINISHED, "finished": local_files.mark()}
        status["peak_memory"] = self._meter.peak
        if self._gone() or not self._insist(
            lambda: self._folders.advance(self._record, local_history.END, status), abandon=self._gone
        ):
            self._record_absence()
        elif self._order():
            self._insist(lambda: self._folders.remove(self._record), abandon=self._gone)
        self._notify()

    def _record_absence(self) -> None:
        """The folder went by hand: the end and the deletion are history all the same."""
        identity = self._folders.identity(self._record)
        for kind in (local_history.END, local_history.DELETE):
            with contextlib.suppress(OSError):
                self._folders.history.commit(kind, identity, lambda: None)

    # -------------------------------------------------------------------------------------- the plumbing

    def _listen_to_signals(self) -> None:
        self._wakeup, write_end = os.pipe()
        for end in (self._wakeup, write_end):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(write_end, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGTERM, self._on_shutdown)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        self._poll.register(self._wakeup, select.POLLIN)

    def _on_shutdown(self, *_: object) -> None:
        """The machine goes down: init tells everyone."""
        self._shutdown = True

    def _let_run(self, seconds: float) -> None:
        """Serve the job for so long, less when it ends; a chatty one is not measured more often."""
        until = time.monotonic() + seconds
        while self._code is None and (rest := until - time.monotonic()) > 0:
            self._wait(rest)

    def _wait(self, seconds: float) -> None:
        """Wait for output, a report or a dead child, at most so long."""
        for descriptor, _ in self._poll.poll(seconds * 1000):
            if descriptor == self._wakeup:
                with contextlib.suppress(BlockingIOError):
                    os.read(self._wakeup, 4096)
            elif self._child and descriptor == self._child.output:
                self._take_output(descriptor)
            else:
                self._take_report(descriptor)
        self._reap()

    def _take_output(self, descriptor: int) -> bool:
        try:
            data = os.read(descriptor, 1 << 16)
        except BlockingIOError:
            return False
        if data:
            self._output.write(data)
        else:
            self._forget(descriptor)
        return bool(data)

    def _take_report(self, descriptor: int) -> None:
        lines = os.read(descriptor, 1 << 16).splitlines()
        for line in lines:
            self._hear(line)
        if not lines:
            self._forget(descriptor)

    def _forget(self, descriptor: int) -> None:
        with contextlib.suppress(KeyError):
            self._poll.unregister(descriptor)

    def _reap(self) -> bool:
        """Collect who has ended; whether a child is left."""
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    return True
                if self._child and pid == self._child.pid:
                    self._code = os.waitstatus_to_exitcode(status)
        return False

    @staticmethod
    def _kill(procs: list[proc.Proc]) -> None:
        for one in procs:
            with contextlib.suppress(PermissionError):  # a set-uid program: its end is waited for
                proc.send(one, signal.SIGKILL)

    def _insist(self, write: Callable[[], None], abandon: Callable[[], bool]) -> bool:
        """Write, however long the disk is full; False when it has become pointless."""
        while True:
            try:
                write()
            except OSError:
                if abandon():
                    return False
                self._wait(_RETRY)
            else:
                return True

    def _notify(self) -> None:
        local_hints.notify(self._folders.root, self._record.namespace, self._record.name)
