"""Two equal looks: when a file that somebody may still be writing counts as whole.

Pure bookkeeping over what the folder adapter saw; ``now`` is monotonic, in seconds. Between looks a
file is judged by its ``stat`` alone, so that a folder of 10,000 settled files costs no open at all.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

QUIET = 3.0
"""Seconds for which a settled file is still read. Two writes within one tick of a coarse clock (2 s on
some file systems) leave the same times and may leave the same size: only the bytes tell them apart."""


@dataclass(frozen=True, slots=True)
class Stat:
    """What tells, without reading, that a file is not what it was. Compared for equality only: clocks
    step, so an older time is a change like any other."""

    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int
    uid: int
    mode: int = 0


@dataclass(frozen=True, slots=True)
class Look:
    """One look at one file: its bytes' SHA-256 (of at most the limit and one more), or why there is
    none. ``stat`` is None when there is no such file."""

    stat: Stat | None
    digest: str = ""
    error: str = ""


@dataclass(slots=True)
class _Standing:
    look: Look
    since: float
    equal: int = 1


class Looks:
    """What every watched file looked like, and for how long already."""

    def __init__(self) -> None:
        self._files: dict[str, _Standing] = {}

    def suffices(self, path: str, stat: Stat, now: float) -> bool:
        """Whether this ``stat`` alone tells that the file is as it was; otherwise it must be read.

        What could not be read is tried again every time: a share's EIO heals without a new ``stat``.
        """
        standing = self._files.get(path)
        return (
            standing is not None
            and standing.look.stat == stat
            and not standing.look.error
            and standing.equal > 1
            and now - standing.since >= QUIET
        )

    def note(self, path: str, look: Look, now: float) -> None:
        """Take down a look."""
        standing = self._files.get(path)
        if standing is not None and standing.look == look:
            standing.equal += 1
        else:
            self._files[path] = _Standing(look, now)

    def settled(self, path: str) -> Look | None:
        """The look that was had at least twice in a row, if the last one is such."""
        standing = self._files.get(path)
        return standing.look if standing is not None and standing.equal > 1 else None

    def keep_only(self, paths: Iterable[str]) -> None:
        """Forget all other files: if they come back, they come as new ones."""
        self._files = {path: self._files[path] for path in paths if path in self._files}
