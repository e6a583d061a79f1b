"""Job folders: the objects of the local cluster. The folder is the name, and whoever makes it has it.

``<root>/<namespace>/<name>/`` holds

    job.json     what it is and what to run; written once, before the folder gets its name
    lock         held by the supervisor as long as it lives
    status.json  queued → running → finished, written by the supervisor only (or after its death)
    delete.json  somebody asked for its deletion        expire.json  its time to live
    log          the end of its output                  work/, empty/<n>/  where it runs, its emptyDirs
    apart.json   processes of the job that only its supervisor sees, for whoever ends it without that one

A folder comes and goes by one rename, together with its line in the history, so it is never seen
half-made. Standard library only and few imports: each supervisor loads this.
"""

# pathlib would cost every supervisor several milliseconds of its start.
from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from controller.adapters import labels, local_files, local_history, local_proc
from controller.adapters.local_files import Json
from controller.adapters.local_history import Entry, History

QUEUED, RUNNING, FINISHED = "queued", "running", "finished"
LOGS = "logs"
"""Where logs go when their folder goes; no namespace may have this name."""
_DRAFTS = ".drafts"
"""Folders on their way into or out of being; the name starts with the process that works on it."""
_TORN: Json = {"phase": RUNNING}
"""What a status that can't be read is taken for: its command may have run, so it is never run again."""
_TAKEN = {errno.EEXIST, errno.ENOTEMPTY}


class Record(NamedTuple):
    """One folder as it was read. ``job`` is empty for a folder that has no readable ``job.json``."""

    namespace: str
    name: str
    uid: str
    job: Json
    status: Json
    deletion: Json | None
    expiry: Json | None

    @property
    def labels(self) -> Mapping[str, str]:
        """The object's labels; empty for what some other program has put there."""
        return self.job.get("labels") or {}

    @property
    def tombstone(self) -> bool:
        """Whether it only occupies its name."""
        return labels.TOMBSTONE in self.labels

    @property
    def phase(self) -> str:
        """queued, running or finished; a tombstone is finished from the start."""
        return FINISHED if self.tombstone else str(self.status.get("phase", QUEUED))

    @property
    def supervisor(self) -> local_proc.Proc | None:
        """The process that supervises it, or did when this was written."""
        return process(self.status, "supervisor")


def process(status: Mapping[str, Any], key: str) -> local_proc.Proc | None:
    """A process that a status names, if it is one of this boot."""
    if not status.get(key) or status.get("boot") != local_proc.boot_id():
        return None
    return local_proc.Proc(*status[key])


