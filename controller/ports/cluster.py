"""The cluster as a port: Kubernetes, or this machine."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Protocol

from controller.core.model import (
    JobInput,
)
from controller.core.sight import Adoptable, ClusterJob, Hint, Live, Observation


@dataclass(frozen=True, slots=True)
class NewJob:
    """What to create: the deterministic name is the idempotency key; labels carry the identity."""

    name: str
    namespace: str
    batch: str
    batch_id: str
    task_id: str
    attempt: int
    job_id: str
    input: JobInput
    avoid_nodes: tuple[str, ...] = ()
    """Nodes where this task's mount failed before (S7): a soft preference."""
    image_digest: str = ""
    """The digest that the first attempt ran, when known: a retry runs the same bytes."""


class CreateResult(StrEnum):
    """The definite answers to a create."""

    CREATED = "created"
    EXISTS_OURS = "exists-ours"
    EXISTS_TOMBSTONE = "exists-tombstone"
    EXISTS_FOREIGN = "exists-foreign"


@dataclass(frozen=True, slots=True)
class Created:
    """A definite answer: what the name holds now. ``uid`` of the object under the name."""

    result: CreateResult
    uid: str


class Cluster(Protocol):
    """A cluster that runs jobs: Kubernetes, or this machine.

    Ours is what carries our labels: managed-by, instance and job-id. A tombstone is ours but never
    found, counted or finished. Every call is bounded in time and raises ``Unavailable`` past it.
    """

    scheduler_type: str

    async def observe(self, namespaces: Sequence[str]) -> Observation:
        """List everything that matters in these namespaces, stamped with when it was asked for.

        What has ended and was let expire may be left out of it: its end is recorded, and thousands of it
        are kept. A namespace that could not be listed completely is in ``Observation.blind`` with its reason;
        its absence proves nothing. Raises ``Unavailable`` when nothing could be listed.
        """
        ...

    async def get(self, namespace: str, name: str, job_id: str) -> Live:
        """Ask live for the object of this name, and for pods with this job-id label, in that order."""
        ...

    async def get_uid(self, namespace: str, name: str, kind: str, uid: str) -> bool:
        """Ask live whether this very object (foreign ones included) is still active."""
        ...

    async def find(self, namespace: str, prefix: str) -> Sequence[Adoptable]:
        """Objects whose names start with ``prefix``, live: others' roots of any counted kind, and ours (S11).

        Active or ended, with the evidence that is still there; tombstones of ours are left out. All kinds
        were listed, or ``Unavailable``.
        """
        ...

    async def find_uid(self, namespace: str, name: str, kind: str, uid: str) -> ClusterJob | None:
        """This very object of others as it is now, live, with its evidence.

        None: it is gone, or its name is another uid's, and no pod of it is left unfinished. While one
        is, what is left of it is ``pod_unfinished``.
        """
        ...

    async def create(self, job: NewJob) -> Created:
        """Create the job under its name. Raises ``Rejected`` (a definite 4xx) or ``Unavailable``."""
        ...

    async def bury(self, job: NewJob, ttl: timedelta) -> Created:
        """Create a tombstone under the job's name (R5): it occupies the name and runs nothing.

        ``CREATED`` or ``EXISTS_TOMBSTONE``: buried. ``EXISTS_OURS``: a late create won; delete it
        by uid, wait until gone, bury again.
        """
        ...

    async def delete(self, namespace: str, name: str, uid: str) -> None:
        """Delete in the foreground with the uid as precondition; gone or another uid is no error."""
        ...

    async def expire(self, namespace: str, name: str, uid: str, ttl: timedelta) -> None:
        """Let a finished object be collected after ``ttl``; gone or another uid is no error.

        Its end must be recorded: lists may leave it out from here on.
        """
        ...

    async def log_tail(self, job: ClusterJob, max_bytes: int) -> str:
        """The last log bytes of the object's pod as text; empty when there is none (any more)."""
        ...

    def changes(self) -> AsyncIterator[Hint]:
        """Hints: objects of ours that changed, as they are now (an empty hint: look at everything)."""
        ...

    async def close(self) -> None:
        """Let go of connections and tasks; jobs go on."""
        ...
