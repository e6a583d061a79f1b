"""A watched folder as the source of specs (``ports.SpecSource``), a share on NFS included.

Polled, because nobody tells what happens on a share. ``*.yaml``, ``*.yml`` and ``*.json`` are read, in
the folder and three levels of subfolders; dotfiles, dot-folders, statuses, links to folders and links
that lead out are not. A file counts when two looks found it the same, and what a spec names (a csv)
belongs to it: see ``spec_directory_looks`` and ``depends``.

A folder that can't be listed is ``Unavailable``. One that is merely empty can't be told from one whose
files were removed, unless it lies on another device than before; no harm is done, as deleting a spec
changes nothing: once the share is back its specs are handed out again, with the content they had.

All file work happens in threads. Made by ``app``; called by ``intake``.
"""

from __future__ import annotations

import asyncio
import os
import posixpath
from collections.abc import Callable, Iterable, Mapping, Sequence
from errno import ENOENT, ENOTDIR
from functools import partial
from pathlib import Path
from typing import Any

from controller.adapters.spec_directory_files import why
from controller.adapters.spec_directory_lane import Lane
from controller.adapters.spec_directory_names import key_of, path_of
from controller.adapters.spec_directory_status import render, write_status
from controller.adapters.spec_directory_watch import Round, Watch
from controller.ports import SpecFile, Unavailable
from controller.telemetry.logs import get_logger

_log = get_logger(__name__)


class SpecDirectory:
    """Specs dropped into ``folder``. ``bound``: seconds that anybody waits for the file system."""

    def __init__(self, folder: Path, monotonic: Callable[[], float], bound: float = 30.0) -> None:
        self._folder = str(folder.absolute())
        self._monotonic = monotonic
        self._bound = bound
        self._watch = Watch(self._folder)
        self._looking: Lane[Round] = Lane("spec-folder-look", bound)
        self._writing: Lane[None] = Lane("spec-folder-status", bound)
        self._one_scan = asyncio.Lock()
        self._one_tell = asyncio.Lock()
        self._wanted: dict[str, tuple[str, ...]] = {}
        self._beside: dict[str, frozenset[str]] = {}
        self._keys: frozenset[str] = frozenset()
        self._newest: dict[str, Mapping[str, Any]] = {}
        """What each spec was told last: that is written when its turn comes, and nothing older."""
        self._untold: dict[str, None] = {}
        self._unwritten: dict[str, None] = {}
        """Whose status could not be written: the last one of a batch is told once only."""
        self._complained: set[tuple[str, str]] = set()

    async def scan(self) -> Sequence[SpecFile]:
        """One look at the folder: what has settled and was not handed out as it is now, by key.

        Raises ``Unavailable`` when the folder can't be listed, or does not answer within the bound;
        what a late look found is handed out by the scan after it came back.
        """
        async with self._one_scan:
            await self._tell_rest()  # before the look: what that hands out is lost where a pass is cut off
            look = partial(self._watch.round, dict(self._wanted), self._monotonic())
            try:
                found = await self._looking.run(look)
            except TimeoutError as error:
                raise Unavailable(
                    f"spec folder {self._folder!r} has not answered for {self._bound:g} s or more: "
                    "nothing counts as deleted; see whether its file server is up"
                ) from error
            self._keys = found.keys
            self._wanted = {key: paths for key, paths in self._wanted.items() if key in found.keys}
            self._beside = {key: paths for key, paths in self._beside.items() if key in found.keys}
            self._beside |= {file.key: frozenset(file.beside) for file in found.files}
            self._newest = {key: status for key, status in self._newest.items() if key in found.keys}
        return found.files

    async def depends(self, key: str, paths: Iterable[str]) -> bool:
        """Watch the files that a spec names; whether it was handed out with all of them already."""
        self._wanted[key] = tuple(dict.fromkeys(paths))
        return self._beside.get(key, frozenset()).issuperset(self._wanted[key])

    async def keys(self) -> frozenset[str]:
        """The keys of all specs that the last good scan saw, those in an unlistable subfolder included."""
        return self._keys

    async def tell(self, key: str, status: Mapping[str, Any]) -> None:
        """Write the status beside the spec, if it says something new.

        What can't be written (read-only, full, slow) is logged once, and never raises; the newest
        status of each spec is kept until a later call, or a scan, gets it through.
        """
        self._newest[key] = status
        self._untold[key] = None
        await self._write_untold()

    async def _tell_rest(self) -> None:
        """Try one of those that could not be written, and once that is done the others.

        So a folder that nobody may write to costs one try a scan, however many specs lie in it.
        """
        if self._untold:  # a slow folder was left to it
            await self._write_untold()
        if not self._unwritten or self._untold:
            return
        key = next(iter(self._unwritten))
        self._untold[key] = self._unwritten.pop(key)  # if it fails again, the others have their turn first
        await self._write_untold()
        if self._unwritten and key not in self._unwritten:
            self._untold |= self._unwritten
            await self._write_untold()

    async def _write_untold(self) -> None:
        async with self._one_tell:
            try:
                while self._untold:
                    await self._writing.run(self._write_all)
            except TimeoutError:
                self._complain(self._folder, f"no answer within {self._bound:g} s")

    def _write_all(self) -> None:
        while self._untold:
            key, _ = self._untold.popitem()
            path, status = path_of(key), self._newest.get(key)
            if path is None or status is None or self._write(path, render(status)):
                self._unwritten.pop(key, None)
            else:
                self._unwritten[key] = None

    def _write(self, path: str, content: bytes) -> bool:
        """Whether nothing is left to be done about it."""
        place = key_of(posixpath.dirname(path)) or "."
        try:
            written = write_status(self._folder, path, content)
        except OSError as error:
            if error.errno in (
                ENOENT,
                ENOTDIR,
            ):  # the spec's folder is gone, and the spec; or all of the store
                return os.path.isdir(self._folder)
            self._complain(place, why(error))
            return False
        if written:
            self._complained = {said for said in self._complained if said[0] not in (place, self._folder)}
        return True

    def _complain(self, folder: str, error: str) -> None:
        """Log a reason once, until something can be written there again."""
        if (folder, error) not in self._complained:
            self._complained.add((folder, error))
            _log.warning("spec-status-not-written", folder=folder, error=error)
