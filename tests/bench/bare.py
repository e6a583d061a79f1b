"""The raw limit of the local cluster: a loop that watches the same folders and starts the next. Nothing else.

It records nothing, survives nothing, retries nothing and knows no limit but its own: what is faster
than it is faster than this machine.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Iterator, Sequence

from bson import ObjectId

from controller.adapters.local_history import CREATE, END, Entry, read_history
from controller.adapters.local_processes import LocalProcesses
from controller.config import Settings
from controller.core.spec import BatchSpec
from controller.ports import NewJob


def new_jobs(spec: BatchSpec) -> Iterator[NewJob]:
    """What the daemon would ask the cluster for."""
    batch_id = str(ObjectId())
    for task in spec.tasks:
        yield NewJob(
            name=f"{spec.name}-{task.id}",
            namespace=spec.namespace,
            batch=spec.name,
            batch_id=batch_id,
            task_id=task.id,
            attempt=0,
            job_id=str(ObjectId()),
            input=spec.job,
        )


async def bare_loop(settings: Settings, spec: BatchSpec) -> None:
    """Run all jobs of a batch, so many at a time, from the cluster's hints alone."""
    cluster = LocalProcesses.from_settings(settings)
    waiting, over = deque(new_jobs(spec)), set[str]()
    try:
        for _ in range(min(spec.max_concurrent, len(waiting))):
            await cluster.create(waiting.popleft())
        async for hint in cluster.changes():
            if hint.job and hint.job.finished and hint.job_id not in over:
                over.add(hint.job_id)
                if waiting:
                    await cluster.create(waiting.popleft())
                if len(over) == len(spec.tasks):
                    return
    finally:
        await cluster.close()


async def bare_creates(settings: Settings, spec: BatchSpec, hands: int = 16) -> float:
    """Jobs a second that can be created at all, so many at once."""
    cluster, limit = LocalProcesses.from_settings(settings), asyncio.Semaphore(hands)

    async def create(job: NewJob) -> None:
        async with limit:
            await cluster.create(job)

    try:
        begin = time.perf_counter()
        await asyncio.gather(*(create(job) for job in new_jobs(spec)))
        return len(spec.tasks) / (time.perf_counter() - begin)
    finally:
        await cluster.close()


def history(settings: Settings) -> Sequence[Entry]:
    """What really happened in the cluster of these settings, in order."""
    return tuple(read_history(str(settings.state_dir / "cluster" / "history.jsonl")))


def refills(entries: Sequence[Entry], at_once: int) -> list[float]:
    """Seconds from each end to the creation of what took the place: the n-th end frees for create max + n."""
    ends = [entry.time for entry in entries if entry.kind == END]
    later = [entry.time for entry in entries if entry.kind == CREATE][at_once:]
    return [(created - ended).total_seconds() for ended, created in zip(ends, later, strict=False)]


def span(entries: Sequence[Entry], first: str, last: str) -> float:
    """Seconds from the first entry of one kind to the last of another."""
    begin = next(entry.time for entry in entries if entry.kind == first)
    end = [entry.time for entry in entries if entry.kind == last][-1]
    return (end - begin).total_seconds()
