"""What a job is given to run: a part of the glossary in ``model``, which is where everybody gets it from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any


@dataclass(frozen=True, slots=True)
class Resources:
    """Requests of one job. ``cpu`` in millicores, ``memory`` in bytes (0: not limited)."""

    cpu: int = 1000
    memory: int = 0
    gpu: int = 0


@dataclass(frozen=True, slots=True)
class Mount:
    """One volume: exactly one of the four sources is set."""

    path: str
    host_path: str = ""
    pvc: str = ""
    config_map: str = ""
    empty_dir: bool = False
    read_only: bool = False
    propagation: str = ""


@dataclass(frozen=True, slots=True)
class LocalJob:
    """What replaces, on one machine, what only the image has."""

    command: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    workdir: str = ""
    """Absolute; a spec's relative ``workdir`` is resolved against the spec file's folder."""


@dataclass(frozen=True, slots=True)
class JobInput:
    """What an attempt runs, frozen when its record is made. A retry runs the same bytes (E1)."""

    image: str
    command: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    resources: Resources = Resources()
    mounts: tuple[Mount, ...] = ()
    env_from_secret: tuple[str, ...] = ()
    deadline: timedelta | None = None
    start_deadline: timedelta = timedelta(minutes=15)
    node_selector: Mapping[str, str] = field(default_factory=dict)
    tolerations: tuple[Mapping[str, Any], ...] = ()
    priority_class: str = ""
    service_account: str = ""
    image_pull_secrets: tuple[str, ...] = ()
    local: LocalJob = LocalJob()
