"""Reaching into a folder that others write to, without being led out of it or stopped by it.

Every file is opened part by part from the watched folder with ``O_NOFOLLOW``: links are resolved by us
first, on paper, so nothing outside is ever touched, not even by a ``stat`` that a dead mount would hang,
and a folder swapped for a link between two calls ends in an error. What isn't a regular file is never
opened. Nothing here blocks on a fifo; a dead NFS server does block, which is why all of it runs in a
thread (see ``spec_directory_lane``).

Everything raises ``OSError`` as the system gave it. The caller is ``spec_directory_watch``.
"""

from __future__ import annotations

import os
import posixpath
import re
import stat as modes
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from errno import ELOOP, ENOENT, ENOTDIR
from pathlib import Path

from controller.adapters.spec_directory_looks import Stat
from controller.adapters.spec_directory_names import is_spec, named_path

MAX_DEPTH = 3
"""Levels of folders below the watched one (a user's, a project's) in which specs are looked for."""
MAX_LINKS = 40
"""Links on the way to one file, as the kernel has it."""
TEMPORARY = re.compile(r"\..+\.status\.yaml\.[0-9a-f]{8}-\d+\.tmp", re.DOTALL)
"""A status that is being written: a dotfile, so no look sees it."""

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_GONE = frozenset({ENOENT, ENOTDIR, ELOOP})
_KINDS = {
    modes.S_IFDIR: "a folder",
    modes.S_IFIFO: "a fifo",
    modes.S_IFSOCK: "a socket",
    modes.S_IFCHR: "a device",
    modes.S_IFBLK: "a device",
    modes.S_IFLNK: "a link",
}


@dataclass(frozen=True, slots=True)
class Found:
    """A file as its folder shows it. ``real`` is its path without links; ``error`` is why it must not
    be opened."""

    real: str
    stat: Stat | None
    error: str = ""


@dataclass(slots=True)
class Listing:
    """One walk through the watched folder, by path."""

    device: int
    specs: dict[str, Found] = field(default_factory=dict)
    blind: dict[str, str] = field(default_factory=dict)
    """Subfolders that could not be listed (``sub/``), and why: nothing is known about what is in them."""
    astray: set[str] = field(default_factory=set)
    """Links that lead out of the watched folder, or nowhere but in circles: ignored."""
    litter: set[str] = field(default_factory=set)
    """Statuses being written, or left behind by a crash."""


@contextmanager
def folder(root: str, path: str = "") -> Iterator[int]:
    """A descriptor of this folder below the root, reached without following a link."""
    reached = os.open(root, _FOLDER)
    try:
        for part in filter(None, path.split("/")):
            deeper = os.open(part, _FOLDER | os.O_NOFOLLOW, dir_fd=reached)
            os.close(reached)
            reached = deeper
        yield reached
    finally:
        os.close(reached)


def walk(root: str) -> Listing:
    """Every spec below the root. A subfolder that can't be listed is ``blind``; the root raises."""
    with folder(root) as top:
        listing = Listing(os.fstat(top).st_dev)
        _walk(root, top, "", listing)
    return listing


def find(root: str, path: str) -> Found | None:
    """One file by its path; None when it leads out of the root. Raises ``FileNotFoundError`` too."""
    real = resolve(root, path)
    return None if real is None else _found(real, os.lstat(posixpath.join(root, real)))


def read(root: str, real: str, limit: int) -> tuple[Stat, bytes]:
    """A regular file's ``stat`` and its bytes, at most ``limit`` and one more."""
    with folder(root, posixpath.dirname(real)) as parent:
        descriptor = os.open(posixpath.basename(real), _FILE, dir_fd=parent)
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not modes.S_ISREG(status.st_mode):
            raise FileNotFoundError(ENOENT, "it was replaced by something that is no file")
        return stat_of(status), file.read(limit + 1)


def resolve(root: str, path: str) -> str | None:
    """The path with every link replaced by what it says; None when one leads out, or there is no end."""
    ahead, behind, links = path.split("/"), "", 0
    while ahead:
        here = posixpath.join(behind, ahead.pop(0))
        try:
            says = str(Path(root, here).readlink())
        except OSError:
            behind = here
            continue
        links += 1
        leads = named_path(here, says, root)
        if leads is None or links > MAX_LINKS:
            return None
        ahead, behind = leads.split("/") + ahead, ""
    return behind


def stat_of(status: os.stat_result) -> Stat:
    """What is compared of a ``stat``."""
    times = status.st_mtime_ns, status.st_ctime_ns
    return Stat(status.st_size, *times, status.st_ino, status.st_uid, status.st_mode)


def why(error: OSError) -> str:
    """The system's reason, as part of a sentence."""
    text = error.strerror or str(error) or type(error).__name__
    return text[:1].lower() + text[1:]


def _walk(root: str, descriptor: int, prefix: str, listing: Listing) -> None:
    subfolders = []
    with os.scandir(descriptor) as entries:
        for entry in entries:
            path = prefix + entry.name
            if entry.name.startswith("."):
                listing.litter.update({path} if TEMPORARY.fullmatch(entry.name) else ())
            elif _is_folder(entry):
                subfolders.append(path)
            elif is_spec(entry.name):
                _note_spec(root, entry, path, listing)
    for path in subfolders if prefix.count("/") < MAX_DEPTH else ():
        try:
            with _below(descriptor, posixpath.basename(path)) as deeper:
                _walk(root, deeper, f"{path}/", listing)
        except OSError as error:
            if error.errno not in _GONE:
                listing.blind[f"{path}/"] = why(error)


@contextmanager
def _below(parent: int, name: str) -> Iterator[int]:
    descriptor = os.open(name, _FOLDER | os.O_NOFOLLOW, dir_fd=parent)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    with suppress(OSError):
        return entry.is_dir(follow_symlinks=False)
    return False


def _note_spec(root: str, entry: os.DirEntry[str], path: str, listing: Listing) -> None:
    try:
        status = entry.stat(follow_symlinks=False)
        found = find(root, path) if modes.S_ISLNK(status.st_mode) else _found(path, status)
    except FileNotFoundError:
        return
    except OSError as error:
        found = Found(path, None, why(error))
    if found is None:
        listing.astray.add(path)
    elif found.stat is not None and found.real != path and found.stat.uid != status.st_uid:
        # Whoever may write here could else have another user's file run in that user's name.
        listing.specs[path] = Found(path, stat_of(status), "it links to another user's file: copy it instead")
    else:
        listing.specs[path] = found


def _found(real: str, status: os.stat_result) -> Found:
    if modes.S_ISREG(status.st_mode):
        return Found(real, stat_of(status))
    kind = _KINDS.get(modes.S_IFMT(status.st_mode), "something else")
    return Found(real, stat_of(status), f"it is {kind}, not a regular file")
