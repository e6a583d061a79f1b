"""A job's output on disk: its last bytes, however much it writes, and whatever the disk says.

Standard library only and few imports: each supervisor loads this.
"""

# pathlib would cost every supervisor several milliseconds of its start.
from __future__ import annotations

import contextlib
import os

from controller.adapters import local_files


class Output:
    """Appends to a file and keeps at least the last ``limit`` bytes, and never more than twice as many.

    A full disk loses output, never the job: nothing here raises.
    """

    def __init__(self, path: str, limit: int) -> None:
        self._path = path
        self._limit = limit
        self._descriptor = -1
        self._size = 0

    def write(self, data: bytes) -> None:
        """Append; what the disk has no room for is lost."""
        with contextlib.suppress(OSError):
            if self._descriptor < 0:
                self._open()
            local_files.write_all(self._descriptor, data[-self._limit :])
            self._size = os.fstat(self._descriptor).st_size
            if self._size > 2 * self._limit:
                self._trim()

    def close(self) -> None:
        """Cut the file to its limit; nothing more is written."""
        if self._descriptor < 0:
            return
        with contextlib.suppress(OSError):
            if self._size > self._limit:
                self._trim()
        os.close(self._descriptor)
        self._descriptor = -1

    def _open(self) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        self._descriptor = os.open(self._path, flags, 0o600)

    def _trim(self) -> None:
        """Put a file with only the end in its place; a reader sees the old one or the new one."""
        end = os.pread(self._descriptor, self._limit, max(0, self._size - self._limit))
        draft = f"{self._path}.new"
        fresh = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            local_files.write_all(fresh, end)
            os.replace(draft, self._path)
        except OSError:
            os.close(fresh)
            raise
        os.close(self._descriptor)
        self._descriptor, self._size = fresh, len(end)


def tail(path: str, max_bytes: int) -> bytes | None:
    """The file's last bytes; None when there is no file. Raises ``OSError``."""
    try:
        with open(path, "rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - max_bytes))
            return file.read(max_bytes)
    except (FileNotFoundError, NotADirectoryError):
        return None


def last_line(path: str) -> str:
    """The last line of a small text file; empty when there is none. Never raises."""
    with contextlib.suppress(OSError):
        lines = (tail(path, 4096) or b"").decode(errors="replace").splitlines()
        return lines[-1] if lines else ""
    return ""
