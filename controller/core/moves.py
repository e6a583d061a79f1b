"""The words of a decision about one attempt: why, what to do, and what is known of its object.

``decide`` speaks them, ``plan``, the deeds and ``explain`` understand them. Data only.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum

from controller.core.change import Change
from controller.core.reaping import Reaper
from controller.core.sight import ClusterJob, Live


class Reason(StrEnum):
    """Why a step is taken: one value for log key, metric label and the record's ``reason``."""

    PLACE_FREE = "place-free"
    HAS_PLACE = "has-place"
    CREATING_AGAIN = "creating-again"
    CREATE_ANSWERED = "create-answered"
    ACCEPTED = "accepted"
    STARTED = "started"
    OTHER_UID = "other-uid"
    OTHERS_LOOKED_FOR = "others-looked-for"
    ADOPTED = "adopted"
    NOT_SEEN = "not-seen"
    CONFIRM = "confirm"
    NO_POD = "no-pod"
    FINISHED = "finished"
    LOST = "lost"
    STOPPED = "stopped"
    STOPPING = "stopping"
    REFUSED = "refused"
    THROTTLED = "throttled"
    UNANSWERED = "unanswered"
    NAME_TAKEN = "name-taken"
    NAME_BURIED = "name-buried"
    BURYING = "burying"
    OVERDUE = "overdue"
    START_DEADLINE = "start-deadline"
    CANCEL = "cancel"
    RETRY_FORBIDDEN = "retry-forbidden"
    RETRY_DUE = "retry-due"
    RETRY_ASKED = "retry-asked"
    HURRIED = "hurried"
    ENDED = "ended"
    RESULT_KEPT = "result-kept"
    GHOST = "ghost"
    ORPHAN = "orphan"
    FOREIGN_SEEN = "foreign-seen"
    FOREIGN_UNSEEN = "foreign-unseen"
    LINKED = "linked"
    SYSTEMIC_FAILURE = "systemic-failure"
    BATCH_MOVED = "batch-moved"
    WORTH_TELLING = "worth-telling"


class Act(StrEnum):
    """What the engine is to do for one attempt."""

    WRITE = "write"
    LOOK = "look"
    CREATE = "create"
    END = "end"
    DELETE = "delete"
    BURY = "bury"
    EXPIRE = "expire"
    GHOST = "ghost"


@dataclass(frozen=True, slots=True)
class Lifecycle:
    """The operator's figures that decisions about one attempt depend on."""

    hold: timedelta = timedelta(hours=24)
    """H: how long a create without an answer keeps its name occupied (R5)."""
    ttl: timedelta = timedelta(hours=1)
    """How long a finished object is kept once its result is durable."""
    no_pod_after: timedelta = timedelta(seconds=60)
    """How long after an object's creation its pod may be missing before anybody asks why: quotas, PodSecurity
    and missing service accounts refuse no object, only its pod."""
    unreachable_after: timedelta = timedelta(minutes=10)
    """How long a pod may take to go before its node is taken to be out of reach. For people only: it decides
    nothing."""
    reaper: Reaper = field(default_factory=Reaper)


@dataclass(frozen=True, slots=True)
class Sight:
    """What is known of one attempt's object. ``UNSEEN``: nothing may be judged, neither way."""

    known: bool = False
    live: bool = False
    """It answers a live question that was asked after the record was read."""
    job: ClusterJob | None = None
    foreign_uid: str = ""
    pods: int = 0

    @classmethod
    def listed(cls, job: ClusterJob | None) -> Sight:
        """From a complete list that was asked for after the record was read, or from news of it."""
        return cls(known=True, job=job)

    @classmethod
    def answered(cls, live: Live) -> Sight:
        """From a live answer asked for after the record was read (R6, R11)."""
        return cls(known=True, live=True, job=live.job, foreign_uid=live.foreign_uid, pods=live.pods)


UNSEEN = Sight()


@dataclass(frozen=True, slots=True)
class Move:
    """One attempt's next step: what to do, why, and the record's change if it is known already."""

    act: Act
    reason: Reason
    change: Change | None = None
    uid: str = ""
    ttl: timedelta | None = None
