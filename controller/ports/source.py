"""A watched store of spec files as a port."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class NamedFile:
    """A file that a spec names, e.g. its csv: the bytes that two looks found, or why there are none."""

    content: bytes = b""
    error: str = ""
    """One line for people: not there, outside the folder, not a regular file …"""
    truncated: bool = False
    """The file is larger than the source's limit: ``content`` ends one byte past it, or was not fetched."""


@dataclass(frozen=True, slots=True)
class SpecFile:
    """A spec that was found unchanged at two looks. ``key`` names it within its source, printably."""

    key: str
    content: bytes
    folder: str
    """Where the spec's relative paths are resolved; reading outside the watched folder is refused. Empty: it
    lies in no folder of this machine, and what it names comes in ``beside`` only."""
    user: str
    """Whose it is where the operator's map has no word: ``local:<os user of the file>`` in a folder, else the
    store itself (``s3:<bucket>``), which is nobody. See ``core.owners``."""
    uid: int | None = None
    """Numeric owner of the file, where the source knows one."""
    error: str = ""
    """Why it could not be read, in one line (``content`` is empty then); the other files are served."""
    truncated: bool = False
    """The file is larger than the source's limit: ``content`` ends one byte past it, or was not fetched and
    ``error`` says so. Refuse it."""
    beside: Mapping[str, NamedFile] = field(default_factory=dict)
    """The files that ``depends`` asked for, by the path that the spec wrote."""


class SpecSource(Protocol):
    """A watched store of spec files."""

    async def scan(self) -> Sequence[SpecFile]:
        """Files that are new or changed and settled since the last scan (all of them at first).

        Each is handed out once; whoever can't take it in now keeps it. A deleted file is not
        mentioned. Raises ``Unavailable`` when the store can't be read: that is no deletion, and when
        it heals only what changed meanwhile is handed out.
        """
        ...

    async def depends(self, key: str, paths: Iterable[str]) -> bool:
        """Watch the files that a spec names, relative to it; replaces what was asked for it before.

        True: the spec handed out last already carries them all in ``beside``. False: do nothing with
        the spec now, it is handed out again once they have been unchanged at two looks, and whenever
        one of them changes. So no half-copied csv ever becomes a batch.
        """
        ...

    async def keys(self) -> frozenset[str]:
        """The keys of all spec files seen at the last scan."""
        ...

    async def tell(self, key: str, status: Mapping[str, Any]) -> None:
        """Write what became of the spec beside it; plain data, in the order in which it is to be read.

        Never raises for a store that can't be written. Writes nothing for a spec that is gone.
        """
        ...