class Folders:
    """The folders under one root, ``<state>/cluster``, which must exist.

    Every method may raise ``OSError``, and ``TimeoutError`` when the history stays locked. ``later`` is
    given the work of taking a removed folder off the disk, which may take minutes.
    """

    def __init__(
        self,
        root: str,
        timeout: float = 10.0,
        step: Callable[[str], None] = lambda name: None,
        later: Callable[[Callable[[], None]], None] = lambda work: work(),
    ) -> None:
        self.root = root
        self._step = step
        self._later = later
        self.history = History(root, self._happened, timeout, step)

    def path(self, namespace: str, name: str, *more: str) -> str:
        """The folder of this name, or something in it."""
        return os.path.join(self.root, namespace, name, *more)

    def log_path(self, namespace: str, name: str) -> str:
        """Where the log of a folder that is gone is kept."""
        return os.path.join(self.root, LOGS, namespace, f"{name}.log")

    def read(self, namespace: str, name: str) -> Record | None:
        """The folder as it is now; None when the name is free."""
        path = self.path(namespace, name)
        try:
            inode = os.lstat(path).st_ino
        except (FileNotFoundError, NotADirectoryError):
            return None
        job = local_files.read(os.path.join(path, "job.json")) or {}
        uid = str(job.get("uid") or f"folder-{inode}")
        return Record(
            namespace,
            name,
            uid,
            job,
            local_files.read_or(os.path.join(path, "status.json"), _TORN) or {},
            self._order(path, "delete.json", uid),
            self._order(path, "expire.json", uid),
        )

    def create(self, job: Json) -> None:
        """Make the folder for this ``job.json``; raises ``FileExistsError`` when the name is taken."""
        namespace, name, uid = job["namespace"], job["name"], job["uid"]
        draft = self._draft(uid)
        target = self.path(namespace, name)
        try:
            os.mkdir(draft, 0o700)
            local_files.write_new(os.path.join(draft, "job.json"), job)
            _make_lock(draft)
            _make_folder(os.path.dirname(target))
            self._step("drafted")
            tombstone = labels.TOMBSTONE in job["labels"]
            kind = local_history.TOMBSTONE if tombstone else local_history.CREATE
            identity = (namespace, name, uid, job["labels"][labels.JOB_ID])
            self.history.commit(kind, identity, lambda: _take_name(draft, target))
        finally:
            remove_tree(draft)

    def advance(self, record: Record, kind: str, status: Json) -> None:
        """Replace the status of a folder that starts or ends, and record it; ``kind``: start or end.

        A start is on the disk when this returns: not even a power cut makes a job run twice.
        """
        path = self.path(record.namespace, record.name, "status.json")
        draft = local_files.prepare(path, status)
        self.history.commit(kind, self.identity(record), lambda: os.replace(draft, path))
        if kind == local_history.START:
            local_files.sync_folder(os.path.dirname(path))

    def note(self, record: Record, status: Json) -> None:
        """Replace the status without a line in the history."""
        local_files.write(self.path(record.namespace, record.name, "status.json"), status)

    def make_lockable(self, record: Record) -> None:
        """Make the lock file again that somebody removed: without one nobody could start or end the job."""
        with contextlib.suppress(FileNotFoundError, FileExistsError):
            _make_lock(self.path(record.namespace, record.name))

    def ask_deletion(self, record: Record, grace: float) -> None:
        """Leave the order to delete this very object, with so many seconds from SIGTERM to SIGKILL."""
        order = {"uid": record.uid, "grace": grace, "asked": local_files.mark()}
        local_files.write(self.path(record.namespace, record.name, "delete.json"), order)

    def set_ttl(self, record: Record, ttl: float) -> None:
        """Let this very object go so many seconds after it finished."""
        order = {"uid": record.uid, "ttl": ttl}
        local_files.write(self.path(record.namespace, record.name, "expire.json"), order)

    def remove(self, record: Record) -> None:
        """Free the name and keep the log; nothing happens when it is gone or another object's already."""
        draft = self._draft(record.uid)
        with contextlib.suppress(FileNotFoundError):
            self.history.commit(
                local_history.DELETE, self.identity(record), lambda: self._give_up_name(record, draft)
            )
        self._later(lambda: remove_tree(draft))

    def events(self) -> list[Entry]:
        """The whole history, with the line of everything that could be seen before the call."""
        self.history.settle()
        return list(local_history.read_history(self.history.path))

    def tidy(self) -> None:
        """Remove the drafts of processes that died over them, and complete the history."""
        self.history.settle()
        drafts = os.path.join(self.root, _DRAFTS)
        for name in os.listdir(drafts) if os.path.isdir(drafts) else ():
            with contextlib.suppress(ValueError):  # somebody else put it there
                pid, start, _ = name.split(".", 2)
                if not local_proc.alive(local_proc.Proc(int(pid), int(start))):
                    remove_tree(os.path.join(drafts, name))

    def _give_up_name(self, record: Record, draft: str) -> None:
        path = self.path(record.namespace, record.name)
        found = local_files.read(os.path.join(path, "job.json"))
        if found is None or found.get("uid") != record.uid:
            raise FileNotFoundError(path)
        log, kept = os.path.join(path, "log"), self.log_path(record.namespace, record.name)
        if os.path.exists(log):
            os.makedirs(os.path.dirname(kept), mode=0o700, exist_ok=True)
            os.replace(log, kept)
        os.rename(path, draft)

    def _happened(self, entry: Entry) -> bool:
        """Whether the effect of a history line is there (asked after a crash)."""
        record = self.read(entry.namespace, entry.name)
        here = record is not None and record.uid == entry.uid
        if record is None or not here or entry.kind == local_history.DELETE:
            return here != (entry.kind == local_history.DELETE)
        if entry.kind == local_history.START:
            return record.phase in (RUNNING, FINISHED)
        return entry.kind != local_history.END or record.phase == FINISHED

    def _draft(self, uid: str) -> str:
        me = local_proc.look(os.getpid())
        _make_folder(os.path.join(self.root, _DRAFTS))
        return os.path.join(self.root, _DRAFTS, f"{os.getpid()}.{me.start if me else 0}.{uid}")

    @staticmethod
    def _order(path: str, name: str, uid: str) -> Json | None:
        """An order that was left for this very object; one for a former object of the name is void."""
        found = local_files.read(os.path.join(path, name))
        return found if found and found.get("uid") == uid else None

    @staticmethod
    def identity(record: Record) -> tuple[str, str, str, str]:
        """Namespace, name, uid and job id, as the history wants them."""
        return record.namespace, record.name, record.uid, record.labels.get(labels.JOB_ID, "")


def _make_folder(path: str) -> None:
    """One level only: a root that is away must not come into being elsewhere."""
    with contextlib.suppress(FileExistsError):
        os.mkdir(path, 0o700)


def _make_lock(folder: str) -> None:
    flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC
    os.close(os.open(os.path.join(folder, "lock"), flags, 0o600))


def _take_name(draft: str, target: str) -> None:
    """One rename; a folder of ours is never empty, so the kernel refuses to put one over another."""
    if os.path.lexists(target):  # an empty folder that somebody made by hand counts too
        raise FileExistsError(target)
    try:
        os.rename(draft, target)
    except OSError as error:
        if error.errno in _TAKEN:
            raise FileExistsError(target) from error
        raise


def remove_tree(path: str) -> None:
    """Remove the folder if it is there; what can't be removed now is left to ``tidy``."""
    if os.path.lexists(path):
        import shutil  # slow to load, and most supervisors never need it

        shutil.rmtree(path, ignore_errors=True)
        if os.path.lexists(path):
            _make_writable(path)
            shutil.rmtree(path, ignore_errors=True)


def _make_writable(path: str) -> None:
    """Lift what a job forbade in its own folders, as package caches do; links are not followed."""
    for folder, inner, _ in os.walk(path):  # lists each folder only after this was done to it
        for one in (os.path.join(folder, name) for name in inner):
            if not os.path.islink(one):
                with contextlib.suppress(OSError):
                    os.chmod(one, 0o700)
