"""Reads all folders of a namespace; what is finished and unchanged is read once, not in every pass."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

from controller.adapters.local_folders import FINISHED, LOGS, Folders, Record

_SETTLED = 1_000_000_000
"""A folder changed less than so many nanoseconds ago may change again within the same time stamp."""

_Stamp = tuple[int, int, int]


class Listing:
    """A cached list. A folder's time stamp changes with every file that comes, goes or is replaced."""

    def __init__(self, folders: Folders) -> None:
        self._folders = folders
        self._known: dict[tuple[str, str], tuple[_Stamp, Record]] = {}

    def records(self, namespace: str) -> Iterator[Record]:
        """Everything in the namespace now, in no order; nothing where there is no such namespace.

        Raises ``OSError``: the list is complete or there is none.
        """
        found = {}
        for entry in self._entries(namespace):
            key = (namespace, entry.name)
            try:
                stat = entry.stat(follow_symlinks=False)
            except FileNotFoundError:  # gone since the folder was listed
                continue
            stamp = (stat.st_ino, stat.st_mtime_ns, stat.st_ctime_ns)
            known = self._known.get(key)
            record = known[1] if known and known[0] == stamp else self._folders.read(namespace, entry.name)
            if record is None:
                continue
            if record.phase == FINISHED and time.time_ns() - stat.st_mtime_ns > _SETTLED:
                found[key] = (stamp, record)
            yield record
        # Built anew in each pass, so that what is gone is forgotten; swapped in one assignment.
        others = {key: value for key, value in self._known.items() if key[0] != namespace}
        self._known = others | found

    def namespaces(self) -> list[str]:
        """Every namespace that has a folder. Raises ``OSError``."""
        with os.scandir(self._folders.root) as entries:
            return [
                entry.name
                for entry in entries
                if entry.is_dir(follow_symlinks=False) and entry.name != LOGS and entry.name[0] != "."
            ]

    def _entries(self, namespace: str) -> list[os.DirEntry[str]]:
        os.stat(self._folders.root)  # a root that is gone is no empty list
        try:
            with os.scandir(self._folders.path(namespace, "")) as entries:
                return [entry for entry in entries if not entry.name.startswith(".")]
        except FileNotFoundError:
            return []
