"""From what two listings of a remote store showed to the specs that are handed out: buckets, ConfigMaps.

A listing gives every object a *tag* that changes whenever its content does (an ETag, a hash). Two equal
listings in a row settle an object; only then, and only when its tag is a new one, is its content fetched.
An object that can't be fetched now has its turn in the next round, and holds no other one back.

Nothing is kept but tags, digests and what was handed out; after a restart all of it is handed out anew.
Called by ``spec_bucket``, in a thread, and by ``spec_configmap``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from controller.adapters.spec_directory_names import is_spec, key_of, named_path, path_of
from controller.ports import NamedFile, SpecFile

SPEC_LIMIT = 256 * 1024
"""Bytes of a spec."""
BESIDE_LIMIT = 32 * 2**20
"""The same for a file that a spec names."""
HAND_OUT_BUDGET = 64 * 2**20
"""Bytes handed out by one round, and so held in memory: the rest has its turn in the next."""
FAILURES = 2
"""Statuses in a row that can't be written now, after which the rest waits: the store is away, it seems. Each
goes behind all others, so that one which never can keeps none of them back."""
MAX_DEPTH = 3
"""Levels of folders, made by slashes in names, in which specs are looked for; as in a watched folder."""

_ROOT = "/store"
_GONE = "no such file"
_OUTSIDE = "it leads out of the watched store"


@dataclass(frozen=True, slots=True)
class Listed:
    """An object as a listing shows it. ``tag`` changes with its content."""

    tag: str
    size: int


Fetch = Callable[[str, Listed, int], NamedFile | None]
"""Asks for the content of a path, as it was listed, of at most so many bytes. None: it is no longer so, or
there is no telling now: another time. What can't be read for a reason of its own comes with its ``error``."""


@dataclass(frozen=True, slots=True)
class Round:
    """What one round found: specs to hand out, and the keys of all specs that are there."""

    files: tuple[SpecFile, ...]
    keys: frozenset[str]


@dataclass(frozen=True, slots=True)
class Place:
    """Where objects are, for people and for the owner map. ``start`` begins every key: ``s3://lab/specs/``."""

    start: str
    user: str

    def key(self, path: str) -> str:
        """The key of a path below the start."""
        return self.start + key_of(path)

    def path(self, key: str) -> str | None:
        """The path of a key; None for what is no spec of this place."""
        path = path_of(key[len(self.start) :]) if key.startswith(self.start) else None
        return path if path is not None and is_watched(path) else None


@dataclass(frozen=True, slots=True)
class _Given:
    """What was handed out under a path: the tag that it had, and what it said."""

    tag: str
    says: str


def is_watched(path: str) -> bool:
    """Whether an object of this path is read as a spec: nothing hidden, no empty part, not too deep."""
    parts = path.split("/")
    hidden = any(part == "" or part.startswith(".") for part in parts)
    return not hidden and len(parts) <= MAX_DEPTH + 1 and is_spec(parts[-1])


