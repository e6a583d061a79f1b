"""Batches in every state that the page shows, as a database has them: no daemon was here."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from bson import ObjectId

from controller.core.model import Attempt, Batch
from tests.api.place import Place

LOG = "checking mounts\nfiles not found: /data is empty\n"
ENDS: tuple[tuple[str, str, int, str], ...] = (
    ("completed", "succeeded", 0, ""),
    ("error", "mount-failure", 2, "files not found: /data is empty (exit code 2)"),
    ("error", "out-of-memory", 137, "OOMKilled: it used more than 1Gi"),
    ("completed", "succeeded", 0, ""),
)


async def put(here: Place, job: Attempt, **fields: Any) -> None:
    """Change a record behind everybody's back."""
    await here.store._jobs.update_one({"_id": ObjectId(job.id)}, {"$set": fields})


async def gate(here: Place, batch: Batch, **fields: Any) -> None:
    """Change a batch's gate."""
    await here.store._gates.update_one({"_id": ObjectId(batch.id)}, {"$set": fields})


async def parent(here: Place, batch: Batch, **fields: Any) -> None:
    """Change a batch's own record."""
    await here.store._jobs.update_one({"_id": ObjectId(batch.id)}, {"$set": fields})


async def under_way(
    here: Place, name: str = "sweep", tasks: int = 12, running: int = 2, user: str = "ada"
) -> tuple[Batch, list[Attempt]]:
    """A batch in the middle: two thirds have ended, in turns as ``ENDS`` says, some run, the rest waits."""
    batch = await here.submit(name, tasks, user)
    jobs = await here.jobs(batch)
    start = datetime.now(UTC) - timedelta(hours=1)
    await parent(here, batch, inserted=start)
    ended = 2 * tasks // 3
    for n, job in enumerate(jobs[:ended]):
        status, verdict, code, error = ENDS[n % len(ENDS)]
        begun = start + timedelta(seconds=60 * n)
        await put(
            here,
            job,
            status=status,
            verdict=verdict,
            exit_code=code,
            error=error,
            created=begun,
            queued=begun,
            running=begun + timedelta(seconds=2),
            finished=begun + timedelta(seconds=30 + 7 * n),
            node=f"node-{n % 3}",
            evidence={
                "reason": "Error" if code else "",
                "log_tail": LOG if code == 2 else "",
                "events": ["FailedMount: MountVolume.SetUp failed for volume data"] if code == 2 else [],
            },
        )
    now = datetime.now(UTC)
    for slot, job in enumerate(jobs[ended : ended + running]):
        began = now - timedelta(seconds=90)
        await put(
            here, job, status="running", slot=slot, created=began, queued=began, running=began, node="node-1"
        )
    holders = [{"job": ObjectId(job.id), "slot": n} for n, job in enumerate(jobs[ended : ended + running])]
    await gate(here, batch, hold="", holders=holders)
    await here.store.recount(batch.id)
    return batch, await here.jobs(batch)


async def finished(here: Place, name: str, result: str = "completed") -> Batch:
    """A batch that is over."""
    batch = await here.submit(name, 4)
    jobs = await here.jobs(batch)
    begun = datetime.now(UTC) - timedelta(minutes=5)
    for n, job in enumerate(jobs):
        good = result == "completed" or n
        told = (
            {"status": "completed", "verdict": "succeeded"}
            if good
            else {"status": "error", "verdict": "lost"}
        )
        await put(here, job, running=begun, created=begun, finished=begun + timedelta(seconds=9), **told)
    await parent(
        here,
        batch,
        batch_status="finished",
        status="completed" if result == "completed" else "error",
        result=result,
        finished=datetime.now(UTC),
    )
    await here.store.recount(batch.id)
    return batch
