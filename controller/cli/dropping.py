"""Dropping a spec into the watched folder: a copy that means the same there, all at once or not at all.

Called by ``run``. What a spec says relative to its own place would change its meaning with the place: a
csv is copied along, and ``local.workdir`` is made absolute in the copy, unless the configuration says
where it starts.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

from ruamel.yaml import YAML
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode

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
    target = folder / source.name
    if target == source:
        return Draft(source, source)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _copy_csv(spec, source.parent, folder)
        path = folder / f".{source.name}"
        text = source.read_text(encoding="utf-8-sig")
        path.write_text(text if settings.local.workdir else _placed(text, spec), encoding="utf-8")
    except OSError as error:
        reason = error.strerror or str(error)
        raise BatchkeeperError(
            f"the watched folder {folder} can't be written ({reason}): give another one as specs.folder"
        ) from error
    return Draft(path, target)


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
    written = _written_workdir(text)
    if written is None or not written.value or Path(written.value).is_absolute():
        return text
    start, end = written.start_mark.index, written.end_mark.index
    return text[:start] + json.dumps(spec.job.local.workdir, ensure_ascii=False) + text[end:]


def _written_workdir(text: str) -> ScalarNode | None:
    """Where ``job.local.workdir`` stands, in YAML or in JSON, which is YAML too."""
    node: Node | None = YAML(typ="safe", pure=True).compose(text)
    for key in ("job", "local", "workdir"):
        fields = node.value if isinstance(node, MappingNode) else []
        node = next((value for name, value in fields if name.value == key), None)
    return node if isinstance(node, ScalarNode) else None
