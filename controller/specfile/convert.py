"""From the checked models to what the engine knows: ``JobInput`` and the canonical document."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from controller.core.model import JobInput, LocalJob, Mount, Resources
from controller.specfile import models
from controller.specfile.csvfile import Table


def job_input(job: models.Job, folder: Path) -> JobInput:
    """What every task runs; its parameters are added to the env when its record is made.

    ``folder``: the spec's own, where a relative ``local.workdir`` starts.
    """
    return JobInput(
        image=job.image,
        command=tuple(job.command),
        env=dict(job.env),
        resources=Resources(job.resources.cpu, job.resources.memory, job.resources.gpu),
        mounts=tuple(_mount(mount) for mount in job.mounts),
        env_from_secret=tuple(job.env_from_secret),
        deadline=job.deadline,
        start_deadline=job.start_deadline,
        node_selector=dict(job.node_selector),
        tolerations=tuple(_written(toleration) for toleration in job.tolerations),
        priority_class=job.priority_class or "",
        service_account=job.service_account or "",
        image_pull_secrets=tuple(job.image_pull_secrets),
        local=_local(job.local, folder),
    )


def document(
    header: models.Header,
    tasks: models.Tasks,
    job: models.Job,
    retry: list[models.Retry],
    table: Table | None,
) -> dict[str, Any]:
    """The spec as JSON data with every default filled in; equal meaning gives equal data, itself a spec.

    Tasks stay as written; of a csv it holds path, id column, SHA-256 and number of rows.
    """
    tasks_written = _written(tasks)
    if table is not None:
        tasks_written["csv"] |= {"sha256": table.sha256, "rows": len(table.rows)}
    return {
        **_written(header),
        "tasks": tasks_written,
        "job": _written(job),
        "retry": [_written(rule) for rule in retry],
    }


def _written(part: models.Part) -> dict[str, Any]:
    return part.model_dump(mode="json", by_alias=True, exclude_none=True)


def _mount(mount: models.Mount) -> Mount:
    return Mount(
        path=mount.path,
        host_path=mount.host_path or "",
        pvc=mount.pvc or "",
        config_map=mount.config_map or "",
        empty_dir=bool(mount.empty_dir),
        read_only=mount.read_only,
        propagation="" if mount.propagation == "None" else mount.propagation,
    )


def _local(local: models.Local, folder: Path) -> LocalJob:
    workdir = str((folder / local.workdir).absolute()) if local.workdir else ""
    return LocalJob(tuple(local.command), dict(local.env), workdir)
