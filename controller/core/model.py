"""The glossary: every word that code, logs, metrics, records and documents share.

*Task*: one unit of a batch, the chain of its attempts 0, 1, 2 …
*Attempt*: one job record and at most one job of the cluster. Attempt 0 is the *root*.
*Gate*: the document that bounds a batch: who holds a place, and what foreign objects take places away.
*Place*: membership in the gate's ``holders``. *Slot*: the number of that place, kept on the record.
*Active*: created, queued or running. *Terminal*: completed, error or terminated.
*Object*: a job as the cluster has it. *Tombstone*: an object that only occupies a name.
*Token*: one create request whose definite answer has not been read; see ``OpenCreate``.

Everything here is frozen data. Times are timezone-aware UTC; durations are ``timedelta``; memory is
in bytes, CPU in millicores.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum, StrEnum
from typing import Any

from controller.core.job_input import JobInput as JobInput
from controller.core.job_input import LocalJob as LocalJob
from controller.core.job_input import Mount as Mount
from controller.core.job_input import Resources as Resources
from controller.core.notices import Notice as Notice
from controller.core.notices import Topic as Topic


class Status(StrEnum):
    """Where an attempt stands. ``estimating`` is written by EE2 only and accepted when read."""

    WAITING = "waiting"
    CREATED = "created"
    ESTIMATING = "estimating"
    QUEUED = "queued"
    RUNNING = "running"
    COMPLETED = "completed"
    ERROR = "error"
    TERMINATED = "terminated"

    @property
    def active(self) -> bool:
        """Whether an attempt in this status holds a slot."""
        return self in ACTIVE

    @property
    def terminal(self) -> bool:
        """Whether an attempt in this status has ended for good."""
        return self in TERMINAL


ACTIVE = frozenset({Status.CREATED, Status.QUEUED, Status.RUNNING})
TERMINAL = frozenset({Status.COMPLETED, Status.ERROR, Status.TERMINATED})
LIVE = ACTIVE | {Status.WAITING}


class BatchStatus(StrEnum):
    """Where a batch stands, as people see it. The gate is the authority for pause, hold and cancel."""

    EXPANDING = "expanding"
    RUNNING = "running"
    PAUSED = "paused"
    HELD = "held"
    FINISHED = "finished"
    CANCELLED = "cancelled"

    @property
    def closed(self) -> bool:
        """Whether the batch has come to its end (a retry may reopen it)."""
        return self in (BatchStatus.FINISHED, BatchStatus.CANCELLED)


class Result(StrEnum):
    """How a finished batch ended: every task completed, some, or none."""

    COMPLETED = "completed"
    PARTIAL = "partial"
    FAILED = "failed"


class Verdict(StrEnum):
    """What an attempt's end really was, from all the evidence (S5)."""

    SUCCEEDED = "succeeded"
    MOUNT_FAILURE = "mount-failure"
    CONFIGURATION_ERROR = "configuration-error"
    OUT_OF_MEMORY = "out-of-memory"
    DISRUPTED = "disrupted"
    IMAGE_PULL = "image-pull"
    START_TIMEOUT = "start-timeout"
    DEADLINE = "deadline"
    APPLICATION_ERROR = "application-error"
    CANCELLED = "cancelled"
    REAPED = "reaped"
    REJECTED = "rejected"
    LOST = "lost"
    NAME_COLLISION = "name-collision"
    UNKNOWN = "unknown"


class TerminatedCode(IntEnum):
    """Who ended an attempt (the numbers are EE2's)."""

    USER = 0
    ADMIN = 1
    AUTOMATION = 2
    BATCH_ABORT = 3
    SERVER_FAILURE = 4


class Origin(StrEnum):
    """What asked for an attempt: the spec, a retry rule, a person, or a take-over."""

    SPEC = "spec"
    AUTO = "auto"
    USER = "user"
    ADOPTED = "adopted"


class When(StrEnum):
    """When a retry may start: at once, when nothing else of the batch is left, or only by hand."""

    NOW = "now"
    BATCH_END = "batch-end"
    MANUAL = "manual"


class Hold(StrEnum):
    """Why the daemon submits nothing of a batch: the first word of the gate's ``hold``.

    A systemic failure is lifted by ``resume``. The other three are about what runs under the batch's
    names already (S11): a gate is born ``looking``, and opens once a live look has found nothing, or
    once everything that it found was taken over.
    """

    SYSTEMIC_FAILURE = "systemic-failure"
    LOOKING = "looking"
    ADOPTION_NEEDED = "adoption-needed"
    ADOPTING = "adopting"


@dataclass(frozen=True, slots=True)
class Stop:
    """An order to end an active attempt (R4). Without ``code`` it is a verdict, not a termination.

    ``why`` is a sentence for people when ``code`` is set, else the verdict's value.
    """

    why: str
    by: str
    at: datetime
    code: TerminatedCode | None = None


