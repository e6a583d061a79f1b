"""The local cluster's history: what happened to its objects, in order, for a judge outside the daemon.

Every create, start, end and delete takes effect and is recorded under one lock, so that the order of
the lines is the order of the effects. Before the effect the line is written to ``history.pending``: who
next holds the lock after a crash sees whether the effect took place, and if so adds the missing line.
A file that has become large is put aside as ``history.jsonl.1``, and the oldest of those goes.
Standard library only and few imports: each supervisor loads this.
"""

# pathlib would cost every supervisor several milliseconds of its start.
from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any, NamedTuple

from controller.adapters import local_files

CREATE, TOMBSTONE, START, END, DELETE = "create", "tombstone", "start", "end", "delete"

_TAIL = 64 * 1024
"""The last line, complete or torn, is within this many bytes of the end; a line has about 300."""
LARGEST = 64 * 2**20
"""Bytes after which a new file is begun: the lines of some 45,000 jobs."""
KEPT = 3
"""Files put aside that are kept."""
_SPOILED = (ValueError, KeyError, TypeError)
"""What a line that is no entry raises."""


class Entry(NamedTuple):
    """One thing that happened to one object. ``time`` is for people: ``revision`` is the order."""

    revision: int
    time: datetime
    kind: str
    """create, tombstone, start, end or delete."""
    namespace: str
    name: str
    uid: str
    job_id: str


def read_history(path: str) -> Iterator[Entry]:
    """The complete lines of a history and of what was put aside of it, oldest first; none without a file.

    An effect is seen a moment before its line: who wants all lines of what was seen calls ``settle`` first.
    """
    with contextlib.ExitStack() as stack:
        files: dict[int, Iterator[str]] = {}
        # The newest first: what is put aside meanwhile is met a second time, and nothing is missed.
        for name in (path, *_aside(path)):
            with contextlib.suppress(FileNotFoundError):
                file = stack.enter_context(open(name, encoding="utf-8"))
                files.setdefault(os.fstat(file.fileno()).st_ino, file)
        for lines in reversed(files.values()):
            for line in lines:
                if line.endswith("\n"):
                    data = json.loads(line)
                    yield Entry(**{**data, "time": datetime.fromisoformat(data["time"])})


def _aside(path: str) -> list[str]:
    """The names of what is put aside, the newest first."""
    return [f"{path}.{number}" for number in range(1, KEPT + 1)]


class History:
    """Appends to ``<root>/history.jsonl``.

    ``happened`` tells whether a line's effect is there. ``timeout`` bounds the wait for the lock, in
    seconds. ``step`` is called with the name of each step done, so that tests can crash between any two.
    ``largest``: bytes after which a new file is begun.
    """

    def __init__(
        self,
        root: str,
        happened: Callable[[Entry], bool],
        timeout: float = 10.0,
        step: Callable[[str], None] = lambda name: None,
        largest: int = LARGEST,
    ) -> None:
        self._largest = largest
        self.path = os.path.join(root, "history.jsonl")
        self._pending = os.path.join(root, "history.pending")
        self._lock = os.path.join(root, "history.lock")
        self._happened = happened
        self._timeout = timeout
        self._step = step

    def commit(self, kind: str, identity: tuple[str, str, str, str], effect: Callable[[], None]) -> None:
        """Let one effect happen and record it. ``identity``: namespace, name, uid, job id.

        Raises what the effect raises (then nothing is recorded), ``OSError`` when the disk is full
        before it, and ``TimeoutError`` when the lock can't be had.
        """
        with local_files.locked(self._lock, self._timeout):
            revision = self._settle() + 1
            entry = Entry(revision, datetime.now(UTC), kind, *identity)
            self._announce(entry)
            self._step("announced")
            try:
                effect()
            except BaseException:
                os.unlink(self._pending)
                raise
            self._step("done")
            # The effect stands: what can't be recorded for want of space is recorded by the next one.
            with contextlib.suppress(OSError):
                self._append(entry)

    def settle(self) -> None:
        """Add the line that a crash left out, if there is one. Raises ``OSError`` or ``TimeoutError``."""
        with local_files.locked(self._lock, self._timeout):
            self._settle()

    def _settle(self) -> int:
        """Bring the file into order after a crash; the last revision recorded."""
        last = self._last_revision()
        entry = self._announced()
        if entry is None:
            return last
        if entry.revision <= last or not self._happened(entry):
            os.unlink(self._pending)
            return last
        self._append(entry)
        return entry.revision

    def _announce(self, entry: Entry) -> None:
        descriptor = os.open(self._pending, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            local_files.write_all(descriptor, _line(entry))
        except OSError:
            os.unlink(self._pending)
            raise
        finally:
            os.close(descriptor)

    def _announced(self) -> Entry | None:
        """The line of an effect that may have happened; a torn one was never followed by its effect."""
        if not os.path.exists(self._pending):
            return None
        found: list[Entry] = []
        if _is_whole(self._pending):
            with contextlib.suppress(*_SPOILED):
                found = list(read_history(self._pending))
        if not found:
            os.unlink(self._pending)
            return None
        return found[0]

    def _append(self, entry: Entry) -> None:
        # What can't be put aside grows on: it must not stop every create.
        with contextlib.suppress(OSError):
            self._put_aside()
        descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            local_files.write_all(descriptor, _line(entry))
        finally:
            os.close(descriptor)
        self._step("recorded")
        os.unlink(self._pending)

    def _put_aside(self) -> None:
        """Begin a new file where this one is large; a crash between two renames loses none but the oldest."""
        if not os.path.exists(self.path) or os.stat(self.path).st_size < self._largest:
            return
        names = [self.path, *_aside(self.path)]
        free = next((number for number, name in enumerate(names) if not os.path.exists(name)), KEPT)
        for number in range(free, 0, -1):
            os.replace(names[number - 1], names[number])
            self._step("put aside")

    def _last_revision(self) -> int:
        """Of a file that was just begun, or lost its lines, the one before it tells."""
        return next(filter(None, map(self._last_in, (self.path, *_aside(self.path)))), 0)

    @staticmethod
    def _last_in(path: str) -> int:
        """Found from the end of the file; a torn last line is cut off (its effect is still announced).

        A line that is whole and no entry is passed over: a power cut or a hand must not stop every create.
        """
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return 0
        try:
            size = os.fstat(descriptor).st_size
            offset = max(0, size - _TAIL)
            tail = os.pread(descriptor, _TAIL, offset)
            whole = tail[: tail.rfind(b"\n") + 1]
            if len(whole) < len(tail):
                os.ftruncate(descriptor, offset + len(whole))
        finally:
            os.close(descriptor)
        for line in reversed(whole.splitlines()):
            with contextlib.suppress(*_SPOILED):
                return int(json.loads(line)["revision"])
        return 0


def _line(entry: Entry) -> bytes:
    data: dict[str, Any] = {**entry._asdict(), "time": entry.time.isoformat()}
    return json.dumps(data).encode() + b"\n"


def _is_whole(path: str) -> bool:
    with open(path, "rb") as file:
        return file.read().endswith(b"\n")
