"""What the local cluster is told once: where it lives, its limits, and the faults that it injects."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

from controller.ports import NewJob

Faults = Mapping[str, Mapping[str, int | Literal["always"]]]
"""Batch name → task id → how many of its first attempts find their mount broken."""


@dataclass(frozen=True, slots=True)
class LocalSettings:
    """Settings of the local cluster.

    ``state``: the state folder; objects live in ``cluster/`` below it, secrets in ``secrets/``.
    ``grace``: from SIGTERM to SIGKILL. ``sample``: between two looks at a job's memory, its deadline
    and orders to delete it. ``log_bytes``: how much of a job's output is kept.
    """

    state: Path
    instance: str = "default"
    node: str = ""
    """Name of the node in records; empty: the host's name."""
    grace: timedelta = timedelta(seconds=10)
    sample: timedelta = timedelta(milliseconds=100)
    log_bytes: int = 2**20
    runai: bool = False
    """Set RUNAI_JOB_NAME in every job."""
    faults: Faults = field(default_factory=dict)


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
