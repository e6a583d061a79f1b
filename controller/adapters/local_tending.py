"""What a cluster's own controllers do, on one machine: start what is queued, end what was lost, collect.

Every round starts from the folders and is safe to run at once in several threads and processes. Called
by ``local_processes`` whenever it looks at a folder.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time

from controller.adapters import (
    local_apart,
    local_ends,
    local_files,
    local_hints,
    local_history,
    local_output,
    local_proc,
)
from controller.adapters.local_files import Json
from controller.adapters.local_folders import FINISHED, QUEUED, RUNNING, Folders, Record, process
from controller.adapters.local_launch import Launcher
from controller.adapters.local_proc import Proc

_PATIENCE = 1.0
"""Seconds that killed leftovers get to go before the next round looks again."""


class Tender:
    """Tends folders of ours; who calls it makes sure that they are. May raise ``OSError``."""

    def __init__(self, folders: Folders, launcher: Launcher) -> None:
        self._folders = folders
        self._launcher = launcher

    def tend(self, record: Record) -> Record | None:
        """Do what is due for one folder; the folder as it then is, None when it is gone."""
        if record.phase == FINISHED:
            return self._collect(record)
        if record.supervisor and local_proc.alive(record.supervisor):
            return record
        self._folders.make_lockable(record)
        if record.phase == RUNNING:
            return self._end_lost(record)
        return self._start(record)

    def strays(self, job_id: str) -> int:
        """Whether processes of a job whose folder is gone are left: 1 or 0.

        Its supervisor clears them away and goes last; without one they are killed here.
        """
        mark = f"BATCHKEEPER_JOB={job_id}"
        found = local_proc.marked(mark)
        supervisors = {proc for proc in found if _is_supervisor(proc)}
        # Who ends after it was found shows no command line: it is no supervisor then, nor anything left.
        left = [proc for proc in found if proc not in supervisors and local_proc.bears(proc.pid, mark)]
        if not supervisors:
            _kill(left)
        return int(bool(left))

    def _collect(self, record: Record) -> Record | None:
        """A finished object goes when it was asked to, or when its time has come."""
        if record.deletion is None and not _expired(record):
            return record
        self._remove(record)
        return None

    def _start(self, record: Record) -> Record | None:
        """A queued object without a supervisor gets one, or goes if that was asked for."""
        if record.deletion is None:
            self._launcher.ensure(record)
            return record
        lock = self._lock(record)
        if lock is None:  # a supervisor is there after all: it sees the order by itself
            return record
        try:
            now = self._folders.read(record.namespace, record.name)
            if now is None or now.uid != record.uid or now.phase != QUEUED:
                return now
            self._remove(record)
        finally:
            os.close(lock)
        return None

    def _end_lost(self, record: Record) -> Record | None:
        """A job whose supervisor is dead has ended once no process of it is left."""
        lock = self._lock(record)
        if lock is None:
            return record
        try:
            now = self._folders.read(record.namespace, record.name)
            if now is None or now.uid != record.uid:
                return now
            if now.phase != FINISHED:
                if not self._cleared(now):
                    return now
                end = {**self._loss(now), "finished": local_files.mark()}
                now = now._replace(status={**now.status, **end, "phase": FINISHED})
                self._folders.advance(now, local_history.END, now.status)
                local_hints.notify(self._folders.root, now.namespace, now.name)
        finally:
            os.close(lock)
        return self._collect(now)

    def _loss(self, record: Record) -> Json:
        if "boot" not in record.status:
            return local_ends.UNREADABLE
        words = local_output.last_line(self._folders.path(record.namespace, record.name, "supervisor.err"))
        rebooted = record.status["boot"] != local_proc.boot_id()
        return local_ends.node_lost(rebooted=rebooted, last_words=words)

    def _cleared(self, record: Record) -> bool:
        """Kill what is left of the job: whatever carries its id in its environment, those of whom its
        supervisor knew that they hide, and the session of its first process while one of these is in it.

        Nothing else is known to be of the job: the numbers of its dead may be others' by now.
        """
        leader = process(record.status, "job")
        known = local_apart.read(self._folders.path(record.namespace, record.name, local_apart.NAME))
        job_id = record.job["run"]["identity"]["BATCHKEEPER_JOB"]
        give_up = time.monotonic() + _PATIENCE
        while True:
            marked = local_proc.marked(f"BATCHKEEPER_JOB={job_id}")
            known |= {proc for proc in marked if not _is_supervisor(proc)}
            known |= set(local_proc.session_of(leader, known)) if leader else set()
            left = {proc for proc in known if local_proc.alive(proc)}
            if not left:
                return True
            _kill(left)
            if time.monotonic() > give_up:
                return False
            time.sleep(0.01)

    def _remove(self, record: Record) -> None:
        self._folders.remove(record)
        local_hints.notify(self._folders.root, record.namespace, record.name)

    def _lock(self, record: Record) -> int | None:
        return local_files.try_lock(self._folders.path(record.namespace, record.name, "lock"))


def _expired(record: Record) -> bool:
    """Whether its time to live is over: a tombstone's counts from its creation, a job's from its end."""
    if record.tombstone:
        return local_files.age(record.job["created"]) >= float(record.job["ttl"])
    return record.expiry is not None and local_files.age(record.status["finished"]) >= record.expiry["ttl"]


def _is_supervisor(proc: Proc) -> bool:
    return b"local_supervisor.py\0" in local_proc.command_line(proc)


def _kill(procs: set[Proc] | list[Proc]) -> None:
    for proc in procs:
        with contextlib.suppress(PermissionError):  # a set-uid program: its end is waited for
            local_proc.send(proc, signal.SIGKILL)
