"""From a spec file to a checked spec: limits and schema, the operator's policy, the owner map.

Used by ``app`` for the daemon's spec pass and by the command line for ``validate``, ``plan`` and
``submit``. The file itself is read in a process of its own, so a hostile one costs that process.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from controller.config import Settings
from controller.config.policy import policy_of
from controller.core.owners import OwnerRule, Provenance, ownership
from controller.core.policy import breaches
from controller.core.problem import Problem
from controller.core.spec import BatchSpec
from controller.ports import NamedFile, SpecFile
from controller.spec_pass import Reader, Reading
from controller.specfile import Lane, SpecDefaults, read_spec_safely


def owner_rules(settings: Settings) -> Sequence[OwnerRule]:
    """The operator's owner map out of the settings."""
    return [
        OwnerRule(
            user=rule.user, folder=rule.folder, source=rule.source, namespace=rule.namespace, uid=rule.uid
        )
        for rule in settings.specs.owners
    ]


def reader_of(settings: Settings) -> Reader:
    """How the daemon reads a spec of a watched store."""

    async def read(file: SpecFile) -> Reading:
        if file.error:
            return Reading(None, (file.error,))
        if not file.folder:
            return await _read_from_afar(settings, file)
        return await _read(settings, file, Path(file.folder), file.beside)

    return read


async def read_spec_file(settings: Settings, path: Path, *, user: str) -> Reading:
    """How a command reads a file that a person names; relative paths start at the file's own folder.

    Raises ``OSError`` when the file can't be read.
    """
    folder, content = await asyncio.to_thread(_load, path)
    file = SpecFile(key=str(path), content=content, folder=str(folder), user=user)
    return await _read(settings, file, folder)


async def read_spec_text(settings: Settings, content: bytes, *, name: str, user: str) -> Reading:
    """How the API reads a spec that was sent to it. No file belongs to it: it may name no csv.

    ``name`` tells YAML from JSON by its ending. Relative working folders start at the state folder.
    """
    file = SpecFile(key=name, content=content, folder="", user=user)
    return await _read_from_afar(settings, file, Lane.SENT)


async def _read_from_afar(settings: Settings, file: SpecFile, lane: Lane = Lane.STORE) -> Reading:
    """A spec that lies in no folder of this machine: what it names is what came with it, and nothing else."""
    folder = settings.state_dir.absolute() / SENT
    await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
    return await _read(settings, file, folder, file.beside, lane)


SENT = "sent"
"""The folder in which such specs begin; nothing is ever put there."""


def content_of(path: Path) -> bytes:
    """A spec file as it is, as much of it as is ever read. Raises ``OSError``."""
    # A pipe that nobody writes to would be waited for, and a thread that waits is not to be ended.
    with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as source:
        os.set_blocking(source.fileno(), True)
        return source.read(LIMIT + 1)


def _load(path: Path) -> tuple[Path, bytes]:
    return path.absolute().parent, content_of(path)


LIMIT = 256 * 1024
"""Bytes of a spec that are ever read; the reader refuses what is longer."""


async def _read(
    settings: Settings,
    file: SpecFile,
    folder: Path,
    beside: Mapping[str, NamedFile] | None = None,
    lane: Lane = Lane.STORE,
) -> Reading:
    """``beside``: the files that came with it, by whose right its source knows; None: whatever lies there."""
    defaults = SpecDefaults(
        max_concurrent=settings.max_concurrent,
        namespace=settings.namespace,
        user=file.user,
        workdir=settings.local.workdir,
    )
    read = await read_spec_safely(
        file.content, name=file.key, folder=folder, root=folder, defaults=defaults, beside=beside, lane=lane
    )
    warnings = tuple(str(warning) for warning in read.warnings)
    names = (read.csv,) if read.csv else ()
    if read.spec is None:
        return Reading(None, tuple(str(problem) for problem in read.problems), warnings, names)
    spec, problem = _owned(settings, file, read.spec)
    found = list(breaches(spec, policy_of(settings)))
    if problem:
        found.append(Problem(problem, field="owner"))
    if found:
        placed = (replace(each, file=file.key) for each in read.placed(found))
        return Reading(None, tuple(str(each) for each in placed), warnings, names)
    return Reading(spec, (), warnings, names)


def _owned(settings: Settings, file: SpecFile, spec: BatchSpec) -> tuple[BatchSpec, str]:
    claimed = str(spec.document.get("owner", ""))
    origin = Provenance(file.key, spec.namespace, file.user, file.uid, _watched(settings, file.folder))
    owner = ownership(owner_rules(settings), origin, claimed)
    return replace(spec, owner=owner.user), owner.problem


def _watched(settings: Settings, folder: str) -> str | None:
    """This folder from the watched one, by its name or by where links lead; None: it is not below it."""
    if not folder or settings.specs.folder is None:
        return None
    for real in (os.path.abspath, os.path.realpath):
        here, root = Path(real(folder)), Path(real(settings.specs.folder))
        if here.is_relative_to(root):
            return here.relative_to(root).as_posix()
    return None
