"""A local cluster in a folder of its own, for tests, and an end for everything that it started."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from controller.adapters import local_proc
from controller.adapters.local_folders import Folders
from controller.adapters.local_history import Entry
from controller.adapters.local_processes import LocalProcesses
from controller.adapters.local_settings import LocalSettings
from controller.adapters.system_clock import SystemClock
from controller.core.model import JobInput
from controller.core.sight import ClusterJob
from controller.ports import Created, NewJob

NAMESPACE = "default"


class LocalWorld:
    """``settings`` are those of ``LocalSettings``, with a short grace unless given."""

    def __init__(self, state: Path, namespace: str = NAMESPACE, **settings: Any) -> None:
        self.state = state
        self.namespace = namespace
        self.settings = LocalSettings(state, **({"grace": timedelta(seconds=0.6)} | settings))
        self.cluster = LocalProcesses(self.settings, SystemClock())
        self.marks: set[str] = set()

    def another(self) -> LocalProcesses:
        """A second daemon's cluster on the same folder."""
        return LocalProcesses(self.settings, SystemClock())

    def job(self, name: str, *command: str, job_id: str = "", attempt: int = 0, **more: Any) -> NewJob:
        """A job with this command; ``more`` are fields of ``JobInput``."""
        # Unique to this folder, as real ids are: it marks the processes of the job on the whole machine.
        job_id = job_id or f"{abs(hash((str(self.state), name))):x}".rjust(24, "0")[:24]
        self.marks.add(job_id)
        what = JobInput(image="none", command=command, **more)
        return NewJob(name, self.namespace, "sweep", "0" * 24, name.rpartition("-")[2], attempt, job_id, what)

    def folder(self, name: str) -> Path:
        """A job's folder."""
        return self.state / "cluster" / self.namespace / name

    def history(self) -> Sequence[Entry]:
        """The history, with all that could be seen so far."""
        return Folders(str(self.state / "cluster")).events()

    def kinds(self, job: NewJob) -> list[str]:
        """What happened to this name."""
        return [entry.kind for entry in self.history() if entry.name == job.name]

    async def shown(self, job: NewJob) -> ClusterJob | None:
        """The object, asked live."""
        return (await self.cluster.get(job.namespace, job.name, job.job_id)).job

    async def once(self, job: NewJob, so: Callable[[ClusterJob], bool], seconds: float = 10.0) -> ClusterJob:
        """The object as soon as it is so."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            shown = await self.shown(job)
            if shown and so(shown):
                return shown
            await asyncio.sleep(0.03)
        raise AssertionError(f"it never came to be: {shown}")

    async def run(self, job: NewJob) -> tuple[ClusterJob, str]:
        """Create it and wait for its end: the object and its output."""
        await self.cluster.create(job)
        shown = await self.once(job, lambda found: found.finished)
        return shown, await self.cluster.log_tail(shown, 1 << 20)

    async def running(self, job: NewJob) -> Created:
        """Create it and wait for its start."""
        created = await self.cluster.create(job)
        await self.once(job, lambda found: found.started)
        return created

    def processes(self, job: NewJob) -> list[local_proc.Proc]:
        """Everything that runs for this job, its supervisor included."""
        return local_proc.marked(f"BATCHKEEPER_JOB={job.job_id}")

    def supervisor(self, job: NewJob) -> local_proc.Proc:
        """Its supervisor, which must be there."""
        return next(p for p in self.processes(job) if b"local_supervisor.py" in local_proc.command_line(p))

    async def end(self) -> None:
        """Kill what is left of all jobs, as often as it takes."""
        for mark in self.marks:
            while left := local_proc.marked(f"BATCHKEEPER_JOB={mark}"):
                for process in left:
                    local_proc.send(process, 9)
                await asyncio.sleep(0.01)
        await self.cluster.close()  # last: it collects the supervisors, which are this process's children