@dataclass(frozen=True, slots=True)
class OpenCreate:
    """One create request without a definite answer yet (R5). ``at`` is by the store's clock."""

    token: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is kept of an attempt's end after its object is gone (S8)."""

    reason: str = ""
    message: str = ""
    node: str = ""
    events: tuple[str, ...] = ()
    log_tail: str = ""
    matched: tuple[str, ...] = ()
    """The spec's log patterns that the log tail matched; searched at the edge, under a time limit."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One job record. The field names are those of the collection ``jobs`` (``id`` is ``_id``)."""

    id: str
    batch_id: str
    namespace: str
    user: str
    task_id: str
    index: int
    attempt: int
    name: str
    status: Status
    job_input: JobInput
    origin: Origin
    inserted: datetime
    updated: datetime
    slot: int | None = None
    image_digest: str = ""
    retry_parent: str | None = None
    retry_ids: tuple[str, ...] = ()
    retry_toggle: bool | None = None
    rule: str = ""
    """The retry rule that asked for this attempt, e.g. ``spec[0]`` or ``builtin:mount-failure``."""
    when: When = When.NOW
    request_id: str | None = None
    not_before: datetime | None = None
    created: datetime | None = None
    queued: datetime | None = None
    running: datetime | None = None
    finished: datetime | None = None
    stop: Stop | None = None
    no_retry: bool = False
    open_creates: tuple[OpenCreate, ...] = ()
    tombstone: bool = False
    exit_code: int | None = None
    verdict: Verdict | None = None
    reason: str = ""
    """Why the record's last step was taken: a ``Reason`` value."""
    evidence: Evidence = Evidence()
    terminated_code: TerminatedCode | None = None
    error: str = ""
    scheduler_type: str = ""
    scheduler_id: str = ""
    kind: str = ""
    """The kind of the object that was taken over, which ``scheduler_id`` names. Empty: the object is ours."""
    node: str = ""
    epoch: int = 0

    @property
    def root_id(self) -> str:
        """The id of attempt 0 of this attempt's task."""
        return self.retry_parent or self.id

    @property
    def terminating(self) -> bool:
        """Whether the attempt is active and being stopped; it keeps its slot until its object is gone."""
        return self.status.active and self.stop is not None


@dataclass(frozen=True, slots=True)
class Setting:
    """A field of the spec that may change while the batch runs: its value, who set it, and when."""

    value: Any
    source: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Counts:
    """A cache on the batch parent: attempts by status and ended first attempts by verdict.

    No safety rule reads it. It is recounted through an index at start and at each finish.
    ``first`` counts since the start or the last ``resume`` (S7b).
    """

    status: Mapping[Status, int] = field(default_factory=dict)
    first: Mapping[Verdict, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch parent: the record with ``batch_job: true``. ``child_jobs`` is read on demand only."""

    id: str
    namespace: str
    name: str
    user: str
    status: BatchStatus
    spec: Mapping[str, Any]
    """The accepted spec as canonical JSON data, its task list kept as written."""
    spec_hash: str
    source: str
    settings: Mapping[str, Setting]
    """``maxConcurrent``, ``paused``, ``priority`` and ``retry``: value, whence, since when."""
    tasks: int
    inserted: datetime
    updated: datetime
    reason: str = ""
    result: Result | None = None
    counts: Counts = Counts()
    resumed: datetime | None = None
    """The last ``resume``, or reopening by a retry: the tally of S7b starts here."""
    finished: datetime | None = None
    """When it last finished or was cancelled; unset when reopened."""
    notices: tuple[Notice, ...] = ()
    """What is still to be told of it."""
    told: tuple[Topic, ...] = ()
    """What was told as an Event, or is about to be: never again."""
    superseded: tuple[str, ...] = ()
    """Hashes of the contents that it had before ``spec_hash``, the newest last: see ``intake``."""


@dataclass(frozen=True, slots=True)
class Holder:
    """A place in the gate. ``uid`` and ``kind`` name the object of others that was taken over for it."""

    job: str
    slot: int
    uid: str = ""
    kind: str = ""


class ForeignKind(StrEnum):
    """Why an object takes a place away that no attempt of ours holds."""

    FOREIGN = "foreign"
    GHOST = "ghost"
    ORPHAN = "orphan"


@dataclass(frozen=True, slots=True)
class Foreign:
    """An active object that is counted in a gate but is no attempt's: by UID (R2, R13)."""

    uid: str
    name: str
    kind: str
    cause: ForeignKind = ForeignKind.FOREIGN

    @property
    def ours(self) -> bool:
        """Whether it is a job of ours, which no record follows: its task waits for its end (R13)."""
        return self.cause is not ForeignKind.FOREIGN


@dataclass(frozen=True, slots=True)
class Gate:
    """The document that bounds one batch (R1): the authority for max, pause, hold and cancel."""

    batch_id: str
    max: int
    paused: bool = False
    hold: str = ""
    """A ``Hold`` value and its sentence, or empty."""
    cancel: Stop | None = None
    epoch: int = 0
    holders: tuple[Holder, ...] = ()
    foreign: tuple[Foreign, ...] = ()

    @property
    def free(self) -> int:
        """Places left; negative while max was lowered or others started jobs (then nothing starts)."""
        return self.max - len(self.holders) - len(self.foreign)

    @property
    def open(self) -> bool:
        """Whether pause, hold and cancel let a claim through."""
        return not (self.paused or self.hold or self.cancel)

    @property
    def counted(self) -> frozenset[str]:
        """Uids of the objects of others that take a place: foreign ones, and those that were taken over."""
        taken = (holder.uid for holder in self.holders if holder.uid)
        return frozenset((*(foreign.uid for foreign in self.foreign), *taken))

    def held_for(self, hold: Hold) -> bool:
        """Whether this is why nothing is submitted."""
        return self.hold.partition(":")[0] == hold.value

    @property
    def waits_for_people(self) -> bool:
        """Whether people see it held. Every gate is born ``looking``: the first pass sees to that."""
        return bool(self.hold) and not self.held_for(Hold.LOOKING)

    def lowest_free_slots(self, n: int) -> tuple[int, ...]:
        """The n smallest slot numbers that no holder has."""
        taken = {holder.slot for holder in self.holders}
        found: list[int] = []
        slot = 0
        while len(found) < n:
            if slot not in taken:
                found.append(slot)
            slot += 1
        return tuple(found)


@dataclass(frozen=True, slots=True)
class Halt:
    """An operator's kill switch (S13)."""

    by: str
    why: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Halts:
    """The two kill switches: no submissions at all; no automatic retries."""

    submissions: Halt | None = None
    retries: Halt | None = None
