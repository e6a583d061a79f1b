"""What the oracle reads: every revision of every record, and everything that happened to objects.

Adapters turn a store's log and a cluster's history into these entries, in the order in which they took
effect: ``from_memory`` for the fakes, ``from_local`` and ``from_mongo`` for real runs.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from controller.core.model import Attempt, Batch, Gate, Halts


@dataclass(frozen=True, slots=True)
class Parent:
    """A batch parent with its list, which the glossary's ``Batch`` leaves out."""

    batch: Batch
    child_jobs: tuple[str, ...] = ()


Document = Attempt | Gate | Parent | Halts


@dataclass(frozen=True, slots=True)
class Written:
    """One revision of one document, as it stood after the write. ``at`` is the store's clock."""

    at: datetime
    after: Document
    writer: int | None = None
    """The epoch of the controller that wrote it, where the recorder knows; None: a request, or unknown."""


class Deed(StrEnum):
    """What happened to an object. The value is the word in stories."""

    CREATED = "created"
    BURIED = "buried"
    STARTED = "started"
    ENDED = "ended"
    GONE = "gone"
    DELETE = "delete asked"
    EXPIRE = "expiry asked"
    UNLABELLED = "our labels taken off"


@dataclass(frozen=True, slots=True)
class Ending:
    """What an object shows of its end to whoever looks."""

    exit_code: int | None = None
    reasons: frozenset[str] = frozenset()
    """Of its pod, its container and their conditions."""
    hidden: bool = False
    """It ended as it went, or when it was gone: nobody can have seen how."""
    fleeting: bool = False
    """What shows it may be gone before anybody looks, and only less is known then."""


@dataclass(frozen=True, slots=True)
class Happened:
    """One event of the cluster's own history. ``at`` is the cluster's clock.

    ``ENDED``: its pod is terminal. ``GONE``: the object is, and no pod of it
    is left unless it ``lingers``. ``BURIED``: a
    tombstone of ours took the name.
    """

    at: datetime
    deed: Deed
    uid: str
    name: str = ""
    namespace: str = ""
    job_id: str = ""
    """Of our label; empty: a foreign object."""
    ours: bool = False
    """Whether the program asked for this deed just now (False: the cluster itself, or a third party)."""
    success: bool | None = None
    """For ``ENDED``, where the recorder knows."""
    end: Ending | None = None
    """For ``ENDED``, where the recorder knows what is shown of it."""
    lingers: bool = False
    """For ``GONE``: a pod of it runs on, and its ``ENDED`` will follow."""
    orphan: bool = False
    """For ``CREATED``: it has our labels, and its record was lost before the run began."""


class Side(StrEnum):
    """The two sides that may be out of reach."""

    STORE = "store"
    CLUSTER = "cluster"


@dataclass(frozen=True, slots=True)
class Weather:
    """A side becomes unreachable for everybody, or reachable again; of the cluster perhaps one namespace."""

    at: datetime
    side: Side
    out: bool
    namespace: str = ""


Entry = Written | Happened | Weather
