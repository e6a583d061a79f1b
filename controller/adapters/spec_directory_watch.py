"""One round over a spec folder: list it, look at what may have changed, hand out what has settled.

Blocking file work: ``SpecDirectory`` runs it in a thread, one round at a time. Nothing is kept but what
the last looks saw and what was handed out; after a restart everything settles and is handed out anew.
"""

from __future__ import annotations

import hashlib
import os
import posixpath
import pwd
import stat as modes
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache

from controller.adapters.spec_directory_files import Found, Listing, find, folder, read, walk, why
from controller.adapters.spec_directory_looks import Look, Looks
from controller.adapters.spec_directory_names import key_of, named_path
from controller.ports import NamedFile, SpecFile, Unavailable
from controller.telemetry.logs import get_logger

SPEC_LIMIT = 256 * 1024
"""Bytes of a spec; of a larger one, one byte more is handed out."""
BESIDE_LIMIT = 32 * 2**20
"""The same for a file that a spec names."""
LOOK_BUDGET = 64 * 2**20
"""Bytes read for looks in one round: the rest has its turn in the next."""
HAND_OUT_BUDGET = 64 * 2**20
"""Bytes handed out by one round, and so held in memory; likewise."""

LITTER_AFTER = 3600.0
"""Seconds after which a status that is still being written never will be."""

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Round:
    """What one round found: specs to hand out, and the keys of all specs that are there."""

    files: tuple[SpecFile, ...]
    keys: frozenset[str]


@dataclass(frozen=True, slots=True)
class _Due:
    """A file to look at."""

    looks: Looks
    path: str
    found: Found
    limit: int


