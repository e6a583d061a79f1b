"""Dropping a spec into the watched folder: a copy that means the same there, all at once or not at all.

Called by ``run``. What a spec says relative to its own place would change its meaning with the place:
``local.workdir`` is made absolute in the copy, and a csv is copied along.
"""

from __future__ import annotations

import io
import json
import os
import shutil
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from controller.core.spec import BatchSpec
from controller.ports import BatchkeeperError


class Draft:
    """A copy in the watched folder that nobody looks at yet: its name begins with a dot."""

    def __init__(self, path: Path, target: Path) -> None:
        self.path = path
        self.target = target

    def drop(self) -> None:
        """Let it appear."""
        os.replace(self.path, self.target)

    def discard(self) -> None:
        """Take it away again; nothing happens when it was dropped."""
        self.path.unlink(missing_ok=True)


def draft(source: Path, spec: BatchSpec, folder: Path) -> Draft:
    """Write the copy beside where it will appear. Raises ``BatchkeeperError``, one line."""
    source, folder = source.absolute(), folder.absolute()
    target = folder / source.name
    if target == source:
        return Draft(folder / f".{source.name}", source)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _copy_csv(spec, source.parent, folder)
        path = folder / f".{source.name}"
        path.write_text(_placed(source, spec), encoding="utf-8")
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


def _placed(source: Path, spec: BatchSpec) -> str:
    """The text of the copy: as written, but for a relative working directory."""
    text = source.read_text(encoding="utf-8-sig")
    local = _local(spec)
    workdir = spec.job.local.workdir
    if not local.get("workdir") or Path(str(local["workdir"])).is_absolute():
        return text
    if source.suffix == ".json":
        document = json.loads(text)
        document["job"]["local"]["workdir"] = workdir
        return json.dumps(document, indent=2, ensure_ascii=False) + "\n"
    yaml = YAML()  # keeps comments, quotes and the order of keys
    yaml.preserve_quotes = True
    yaml.width = 1_000_000
    written = yaml.load(text)
    written["job"]["local"]["workdir"] = workdir
    out = io.StringIO()
    yaml.dump(written, out)
    return out.getvalue()


def _local(spec: BatchSpec) -> dict[str, Any]:
    local = spec.document.get("job", {}).get("local", {})
    return local if isinstance(local, dict) else {}
