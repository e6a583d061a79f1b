"""The labels that make an object ours (contracts.md): written at creation, read to know it again."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:  # each supervisor of the local cluster loads this module: keep it light
    from controller.ports import NewJob

BATCH = "batchkeeper.io/batch"
BATCH_ID = "batchkeeper.io/batch-id"
TASK = "batchkeeper.io/task"
ATTEMPT = "batchkeeper.io/attempt"
JOB_ID = "batchkeeper.io/job-id"
INSTANCE = "batchkeeper.io/instance"
TOMBSTONE = "batchkeeper.io/tombstone"
EXPIRING = "batchkeeper.io/expiring"
"""Set together with a time to live, once the end is recorded; its value is the instance's name."""
MANAGED_BY = "app.kubernetes.io/managed-by"
MANAGER = "batchkeeper"


def labels_of(job: NewJob, instance: str, *, tombstone: bool = False) -> dict[str, str]:
    """All labels of the object that is to be created for this job."""
    labels = {
        MANAGED_BY: MANAGER,
        INSTANCE: instance,
        BATCH: job.batch,
        BATCH_ID: job.batch_id,
        TASK: job.task_id,
        ATTEMPT: str(job.attempt),
        JOB_ID: job.job_id,
    }
    return labels | ({TOMBSTONE: "true"} if tombstone else {})


def environment_of(job: NewJob, *, runai: bool) -> dict[str, str]:
    """What every job finds in its environment about itself."""
    env = {
        "BATCHKEEPER_BATCH": job.batch,
        "BATCHKEEPER_TASK": job.task_id,
        "BATCHKEEPER_ATTEMPT": str(job.attempt),
        "BATCHKEEPER_JOB": job.job_id,
    }
    return env | ({"RUNAI_JOB_NAME": job.name} if runai else {})
