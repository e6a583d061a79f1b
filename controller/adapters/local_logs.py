"""The logs of jobs whose folders are gone: kept up to a bound, the oldest go first.

Called by ``local_processes``, now and then while somebody listens to its changes.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

_BLOCK = 512
"""Bytes of a block as ``stat`` counts them."""


def prune(folder: str, most: int) -> int:
    """Remove the logs that were written to longest ago, until what is left takes no more room than ``most``.

    Returns how many went. Never raises: what can't be removed now is met again the next time.
    """
    logs = sorted(_logs(folder))
    room, removed = sum(size for _, size, _ in logs), 0
    for _, size, path in logs:
        if room <= most:
            break
        with contextlib.suppress(OSError):
            os.unlink(path)
            room -= size
            removed += 1
    return removed


def _logs(folder: str) -> Iterator[tuple[float, int, str]]:
    """Of each log: when it was written to last, the bytes that it takes on the disk, its path."""
    for namespace in _inside(folder):
        for log in _inside(namespace.path) if namespace.is_dir(follow_symlinks=False) else ():
            with contextlib.suppress(OSError):
                found = log.stat(follow_symlinks=False)
                if log.is_file(follow_symlinks=False):
                    yield found.st_mtime, max(found.st_size, found.st_blocks * _BLOCK), log.path


def _inside(folder: str) -> list[os.DirEntry[str]]:
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        return list(entries)
    return []
