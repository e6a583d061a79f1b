"""Dropping a spec into the watched folder: a copy that means the same there, all at once or not at all.

Called by ``run``. What a spec says relative to its own place would change its meaning with the place: a
csv is copied along, and ``local.workdir`` is made absolute in the copy, unless the configuration says
where it starts. The copy has the file's own name where the watcher reads such names and no other batch's
spec has it there; else it is named for the batch. The csv keeps its name, for the spec says it: where that
is taken, nothing is dropped.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode

from controller.cli.session import application
from controller.config import Settings
from controller.core.spec import BatchSpec
from controller.ports import BatchkeeperError


@dataclass(frozen=True, slots=True)
class Draft:
    """A copy in the watched folder that nobody looks at yet: its name begins with a dot.

    ``csv``: the one that was copied along and was not there before.
    """

    path: Path
    target: Path
    csv: Path | None = None

    def drop(self) -> None:
        """Let it appear; a spec that lies in the watched folder already is there."""
        if self.path != self.target:
            os.replace(self.path, self.target)

    def discard(self) -> None:
        """Take it away again; nothing happens when it was dropped."""
        if self.path != self.target and self.path.exists():
            self.path.unlink()
            if self.csv:
                self.csv.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class Places:
    """Where a spec lies and its copy will. ``csv``: what has to be copied along, and to where."""

    source: Path
    target: Path
    csv: tuple[Path, Path] | None = None


def places(source: Path, spec: BatchSpec, settings: Settings) -> Places:
    """Find them; nothing is written. Raises ``BatchkeeperError``, one line, where something would be lost."""
    if settings.specs.folder is None:
        raise BatchkeeperError("specs.folder is null: name a folder that the spec can be dropped into")
    source, folder = source.absolute(), settings.specs.folder.absolute()
    try:
        target = _target(source, spec, settings, folder)
        if target == source:
            return Places(source, source)
        return Places(source, target, _csv(source.parent, spec, settings, folder))
    except OSError as error:
        raise _unusable(folder, error) from error


def draft(source: Path, spec: BatchSpec, settings: Settings) -> Draft:
    """Write the copy beside where it will appear. Raises ``BatchkeeperError``, one line."""
    found = places(source, spec, settings)
    if found.target == found.source:
        return Draft(found.source, found.source)
    folder, path = found.target.parent, found.target.with_name(f".{found.target.name}")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        made = _copied(*found.csv) if found.csv else None
        text = found.source.read_text(encoding="utf-8-sig")
        path.write_text(text if settings.local.workdir else _placed(text, spec), encoding="utf-8")
    except OSError as error:
        raise _unusable(folder, error) from error
    return Draft(path, found.target, made)


def _unusable(folder: Path, error: OSError) -> BatchkeeperError:
    reason = error.strerror or str(error)
    return BatchkeeperError(
        f"the watched folder {folder} can't be written ({reason}): give another one as specs.folder"
    )


def _target(source: Path, spec: BatchSpec, settings: Settings, folder: Path) -> Path:
    """Where the copy appears; never over a spec of another batch."""
    named = folder / f"{spec.name}{'.json' if source.suffix.lower() == '.json' else '.yaml'}"
    own = [folder / source.name] if application().is_spec(source.name) else []
    for target in (*own, named):
        if target == source or not target.exists() or _defines(target, spec, settings):
            return target
    raise BatchkeeperError(
        f"{named} is not the spec of batch {spec.name}, and would be lost: move it out of the watched folder"
    )


def _defines(path: Path, spec: BatchSpec, settings: Settings) -> bool:
    """Whether what lies there is a spec of this very batch, an older one say."""
    try:
        text = path.read_text(encoding="utf-8-sig")
        name, namespace = (_written(text, key) for key in ("name", "namespace"))
    except (UnicodeDecodeError, YAMLError):
        return False
    there = namespace.value if namespace and namespace.value else settings.namespace
    return name is not None and (there, name.value) == (spec.namespace, spec.name)


def _csv(here: Path, spec: BatchSpec, settings: Settings, folder: Path) -> tuple[Path, Path] | None:
    """The csv from where to where; never over one that is not this batch's alone, unless it is the same."""
    tasks = spec.document.get("tasks", {})
    named = tasks.get("csv", {}).get("path") if isinstance(tasks, dict) else None
    if not named or Path(named).is_absolute():
        return None
    source, target = here / named, folder / named
    if not target.exists():
        return source, target
    if target.is_file() and target.read_bytes() == source.read_bytes():
        return None
    users = [path for path in _specs(folder) if _names(path, target)]
    if users and all(_defines(path, spec, settings) for path in users):
        return source, target
    raise BatchkeeperError(
        f"{target} has other rows, is not of batch {spec.name} alone, and would be lost: give your csv "
        "another name (tasks.csv.path), or move that one out of the watched folder"
    )


def _specs(folder: Path) -> Iterator[Path]:
    for path in folder.rglob("*"):
        if application().is_spec(path.name) and path.is_file():
            yield path


def _names(path: Path, csv: Path) -> bool:
    """Whether this spec names that csv, as far as anybody can tell."""
    text = path.read_text(encoding="utf-8-sig", errors="replace")
    try:
        written = _written(text, "tasks", "csv", "path") if "csv" in text else None
    except YAMLError:
        return csv.name in text
    named = path.parent / written.value if written and written.value else None
    return named is not None and named.exists() and named.samefile(csv)


def _copied(source: Path, target: Path) -> Path | None:
    """Copy a csv, all at once; the copy, unless it replaced an older one."""
    known = target.exists()
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = target.with_name(f".{target.name}.part")
    shutil.copyfile(source, unfinished)
    os.replace(unfinished, target)
    return None if known else target


def _placed(text: str, spec: BatchSpec) -> str:
    """The text of the copy: as written, but for a relative working directory."""
    written = _written(text, "job", "local", "workdir")
    if written is None or not written.value or Path(written.value).is_absolute():
        return text
    start, end = written.start_mark.index, written.end_mark.index
    return text[:start] + json.dumps(spec.job.local.workdir, ensure_ascii=False) + text[end:]


def _written(text: str, *path: str) -> ScalarNode | None:
    """Where such a value stands, in YAML or in JSON, which is YAML too."""
    node: Node | None = YAML(typ="safe", pure=True).compose(text)
    for key in path:
        fields = node.value if isinstance(node, MappingNode) else []
        node = next((value for name, value in fields if name.value == key), None)
    return node if isinstance(node, ScalarNode) else None
