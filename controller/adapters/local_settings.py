"""What the local cluster is told once: where it lives, its limits, and the faults that it injects."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal, Protocol

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from controller.ports import NewJob, Rejected

Faults = Mapping[str, Mapping[str, int | Literal["always"]]]
"""Batch name → task id → how many of its first attempts find their mount broken."""


class _Local(Protocol):
    @property
    def node(self) -> str: ...
    @property
    def grace(self) -> timedelta: ...
    @property
    def sample(self) -> timedelta: ...
    @property
    def log_bytes(self) -> int: ...
    @property
    def kept_logs(self) -> int: ...
    @property
    def faults(self) -> str: ...


class _Compat(Protocol):
    @property
    def runai(self) -> bool: ...


class Configuration(Protocol):
    """The part of ``config.yaml`` that is read here."""

    @property
    def instance(self) -> str:
        """Which installation this is."""
        ...

    @property
    def state_dir(self) -> Path:
        """The state folder."""
        ...

    @property
    def local(self) -> _Local:
        """The section ``local``."""
        ...

    @property
    def compat(self) -> _Compat:
        """The section ``compat``."""
        ...


@dataclass(frozen=True, slots=True)
class LocalSettings:
    """Settings of the local cluster.

    ``state``: the state folder; objects live in ``cluster/`` below it, secrets in ``secrets/``.
    ``grace``: from SIGTERM to SIGKILL. ``sample``: between two looks at a job's memory, its deadline
    and orders to delete it. ``log_bytes``: how much of a job's output is kept. ``kept_logs``:
    bytes on the disk, of all logs together whose folders are gone.
    """

    state: Path
    instance: str = "default"
    node: str = ""
    """Name of the node in records; empty: the host's name."""
    grace: timedelta = timedelta(seconds=10)
    sample: timedelta = timedelta(milliseconds=100)
    log_bytes: int = 2**20
    kept_logs: int = 2**30
    runai: bool = False
    """Set RUNAI_JOB_NAME in every job."""
    faults: Faults = field(default_factory=dict)

    @classmethod
    def of(cls, config: Configuration) -> LocalSettings:
        """As ``config.yaml`` says. Raises ``Rejected`` when the faults file is missing or wrong."""
        local = config.local
        return cls(
            state=config.state_dir,
            instance=config.instance,
            node=local.node,
            grace=local.grace,
            sample=local.sample,
            log_bytes=local.log_bytes,
            kept_logs=local.kept_logs,
            runai=config.compat.runai,
            faults=load_faults(Path(local.faults)) if local.faults else {},
        )


def load_faults(path: Path) -> Faults:
    """Read a faults file. Raises ``Rejected`` with one line."""
    try:
        return read_faults(YAML(typ="safe").load(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise Rejected(f"local.faults: {path} can't be read: {error.strerror}") from error
    except (YAMLError, ValueError) as error:
        raise Rejected(f"local.faults: {path}: {' '.join(str(error).split())}") from error


def read_faults(document: object) -> Faults:
    """The content of a faults file, checked. Raises ``ValueError``: one line, what is wrong and where."""
    if document is None:
        return {}
    if not isinstance(document, Mapping) or set(document) - {"mountFailures"}:
        raise ValueError("mountFailures is the only key that a faults file may have")
    batches = document.get("mountFailures") or {}
    return {str(batch): _tasks(f"mountFailures.{batch}", tasks) for batch, tasks in _items(batches)}


def injected_fault(job: NewJob, faults: Faults) -> str:
    """The log line of an attempt whose mount shall fail; empty when it shall run."""
    count = faults.get(job.batch, {}).get(job.task_id, 0)
    if count != "always" and job.attempt >= count:
        return ""
    paths = [mount.path for mount in job.input.mounts]
    return f"mount failure (injected): {paths[0] if paths else '/data'} is not mounted"


def _tasks(where: str, tasks: object) -> Mapping[str, int | Literal["always"]]:
    return {str(task): _count(f"{where}.{task}", count) for task, count in _items(tasks, where)}


def _count(where: str, count: object) -> int | Literal["always"]:
    if count == "always":
        return "always"
    if isinstance(count, bool) or not str(count).isdigit() or int(str(count)) < 1:
        raise ValueError(f"{where}: must be a whole number of attempts, 1 or more, or always")
    return int(str(count))


def _items(mapping: object, where: str = "mountFailures") -> list[tuple[Any, Any]]:
    if not isinstance(mapping, Mapping):
        raise ValueError(f"{where}: must be a section, its keys indented below it")
    return list(mapping.items())
