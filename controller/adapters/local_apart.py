"""The processes of a job that neither its session nor its mark would surely show, kept in ``apart.json``.

A daemon with a session and an environment of its own is found only below the job's supervisor. That writes
down who is, so that whoever ends the job after its supervisor's death (``local_tending``) ends these as well.
Standard library only and few imports: each supervisor loads this.
"""

# pathlib would cost every supervisor several milliseconds of its start.
from __future__ import annotations

import contextlib
from collections.abc import Iterable

from controller.adapters import local_files, local_proc
from controller.adapters.local_proc import Proc

NAME = "apart.json"
"""The file, in the job's folder."""


class Apart:
    """Keeps the file of one job. ``mark``: the ``KEY=value`` that the job's environment carries."""

    def __init__(self, path: str, mark: str) -> None:
        self._path = path
        self._mark = mark
        self._known: frozenset[Proc] = frozenset()

    def note(self, below: Iterable[Proc], session: int) -> None:
        """Write down those who are apart, if they are others than before. ``session``: the job's.

        It is no word for after a power cut, which ends them too: nobody waits for the disk. One that is full
        is tried again at the next call.
        """
        apart = frozenset(one for one in below if self._is_apart(one, session))
        if apart == self._known:
            return
        with contextlib.suppress(OSError):
            data = {"boot": local_proc.boot_id(), "processes": sorted(apart)}
            local_files.write(self._path, data, lasting=False)
            self._known = apart

    def _is_apart(self, one: Proc, session: int) -> bool:
        return local_proc.session(one.pid) != session or not local_proc.carries(one.pid, self._mark)


def read(path: str) -> set[Proc]:
    """Who was apart when this was written; nobody where it was in another boot. Raises ``OSError``."""
    found = local_files.read(path) or {}
    return {Proc(*one) for one in found["processes"]} if found.get("boot") == local_proc.boot_id() else set()
