"""Dropping a spec into the watched folder: a copy that means the same there, all at once or not at all.

Called by ``run``. What a spec says relative to its own place would change its meaning with the place: a
csv is copied along, and ``local.workdir`` is made absolute in the copy, unless the configuration says
where it starts. The copy has the file's own name where the watcher reads such names and no other batch's
spec has it there; else it is named for the batch.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode

from controller.cli.session import application
from controller.config import Settings
from controller.core.spec import BatchSpec
from controller.ports import BatchkeeperError


class Draft:
    """A copy in the watched folder that nobody looks at yet: its name begins with a dot."""

    def __init__(self, path: Path, target: Path) -> None:
        self.path = path
        self.target = target

    def drop(self) -> None:
        """Let it appear; a spec that lies in the watched folder already is there."""
        if self.path != self.target:
            os.replace(self.path, self.target)

    def discard(self) -> None:
        """Take it away again; nothing happens when it was dropped."""
        if self.path != self.target:
            self.path.unlink(missing_ok=True)


def draft(source: Path, spec: BatchSpec, settings: Settings) -> Draft:
    """Write the copy beside where it will appear. Raises ``BatchkeeperError``, one line."""
    if settings.specs.folder is None:
        raise BatchkeeperError("specs.folder is null: name a folder that the spec can be dropped into")
    source, folder = source.absolute(), settings.specs.folder.absolute()
    try:
        target = _target(source, spec, settings, folder)
        if target == source:
            return Draft(source, source)
        folder.mkdir(parents=True, exist_ok=True)
        _copy_csv(spec, source.parent, folder)
        path = folder / f".{target.name}"
        text = source.read_text(encoding="utf-8-sig")
        path.write_text(text if settings.local.workdir else _placed(text, spec), encoding="utf-8")
    except OSError as error:
        reason = error.strerror or str(error)
        raise BatchkeeperError(
            f"the watched folder {folder} can't be written ({reason}): give another one as specs.folder"
        ) from error
    return Draft(path, target)


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


def _copy_csv(spec: BatchSpec, here: Path, there: Path) -> None:
    tasks = spec.document.get("tasks", {})
    named = tasks.get("csv", {}).get("path") if isinstance(tasks, dict) else None
    if not named or Path(named).is_absolute():
        return
    target = there / named
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = target.with_name(f".{target.name}.part")
    shutil.copyfile(here / named, unfinished)
    os.replace(unfinished, target)


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
