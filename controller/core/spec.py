"""What a batch spec means, once read, checked and typed: the frozen result of ``specfile``.

A spec file's YAML never gets past ``controller.specfile``; the engine sees these values only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from controller.core.model import JobInput, Verdict, When


@dataclass(frozen=True, slots=True)
class Task:
    """One task: its id, its place in the spec, and its parameters as they are added to the env."""

    id: str
    index: int
    parameters: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Match:
    """When a retry rule applies: keys are AND, the values of one key are OR; an empty key is not asked."""

    verdicts: tuple[Verdict, ...] = ()
    exit_codes: tuple[int, ...] = ()
    reasons: tuple[str, ...] = ()
    logs: str = ""
    """A regular expression; ``Evidence.matched`` tells whether the log tail matched it."""


@dataclass(frozen=True, slots=True)
class Backoff:
    """Delay n = min(base · factor^(n-1), max) · (1 … 1.1)."""

    base: timedelta = timedelta(seconds=60)
    factor: float = 2.0
    max: timedelta = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Escalation:
    """How a resource grows: the root's request times ``factor`` per earlier match, at most ``max``."""

    factor: float
    max: int | None = None
    """In bytes for memory, millicores for cpu, devices for gpu."""


@dataclass(frozen=True, slots=True)
class RetryRule:
    """One retry rule. ``name`` is stable (``spec[0]``, ``builtin:lost``) and is kept on the child."""

    name: str
    match: Match
    limit: int = 1
    backoff: Backoff = Backoff()
    when: When = When.NOW
    resources: Mapping[str, Escalation] = field(default_factory=dict)
    """Keys ``cpu``, ``memory``, ``gpu``."""


@dataclass(frozen=True, slots=True)
class BatchSpec:
    """One batch as its author asked for it."""

    name: str
    namespace: str
    owner: str
    max_concurrent: int
    job: JobInput
    tasks: tuple[Task, ...]
    priority: int = 0
    paused: bool = False
    adopt: bool = False
    max_auto_retries: int = 6
    retry: tuple[RetryRule, ...] = ()
    document: Mapping[str, Any] = field(default_factory=dict)
    """The spec as canonical JSON data; kept on the batch parent."""
    hash: str = ""
    """SHA-256 (hex) of the spec's and its csv's bytes together: the spec's content identity."""
