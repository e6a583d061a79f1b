"""Between the engine's words and the local cluster's files: what a job becomes, what a folder means.

Pure. Called by ``local_processes``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from controller.adapters import labels
from controller.adapters.local_files import Json
from controller.adapters.local_folders import FINISHED, LOGS, Record
from controller.adapters.local_settings import LocalSettings, injected_fault
from controller.core.model import Mount
from controller.core.naming import is_label
from controller.core.sight import ClusterJob, ForeignObject
from controller.ports import NewJob, Rejected

KIND = "LocalJob"
_UNPROCESSABLE = 422


def check_names(job: NewJob) -> None:
    """Raises ``Rejected`` for names that can't be folders or files of their own here."""
    if job.namespace == LOGS or not is_label(job.namespace):
        raise Rejected(f"namespace '{job.namespace}' can't be used on one machine", _UNPROCESSABLE)
    if not is_label(job.name) or len(job.name) > 63:
        raise Rejected(f"'{job.name}' is no valid job name: a-z, 0-9 and -, at most 63", _UNPROCESSABLE)
    for secret in job.input.env_from_secret:
        if "/" in secret or secret.startswith("."):
            raise Rejected(f"'{secret}' is no valid secret name", _UNPROCESSABLE)


def document(job: NewJob, uid: str, created: Mapping[str, Any], settings: LocalSettings) -> Json:
    """The ``job.json`` of a job; ``created``: a mark."""
    return {**_identity(job, uid, created, settings), "run": _run(job, settings)}


def tombstone(
    job: NewJob, uid: str, created: Mapping[str, Any], settings: LocalSettings, ttl: timedelta
) -> Json:
    """The ``job.json`` of a tombstone under the job's name."""
    found = _identity(job, uid, created, settings)
    found["labels"] = labels.labels_of(job, settings.instance, tombstone=True)
    return {**found, "ttl": ttl.total_seconds()}


def _identity(job: NewJob, uid: str, created: Mapping[str, Any], settings: LocalSettings) -> Json:
    return {
        "uid": uid,
        "namespace": job.namespace,
        "name": job.name,
        "labels": labels.labels_of(job, settings.instance),
        "node": settings.node,
        "created": dict(created),
    }


def _run(job: NewJob, settings: LocalSettings) -> Json:
    """What the supervisor needs. Secrets are named here; their values are read when the job starts."""
    what = job.input
    return {
        "command": list(what.local.command or what.command),
        "env": dict(what.env),
        "local_env": dict(what.local.env),
        "identity": labels.environment_of(job, runai=settings.runai),
        "workdir": what.local.workdir,
        "mounts": [
            {"path": mount.path, "host_path": mount.host_path, "empty_dir": mount.empty_dir}
            for mount in what.mounts
        ],
        "ignored": [_ignored(mount) for mount in what.mounts if mount.pvc or mount.config_map],
        "secrets": list(what.env_from_secret),
        "secrets_folder": str(settings.state.absolute() / "secrets"),
        "memory": what.resources.memory,
        "deadline": what.deadline.total_seconds() if what.deadline else 0,
        "grace": settings.grace.total_seconds(),
        "sample": settings.sample.total_seconds(),
        "log_bytes": settings.log_bytes,
        "fault": injected_fault(job, settings.faults),
    }


def _ignored(mount: Mount) -> str:
    what = f"pvc {mount.pvc}" if mount.pvc else f"configMap {mount.config_map}"
    return f"VolumeIgnored: {what} for {mount.path} does not exist on one machine; the job runs without it"


def is_ours(record: Record, instance: str) -> bool:
    """Whether the folder carries our labels: managed-by, this instance, and a job id."""
    found = record.labels
    managed = found.get(labels.MANAGED_BY) == labels.MANAGER
    return managed and found.get(labels.INSTANCE) == instance and bool(found.get(labels.JOB_ID))


def foreign_object(record: Record) -> ForeignObject:
    """What is not ours; a folder without a status of the local cluster's counts as long as it is there."""
    active = not (record.labels and record.phase == FINISHED)
    started = active and "started" in record.status
    return ForeignObject(record.name, record.namespace, record.uid, KIND, active, started)


def others_job(record: Record) -> ClusterJob:
    """What is not ours, with its evidence; of a folder that makes no sense only that it is there."""
    active = foreign_object(record).active
    try:
        shown = cluster_job(record)
    except (KeyError, TypeError, ValueError):
        place = (record.name, record.namespace, record.uid)
        return ClusterJob(*place, job_id="", batch_id="", finished=not active, pod_unfinished=active)
    return replace(shown, job_id="", batch_id="", task_id="", attempt=0, finished=not active)


def cluster_job(record: Record, problem: str = "") -> ClusterJob:
    """An object of ours. ``problem``: why its supervisor could not be started, if so."""
    status, found = record.status, record.labels
    finished = record.phase == FINISHED
    scheduled = ("PodScheduled",) if "scheduled" in status else ()
    events = (*record.job.get("run", {}).get("ignored", ()), *status.get("events", ()))
    return ClusterJob(
        name=record.name,
        namespace=record.namespace,
        uid=record.uid,
        job_id=found[labels.JOB_ID],
        batch_id=found.get(labels.BATCH_ID, ""),
        task_id=found.get(labels.TASK, ""),
        attempt=int(found.get(labels.ATTEMPT, 0)),
        tombstone=record.tombstone,
        deleting=record.deletion is not None,
        finished=finished,
        pod_unfinished=not finished,
        expiring=record.tombstone or record.expiry is not None,
        succeeded=status.get("succeeded"),
        exit_code=status.get("exit_code"),
        container_reason=status.get("reason", ""),
        pod_reason=status.get("pod_reason", ""),
        conditions=(*scheduled, *status.get("conditions", ())),
        message=status.get("message", ""),
        node=record.job.get("node", "") if status else "",
        events=(*events, f"FailedScheduling: {problem}") if problem else events,
        created_at=_time(record.job, "created"),
        scheduled_at=_time(status, "scheduled"),
        started_at=_time(status, "started"),
        finished_at=_time(status, "finished"),
    )


def _time(data: Mapping[str, Any], key: str) -> datetime | None:
    return datetime.fromtimestamp(data[key]["wall"], UTC) if key in data else None
