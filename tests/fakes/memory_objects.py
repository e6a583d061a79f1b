"""What the cluster in memory holds: one job and its pod, a tombstone, or somebody else's object."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from controller.core.sight import ClusterJob, ForeignObject
from controller.ports import NewJob

KIND = "Job"


@dataclass(frozen=True, slots=True)
class End:
    """How a job will go. ``starts``: seconds from its creation, None: never. ``runs``: seconds from its
    start, None: for ever. The rest is what is seen: ``waiting`` and ``events`` already while it has not
    started, everything else at its end.
    """

    starts: float | None = 0.0
    runs: float | None = 1.0
    exit_code: int | None = 0
    container_reason: str = ""
    pod_reason: str = ""
    message: str = ""
    conditions: tuple[str, ...] = ()
    events: tuple[str, ...] = ()
    waiting: str = ""
    """The container's waiting reason: ContainerCreating, ImagePullBackOff …"""
    lingers: float = 0.0
    """Seconds for which its pod runs on after the object has said that it is finished."""
    silent: tuple[float, float] | None = None
    """From and to so many seconds after its end its pod is gone, and the object has not yet said that it is
    finished: as it was before it had a pod."""
    log: str = ""
    image_digest: str = ""


LOST = End(exit_code=None, pod_reason="NodeLost", conditions=("DisruptionTarget",))
"""The end of a job whose node is gone."""


@dataclass(slots=True, eq=False)
class Thing:
    """One object. Instants are the clock's monotonic seconds; ``job`` None: it is not ours."""

    uid: str
    namespace: str
    name: str
    created: float
    script: End
    job: NewJob | None = None
    kind: str = KIND
    tombstone: bool = False
    node: str = ""
    started: float | None = None
    concluded: float | None = None
    """Since when the object says that it is finished, where its pod lingers."""
    ended: float | None = None
    silent: bool = False
    """It has ended, and shows neither a pod nor an end."""
    deleting: bool = False
    ttl: float | None = None
    life: int = 0
    """Counted up when its script changes: what was due by the old one does not happen."""

    @property
    def job_id(self) -> str:
        """The job-id label."""
        return self.job.job_id if self.job else ""

    @property
    def pod_unfinished(self) -> bool:
        """Whether it has a pod that is not terminal."""
        return self.job is not None and not self.tombstone and self.ended is None

    @property
    def active(self) -> bool:
        """Whether it takes a place."""
        return not self.tombstone and self.ended is None


def foreign_object(thing: Thing) -> ForeignObject:
    """What is not ours."""
    started = thing.started is not None
    return ForeignObject(thing.name, thing.namespace, thing.uid, thing.kind, thing.active, started)


def cluster_job(thing: Thing, wall: Callable[[float], datetime]) -> ClusterJob:
    """An object of ours; ``wall`` translates an instant of the monotonic clock."""
    job = thing.job
    assert job is not None
    labels = {
        "job_id": job.job_id,
        "batch_id": job.batch_id,
        "task_id": job.task_id,
        "attempt": job.attempt,
    }
    return _shown(thing, wall, labels)


def others_job(thing: Thing, wall: Callable[[float], datetime]) -> ClusterJob:
    """An object whoever made it, without its labels."""
    return _shown(thing, wall, {"job_id": "", "batch_id": ""})


def _shown(thing: Thing, wall: Callable[[float], datetime], labels: Mapping[str, Any]) -> ClusterJob:
    script, silent = thing.script, thing.silent
    over = thing.ended is not None and not thing.tombstone and not silent
    finished = thing.tombstone or over or thing.concluded is not None
    waiting = "" if thing.started is not None or finished else script.waiting
    scheduled = () if thing.tombstone or silent else ("PodScheduled",)
    created_at = wall(thing.created)
    return ClusterJob(
        name=thing.name,
        namespace=thing.namespace,
        uid=thing.uid,
        tombstone=thing.tombstone,
        deleting=thing.deleting,
        finished=finished,
        pod_unfinished=thing.pod_unfinished,
        expiring=thing.ttl is not None,
        succeeded=script.exit_code == 0 if over else None,
        exit_code=script.exit_code if over else None,
        container_reason=script.container_reason if over else waiting,
        pod_reason=script.pod_reason if over else "",
        conditions=(*scheduled, *(script.conditions if over else ())),
        message=script.message if over else "",
        node="" if silent else thing.node,
        events=() if thing.tombstone else script.events,
        image_digest=script.image_digest if thing.started is not None and not silent else "",
        created_at=created_at,
        scheduled_at=created_at if scheduled else None,
        started_at=None if thing.started is None or silent else wall(thing.started),
        finished_at=None if thing.ended is None or silent else wall(thing.ended),
        **labels,
    )
