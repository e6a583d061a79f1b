"""What the cluster shows: objects, live answers and whole observations, in the engine's own words.

Adapters translate into these; ``decide`` and ``plan`` judge by them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from controller.core.copying import replace


@dataclass(frozen=True, slots=True)
class ClusterJob:
    """One object of ours, the pod that tells of it folded in. Times are the cluster's, timezone-aware UTC."""

    name: str
    namespace: str
    uid: str
    job_id: str
    batch_id: str
    task_id: str = ""
    attempt: int = 0
    tombstone: bool = False
    deleting: bool = False
    finalizers: tuple[str, ...] = ()
    """What others have put on it that must be done, and taken off, before it can go."""
    finished: bool = False
    """Its pod is terminal, or the object's own condition is."""
    pod_unfinished: bool = False
    """A pod of it is not terminal (running, or terminating on a node)."""
    pod_ended: bool = False
    """Its pod is terminal, also where the object may yet get another one (it is suspended, say)."""
    pod_deleting_since: datetime | None = None
    """Since when its unfinished pod should be gone: somebody deleted it, and its grace is over."""
    expiring: bool = False
    """We have set its time to live: its end is recorded, and the cluster collects it by itself."""
    succeeded: bool | None = None
    exit_code: int | None = None
    container_reason: str = ""
    """The container's terminated or waiting reason: OOMKilled, StartError, ImagePullBackOff …"""
    pod_reason: str = ""
    """The pod's or the job's own reason: Evicted, DeadlineExceeded, NodeLost …"""
    conditions: tuple[str, ...] = ()
    """True conditions of the pod and the job: DisruptionTarget, PodScheduled …"""
    message: str = ""
    node: str = ""
    pod: str = ""
    """The name of its pod; empty: it has none or several, or the cluster knows no pods."""
    events: tuple[str, ...] = ()
    """Evidence only, ``Reason: message``, newest last: FailedMount, FailedCreate …"""
    image_digest: str = ""
    created_at: datetime | None = None
    scheduled_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    half_told: bool = False
    """News of an end that does not tell all: a pod may run on, or only events say why it never started."""

    @property
    def started(self) -> bool:
        """Whether its container has run."""
        return self.started_at is not None

    @property
    def active(self) -> bool:
        """Whether it takes a place: not finished, or a pod of it still is, or may be."""
        return not self.tombstone and (not self.finished or self.pod_unfinished or self.half_told)


@dataclass(frozen=True, slots=True)
class Hint:
    """Something changed: at most a reason to look sooner, and the object as the news carried it.

    ``job_id`` empty: look at everything. ``job`` None: it changed or went, look yourself.
    """

    job_id: str = ""
    batch_id: str = ""
    job: ClusterJob | None = None


@dataclass(frozen=True, slots=True)
class ForeignObject:
    """An object that is no attempt's and may count under a batch's prefix (roots only)."""

    name: str
    namespace: str
    uid: str
    kind: str
    active: bool = True
    started: bool = False
    """Whether the list shows that it runs; a live look tells more."""
    orphan: bool = False
    """Whether it carries our labels, and no record knows its batch."""


@dataclass(frozen=True, slots=True)
class Stray:
    """A pod of ours that has not ended, and its Job is gone."""

    job_id: str
    left: ForeignObject
    """What counts where no record knows of it."""


@dataclass(frozen=True, slots=True)
class Adoptable:
    """An object as it is now, active or ended, with its evidence; of others': ``job.job_id`` is empty."""

    kind: str
    job: ClusterJob


@dataclass(frozen=True, slots=True)
class Live:
    """A live answer about one name and one job id. ``asked`` is monotonic, from before the request."""

    asked: float
    job: ClusterJob | None = None
    """The object under the name, if it is ours and of this job id (it may be a tombstone)."""
    foreign_uid: str = ""
    """The uid of the object under the name, if it is not ours or of another job id."""
    pods: int = 0
    """Unfinished pods with the job-id label, whatever owns them."""


@dataclass(frozen=True, slots=True)
class Observation:
    """One complete look at some namespaces. ``asked`` is the monotonic instant it was asked for."""

    asked: float
    namespaces: frozenset[str] = frozenset()
    """Listed completely; absence is judged in these only, for records read before ``asked`` (R11)."""
    blind: Mapping[str, str] = field(default_factory=dict)
    """Namespaces that could not be listed, and why."""
    jobs: Mapping[str, ClusterJob] = field(default_factory=dict)
    """Our objects by job id; tombstones are left out, and maybe what has ended and was let expire. Of two
    with one job id, the one that takes a place."""
    foreign: tuple[ForeignObject, ...] = ()
    unserved: frozenset[str] = frozenset()
    """API groups of counted kinds that the cluster does not serve: nothing of them is there to count."""
    strays: tuple[Stray, ...] = ()
    """Of this one look; ``former`` puts those that no record knows of among ``foreign``."""
    asked_in: Mapping[str, float] = field(default_factory=dict)
    """By namespace, where they were looked at one by one: the instant its own list was asked for."""
    _running: dict[str, dict[str, ClusterJob]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def running(self, batch_id: str) -> Mapping[str, ClusterJob]:
        """Our active objects of this batch, by job id; sorted out once, however many passes ask."""
        if self.jobs and not self._running:
            self._running[""] = {}
            for job_id, job in self.jobs.items():
                if job.active:
                    self._running.setdefault(job.batch_id, {})[job_id] = job
        return self._running.get(batch_id, {})

    def asked_for(self, namespace: str) -> float:
        """When the list of this namespace was asked for."""
        return self.asked_in.get(namespace, self.asked)


def joined(before: Observation | None, look: Observation) -> Observation:
    """What is known after one more look: its namespaces as it saw them, the others as before."""
    anew = look.namespaces | look.blind.keys()
    if before is None:
        return replace(look, asked_in=dict.fromkeys(look.namespaces, look.asked) | dict(look.asked_in))
    rest = before.namespaces - anew
    dates = {name: before.asked_for(name) for name in rest}
    return Observation(
        asked=max(before.asked, look.asked),
        namespaces=look.namespaces | rest,
        blind={name: why for name, why in before.blind.items() if name not in anew} | dict(look.blind),
        jobs={job_id: job for job_id, job in before.jobs.items() if job.namespace in rest} | dict(look.jobs),
        foreign=(*(one for one in before.foreign if one.namespace in rest), *look.foreign),
        unserved=look.unserved if look.namespaces else before.unserved,
        asked_in=dates | {name: look.asked_for(name) for name in look.namespaces},
    )


def tells(job: ClusterJob) -> tuple[object, ...]:
    """What of an object's news can set a pass to work; the rest (a schedule, a message) only time judges."""
    unfinished = job.finished and job.pod_unfinished
    return job.uid, job.tombstone, job.deleting, job.finished, job.half_told, unfinished, job.started


def on_its_way(before: ClusterJob | None, job: ClusterJob) -> bool:
    """Whether it is there, or runs, and nothing else is new: no place becomes free by that."""
    over = job.tombstone or job.deleting or job.finished or job.half_told
    return not over and (before is None or (before.uid == job.uid and not before.tombstone))