class Rounds:
    """The memory between rounds."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._before: Mapping[str, Listed] = {}
        self._given: dict[str, Mapping[str, _Given]] = {}
        self._stopped_at = ""

    def round(
        self,
        listing: Mapping[str, Listed],
        wanted: Mapping[str, tuple[str, ...]],
        fetch: Fetch,
        in_time: Callable[[], bool] = lambda: True,
    ) -> Round:
        """One look at everything. ``wanted`` maps a spec's key to the paths that it names, as written.

        Once ``in_time`` says no, nothing more is fetched; the next round begins where this one ended.
        """
        specs = sorted(filter(is_watched, listing))
        self._given = {path: self._given[path] for path in specs if path in self._given}
        settled = {path: thing for path, thing in listing.items() if self._before.get(path) == thing}
        files: list[SpecFile] = []
        spent = 0
        start = next((n for n, path in enumerate(specs) if path > self._stopped_at), 0)
        self._stopped_at = ""
        for path in specs[start:] + specs[:start]:
            parts = self._parts(path, wanted.get(self._place.key(path), ()), listing, settled)
            if parts is None or self._known(path, parts):
                continue
            if spent >= HAND_OUT_BUDGET or not in_time():
                break
            self._stopped_at = path
            file = self._file(path, parts, fetch)
            if file is not None:
                files.append(file)
                spent += len(file.content) + sum(len(one.content) for one in file.beside.values())
        else:
            self._stopped_at = ""
        self._before = listing
        return Round(tuple(files), frozenset(map(self._place.key, specs)))

    def _parts(
        self,
        path: str,
        written: Iterable[str],
        listing: Mapping[str, Listed],
        settled: Mapping[str, Listed],
    ) -> Mapping[str, tuple[str, Listed] | str] | None:
        """The spec (under the empty name) and all that it names, each where it is or why it is nowhere.

        None while one of them has not settled: what is missing must have been missing before, too.
        """
        parts: dict[str, tuple[str, Listed] | str] = {}
        for name, real in {"": path, **{one: named_path(path, one, _ROOT) for one in written}}.items():
            if real is None:
                parts[name] = _OUTSIDE
            elif real in settled:
                parts[name] = (real, settled[real])
            elif real in listing or real in self._before:
                return None
            else:
                parts[name] = _GONE
        return parts

    def _known(self, path: str, parts: Mapping[str, tuple[str, Listed] | str]) -> bool:
        """Whether all of this was handed out already under these very tags."""
        given = self._given.get(path, {})
        return all(name in given and given[name].tag == _tag(part) for name, part in parts.items())

    def _file(
        self, path: str, parts: Mapping[str, tuple[str, Listed] | str], fetch: Fetch
    ) -> SpecFile | None:
        """The spec and what it names as they were listed; None when it says nothing new, or not now."""
        found: dict[str, NamedFile] = {}
        for name, part in parts.items():
            limit = BESIDE_LIMIT if name else SPEC_LIMIT
            content = NamedFile(error=part) if isinstance(part, str) else _fetched(*part, limit, fetch)
            if content is None:
                return None
            found[name] = content
        given = {name: _Given(_tag(parts[name]), _says(one)) for name, one in found.items()}
        before = self._given.get(path, {})
        # What could not be read is tried again in every round: nothing but trying tells that it heals.
        self._given[path] = {
            name: _Given("", one.says) if found[name].error and not isinstance(parts[name], str) else one
            for name, one in given.items()
        }
        if all(name in before and before[name].says == one.says for name, one in given.items()):
            return None
        spec = found.pop("")
        return SpecFile(
            key=self._place.key(path),
            content=spec.content,
            folder="",
            user=self._place.user,
            error=spec.error,
            truncated=spec.truncated,
            beside=found,
        )


class Asked:
    """What the loop's side of such a source remembers: keys, and which files the specs name."""

    def __init__(self) -> None:
        self.wanted: dict[str, tuple[str, ...]] = {}
        self.keys: frozenset[str] = frozenset()
        self._beside: dict[str, frozenset[str]] = {}

    def took(self, found: Round) -> Sequence[SpecFile]:
        """Note what a round found; returns the specs that are handed out."""
        self.keys = found.keys
        self.wanted = {key: paths for key, paths in self.wanted.items() if key in found.keys}
        self._beside = {key: paths for key, paths in self._beside.items() if key in found.keys}
        self._beside |= {file.key: frozenset(file.beside) for file in found.files}
        return found.files

    def depends(self, key: str, paths: Iterable[str]) -> bool:
        """See ``ports.SpecSource.depends``."""
        self.wanted[key] = tuple(dict.fromkeys(paths))
        return self._beside.get(key, frozenset()).issuperset(self.wanted[key])


def _tag(part: tuple[str, Listed] | str) -> str:
    return part if isinstance(part, str) else f"{part[1].tag} {part[1].size}"


def _says(file: NamedFile) -> str:
    """What an object says, as short as a digest; an error is something else than any content."""
    if file.error:
        return f"error: {file.error}"
    return hashlib.sha256(file.content).hexdigest()


def _fetched(path: str, listed: Listed, limit: int, fetch: Fetch) -> NamedFile | None:
    """The content, unless it is too large to be fetched at all."""
    if listed.size > limit:
        return NamedFile(error=_too_large(listed.size, limit), truncated=True)
    return fetch(path, listed, limit)


def _too_large(size: int, limit: int) -> str:
    what = "move the tasks into a csv file" if limit == SPEC_LIMIT else "split the batch"
    return f"has {size} bytes: {limit // 1024} KiB ({limit}) at most; {what}"