class Watch:
    """The memory between rounds. ``wanted`` maps a spec's key to the paths that it names, as written."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._real = root
        self._specs = Looks()
        self._named = Looks()
        self._given: dict[str, Mapping[str, Look]] = {}
        self._known: frozenset[str] = frozenset()
        self._device = 0
        self._stopped_at = ""
        self._mentioned: frozenset[str] = frozenset()
        self._litter: dict[str, float] = {}

    def round(self, wanted: Mapping[str, tuple[str, ...]], now: float) -> Round:
        """Look once at everything. ``now`` is monotonic, in seconds.

        Raises ``Unavailable`` when the folder itself can't be listed. A subfolder that can't be keeps
        its specs as they were.
        """
        listing = self._list()
        self._tidy(listing.litter, now)
        present = frozenset(listing.specs) | self._unseen(listing)
        names = {path: self._paths(path, wanted.get(key_of(path), ())) for path in present}
        self._keep(present, {real for paths in names.values() for real in paths.values() if real})
        self._look([*self._due_specs(listing), *self._due_named(names)], now)
        files = self._hand_out({path: names[path] for path in listing.specs})
        self._known, self._device = present, listing.device
        return Round(files, frozenset(map(key_of, present)))

    # -- listing

    def _list(self) -> Listing:
        try:
            self._real = os.path.realpath(self._root)
            listing = walk(self._real)
        except OSError as error:
            raise Unavailable(f"{self._cannot} be listed: {why(error)}; {_ADVICE}") from error
        if self._known and not (listing.specs or listing.blind) and listing.device != self._device:
            # The bare mount point of a share that is gone. On the same device an empty folder is one.
            raise Unavailable(f"{self._cannot} be trusted: empty, and on another file system; {_ADVICE}")
        self._mention(listing)
        return listing

    def _tidy(self, litter: Iterable[str], now: float) -> None:
        """Remove what writers of statuses that died left behind."""
        self._litter = {path: self._litter.get(path, now) for path in litter}
        for path in [path for path, since in self._litter.items() if now - since >= LITTER_AFTER]:
            with suppress(OSError), folder(self._real, posixpath.dirname(path)) as parent:
                os.unlink(posixpath.basename(path), dir_fd=parent)

    @property
    def _cannot(self) -> str:
        return f"spec folder {self._root!r} can't"

    def _unseen(self, listing: Listing) -> frozenset[str]:
        return frozenset(path for path in self._known if path.startswith(tuple(listing.blind)))

    def _mention(self, listing: Listing) -> None:
        """Log what is left out, once for as long as it lasts."""
        for path in sorted(set(listing.blind) - self._mentioned):
            _log.warning("spec-folder-unlisted", folder=key_of(path), error=listing.blind[path])
        for path in sorted(listing.astray - self._mentioned):
            _log.warning("spec-link-ignored", file=key_of(path), reason="leads out of the spec folder")
        self._mentioned = frozenset(listing.blind) | frozenset(listing.astray)

    def _paths(self, spec: str, written: Iterable[str]) -> Mapping[str, str | None]:
        """Where the files are that this spec names, by what it wrote; None: outside."""
        roots = (self._real, self._root)
        return {
            path: next(filter(None, (named_path(spec, path, root) for root in roots)), None)
            for path in written
        }

    def _keep(self, present: Iterable[str], named: Iterable[str]) -> None:
        self._specs.keep_only(present)
        self._named.keep_only(named)
        self._given = {path: self._given[path] for path in present if path in self._given}

    # -- looking

    def _due_specs(self, listing: Listing) -> Iterable[_Due]:
        for path, found in listing.specs.items():
            yield _Due(self._specs, path, found, SPEC_LIMIT)

    def _due_named(self, names: Mapping[str, Mapping[str, str | None]]) -> Iterable[_Due]:
        for path in {path for paths in names.values() for path in paths.values() if path}:
            yield _Due(self._named, path, self._find(path), BESIDE_LIMIT)

    def _find(self, path: str) -> Found:
        try:
            found = find(self._real, path)
        except FileNotFoundError:
            return Found(path, None, "no such file")
        except OSError as error:
            return Found(path, None, why(error))
        return found or Found(path, None, _OUTSIDE)

    def _look(self, due: list[_Due], now: float) -> None:
        """Read what must be read, starting where the last round's budget ended: no file starves."""
        due.sort(key=lambda one: one.path)
        start = bisect_right(due, self._stopped_at, key=lambda one: one.path)
        spent = 0
        for one in due[start:] + due[:start]:
            if one.found.stat is not None and one.looks.suffices(one.path, one.found.stat, now):
                continue
            if spent >= LOOK_BUDGET:
                break
            look, size = self._look_at(one)
            spent += size
            self._stopped_at = one.path
            if look is not None:
                one.looks.note(one.path, look, now)
        else:
            self._stopped_at = ""

    def _look_at(self, due: _Due) -> tuple[Look | None, int]:
        """A look and the bytes it took; None when the file went away since it was listed."""
        if due.found.error:
            return Look(due.found.stat, error=due.found.error), 0
        try:
            stat, content = read(self._real, due.found.real, due.limit)
        except FileNotFoundError:
            return None, 0
        except OSError as error:
            return Look(due.found.stat, error=why(error)), 0
        return Look(stat, _digest(content)), len(content)

    # -- handing out

    def _hand_out(self, names: Mapping[str, Mapping[str, str | None]]) -> tuple[SpecFile, ...]:
        files, spent = [], 0
        for path in sorted(names):
            looks = self._settled(path, names[path])
            if looks is None or _same(looks, self._given.get(path)):
                continue
            if spent >= HAND_OUT_BUDGET:
                break
            file = self._file(path, looks, names[path])
            if file is not None:
                files.append(file)
                spent += len(file.content) + sum(len(one.content) for one in file.beside.values())
                self._given[path] = looks
        return tuple(files)

    def _settled(self, path: str, names: Mapping[str, str | None]) -> Mapping[str, Look] | None:
        """The settled looks of a spec (under the empty name) and of all that it names, or None."""
        spec = self._specs.settled(path)
        looks = {"": spec}
        for written, real in names.items():
            look = self._named.settled(real) if real else Look(None, error=_OUTSIDE)
            looks[written] = look and spec and _for_owner_of(spec, look)
        settled = {written: look for written, look in looks.items() if look is not None}
        return settled if len(settled) == len(looks) else None

    def _file(self, path: str, looks: Mapping[str, Look], names: Mapping[str, str | None]) -> SpecFile | None:
        """The spec with the very bytes that the looks saw; None when they are no longer there."""
        spec = self._fetch(path, looks[""], SPEC_LIMIT)
        beside = {
            written: self._fetch(real or "", looks[written], BESIDE_LIMIT) for written, real in names.items()
        }
        whole = {written: file for written, file in beside.items() if file is not None}
        if spec is None or len(whole) < len(beside):
            return None
        stat = looks[""].stat
        return SpecFile(
            key=key_of(path),
            content=spec.content,
            folder=posixpath.join(self._root, posixpath.dirname(path)).rstrip("/"),
            user=local_user(stat.uid) if stat else "",
            uid=stat.uid if stat else None,
            error=spec.error,
            truncated=spec.truncated,
            beside=whole,
        )

    def _fetch(self, path: str, look: Look, limit: int) -> NamedFile | None:
        if look.error:
            return NamedFile(error=look.error)
        try:
            found = find(self._real, path)
            content = b"" if found is None or found.error else read(self._real, found.real, limit)[1]
        except OSError:
            return None
        if _digest(content) != look.digest:
            return None
        return NamedFile(content, truncated=len(content) > limit)


_ADVICE = "nothing counts as deleted; see that it is mounted and readable, or correct specs.folder"
_OUTSIDE = "it leads out of the spec folder"
_PRIVATE = "it belongs to another user than the spec, and not everybody may read it (chmod o+r)"


def _for_owner_of(spec: Look, look: Look) -> Look:
    """What a spec's owner may have of a file that it names: the daemon may read more than its users may."""
    if look.error or spec.stat is None or look.stat is None or look.stat.uid == spec.stat.uid:
        return look
    return look if look.stat.mode & modes.S_IROTH else Look(look.stat, error=_PRIVATE)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _same(looks: Mapping[str, Look], given: Mapping[str, Look] | None) -> bool:
    """Whether this was handed out already: the same bytes of the same owner, whatever the times say."""
    return given is not None and all(
        written in given and _content(look) == _content(given[written]) for written, look in looks.items()
    )


def _content(look: Look) -> tuple[str, str, int | None]:
    return look.digest, look.error, look.stat.uid if look.stat else None


def local_user(uid: int) -> str:
    """``local:<name>`` of a user of this machine; one without a name goes by number."""
    try:
        return f"local:{_name(uid)}"
    except KeyError:
        return f"local:{uid}"


@lru_cache(maxsize=1024)
def _name(uid: int) -> str:
    """Cached, as a directory service may be slow; an unknown user is asked for again (it may be down)."""
    return pwd.getpwuid(uid).pw_name
