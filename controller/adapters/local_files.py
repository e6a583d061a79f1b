"""Small things on disk that both the daemon and the supervisors rely on: whole files, locks, ages.

Standard library only and few imports: each supervisor loads this.
"""

# pathlib would cost every supervisor several milliseconds of its start.
from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from _thread import get_ident
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from controller.adapters.local_proc import boot_id

Json = dict[str, Any]


def write_new(path: str, data: Mapping[str, Any], *, lasting: bool = True) -> None:
    """Write a JSON file and bring it to the disk. Raises ``OSError`` and leaves nothing half-made.

    Not ``lasting``: it is for this boot only, and the disk is not waited for.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        write_all(descriptor, json.dumps(data).encode())
        if lasting:
            os.fsync(descriptor)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(path)
        raise
    finally:
        os.close(descriptor)


def prepare(path: str, data: Mapping[str, Any], *, lasting: bool = True) -> str:
    """Write what shall become ``path`` beside it; one ``os.replace`` of the result makes it so."""
    draft = f"{path}.{os.getpid()}.{get_ident()}.new"
    write_new(draft, data, lasting=lasting)
    return draft


def write(path: str, data: Mapping[str, Any], *, lasting: bool = True) -> None:
    """Replace a JSON file as a whole: readers see the old one or the new one."""
    os.replace(prepare(path, data, lasting=lasting), path)


def sync_folder(path: str) -> None:
    """Bring a folder's names to the disk: what was renamed in it stays so after a power cut."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read(path: str) -> Json | None:
    """The JSON object in the file; None when there is no such file, or no object in it."""
    return read_or(path, None)


def read_or(path: str, torn: Json | None) -> Json | None:
    """The JSON object in the file; None when there is no such file; ``torn``: for a file with no object."""
    try:
        with open(path, "rb") as file:
            data = json.loads(file.read())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except ValueError:
        return torn
    return data if isinstance(data, dict) else torn


def write_all(descriptor: int, data: bytes) -> None:
    """Write every byte, in as many calls as it takes. Raises ``OSError``."""
    while data:
        data = data[os.write(descriptor, data) :]


def try_lock(path: str) -> int | None:
    """Take the lock file and return its descriptor; None when somebody else has it or it is gone.

    The lock ends when the descriptor is closed or its process dies; programs started don't inherit it.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


@contextmanager
def locked(path: str, timeout: float) -> Iterator[None]:
    """Hold the lock file (made when missing); raises ``TimeoutError`` after so many seconds."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        _wait_for(descriptor, path, timeout)
        yield
    finally:
        os.close(descriptor)


def _wait_for(descriptor: int, path: str, timeout: float) -> None:
    give_up, pause = time.monotonic() + timeout, 0.001
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= give_up:
                raise TimeoutError(f"{path} has been locked for {timeout:g} s") from None
            time.sleep(pause)
            pause = min(pause * 2, 0.05)
        else:
            return


def mark() -> Json:
    """This instant, on the wall clock and on one that never steps while this boot lasts."""
    return {"wall": time.time(), "boot": boot_id(), "up": time.clock_gettime(time.CLOCK_BOOTTIME)}


def age(of: Mapping[str, Any]) -> float:
    """Seconds since the mark; a stepping wall clock matters only across a reboot."""
    now = mark()
    clock = "up" if now["boot"] == of["boot"] else "wall"
    return max(0.0, float(now[clock]) - float(of[clock]))
