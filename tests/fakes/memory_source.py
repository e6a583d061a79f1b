"""A spec source in memory, for the simulator: the test drops, edits and removes the files.

Same port, same contract suite as the folder: a file is handed out after two equal looks, and a look is a
``scan``. ``told`` keeps every status, newest last.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from controller.adapters.spec_directory_names import is_spec
from controller.ports import NamedFile, SpecFile, Unavailable

_Whole = tuple[NamedFile, str, tuple[tuple[str, NamedFile], ...]]
"""All that a spec consists of: its own bytes, its user, and the files beside it."""


@dataclass(frozen=True, slots=True)
class _File:
    file: NamedFile
    user: str


class MemorySource:
    """Specs in a dictionary; ``limit`` in bytes holds for every file."""

    def __init__(self, limit: int = 256 * 1024) -> None:
        self.told: list[tuple[str, Mapping[str, Any]]] = []
        self.unavailable = ""
        """Why every scan fails now; empty: none does."""
        self._limit = limit
        self._files: dict[str, _File] = {}
        self._wanted: dict[str, tuple[str, ...]] = {}
        self._seen: dict[str, _Whole] = {}
        self._given: dict[str, _Whole] = {}
        self._keys: frozenset[str] = frozenset()

    # -- what the test does

    def drop(self, key: str, content: bytes, user: str = "local:alice") -> None:
        """Put a file there, or other content in its place."""
        shown = NamedFile(content[: self._limit + 1], truncated=len(content) > self._limit)
        self._files[key] = _File(shown, user)

    def spoil(self, key: str, error: str, user: str = "local:alice") -> None:
        """Make a file unreadable."""
        self._files[key] = _File(NamedFile(error=error), user)

    def remove(self, key: str) -> None:
        """Delete a file."""
        del self._files[key]

    def restart(self) -> None:
        """Forget everything but the files and what was told: as a new process would."""
        self._wanted, self._seen, self._given = {}, {}, {}

    def status(self, key: str) -> Mapping[str, Any] | None:
        """What a spec was told last."""
        return next((status for told, status in reversed(self.told) if told == key), None)

    # -- the port

    async def scan(self) -> Sequence[SpecFile]:
        """What was the same at two scans and was not handed out as it is now, by key."""
        if self.unavailable:
            raise Unavailable(self.unavailable)
        self._keys = frozenset(filter(is_spec, self._files))
        looks = {key: self._whole(key) for key in sorted(self._keys)}
        given = {key: whole for key, whole in self._given.items() if key in looks}
        ready = {
            key: whole
            for key, whole in looks.items()
            if self._seen.get(key) == whole and not _covers(given.get(key), whole)
        }
        self._seen, self._given = looks, given | ready
        self._wanted = {key: paths for key, paths in self._wanted.items() if key in looks}
        return [_spec_file(key, whole) for key, whole in ready.items()]

    async def depends(self, key: str, paths: Iterable[str]) -> bool:
        """Let the files beside a spec be part of it."""
        self._wanted[key] = tuple(dict.fromkeys(paths))
        given = self._given.get(key)
        return given is not None and {path for path, _ in given[2]}.issuperset(self._wanted[key])

    async def keys(self) -> frozenset[str]:
        """The keys of all specs at the last scan."""
        return self._keys

    async def tell(self, key: str, status: Mapping[str, Any]) -> None:
        """Keep a status, unless the spec was told the same before or is gone."""
        if key in self._files and self.status(key) != status:
            self.told.append((key, status))

    def _whole(self, key: str) -> _Whole:
        missing = _File(NamedFile(error="no such file"), "")
        beside = tuple((path, self._files.get(path, missing).file) for path in self._wanted.get(key, ()))
        return self._files[key].file, self._files[key].user, beside


def _covers(given: _Whole | None, whole: _Whole) -> bool:
    """Whether what was handed out says all that there is to say now."""
    return given is not None and given[:2] == whole[:2] and set(given[2]) >= set(whole[2])


def _spec_file(key: str, whole: _Whole) -> SpecFile:
    file, user, beside = whole
    return SpecFile(
        key,
        file.content,
        folder="/specs",
        user=user,
        error=file.error,
        truncated=file.truncated,
        beside=dict(beside),
    )
