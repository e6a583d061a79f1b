"""Somebody else on the same cluster: jobs that are not ours, as real as ours."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from controller.adapters.local_processes import LocalProcesses
from controller.adapters.local_settings import LocalSettings
from controller.adapters.system_clock import SystemClock
from controller.core.model import JobInput
from controller.ports import CreateResult, NewJob
from tests.e2e.place import Place
from tests.e2e.waiting import wait_for


class Others:
    """Another installation that uses the place's cluster."""

    def __init__(self, place: Place) -> None:
        settings = LocalSettings(place.state, instance="theirs", grace=timedelta(seconds=0.2))
        place.state.mkdir(exist_ok=True)
        self._place = place
        self._cluster = LocalProcesses(settings, SystemClock())
        self._jobs: dict[str, tuple[NewJob, str]] = {}

    def start(self, name: str, *command: str) -> None:
        """Start a job of theirs, and wait until it runs."""
        self._place.strangers.add(name)
        job_id = f"{len(self._jobs):024x}"[:8] + self._place.database[-12:] + "0000"
        what = JobInput(image="none", command=command or ("sleep", "300"))
        job = NewJob(name, "default", "theirs", "f" * 24, name, 0, job_id, what)
        created = asyncio.run(self._cluster.create(job))
        assert created.result is CreateResult.CREATED
        self._jobs[name] = (job, created.uid)
        wait_for(f"their {name} runs", lambda: self.runs(name))

    def runs(self, name: str) -> bool:
        """Whether that very job of theirs runs, untouched: nobody asked for its end or its expiry."""
        job, uid = self._jobs[name]
        live = asyncio.run(self._cluster.get(job.namespace, job.name, job.job_id)).job
        if live is None or live.uid != uid or live.finished or not live.started:
            return False
        return not (live.deleting or live.expiring)

    def stop(self, name: str) -> None:
        """They delete their job."""
        job, uid = self._jobs.pop(name)
        asyncio.run(self._cluster.delete(job.namespace, job.name, uid))
        wait_for(f"their {name} is gone", lambda: not self._place.folder(name).exists())

    def close(self) -> None:
        """They go home and take their jobs with them."""
        for name in list(self._jobs):
            self.stop(name)
        asyncio.run(self._cluster.close())


@contextmanager
def others(place: Place) -> Iterator[Others]:
    """Others for the length of a test."""
    theirs = Others(place)
    try:
        yield theirs
    finally:
        theirs.close()
