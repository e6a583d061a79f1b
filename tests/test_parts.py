"""The parts of a process: what people ask for and what the passes do is told in one place."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest
from prometheus_client import CollectorRegistry

from controller import intake, parts, requests
from controller.adapters.mongo import MongoStore
from controller.adapters.state_lock import LockElector
from controller.clusters import Ground
from controller.config import Settings
from controller.core.model import Status
from controller.daemon import Daemon
from controller.people import Caller
from controller.ports import JobFilter
from controller.specfile import SpecDefaults, read_spec
from controller.telemetry import Metrics
from controller.telemetry.journal import TelemetryJournal
from tests.cli.place import SPEC, SteadyClock, ends
from tests.fakes.memory_cluster import MemoryCluster
from tests.fakes.memory_store import MemoryStore

ADA = Caller("ada")


async def test_jobs_that_are_cancelled_one_by_one_are_counted_and_logged(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A cancel of their batch was in the counter and in the log, one of the same jobs by name in neither."""
    clock, registry, lines = SteadyClock(), CollectorRegistry(), list[tuple[str, dict[str, Any]]]()
    store = MemoryStore(clock)
    journal = TelemetryJournal(Metrics(registry=registry), cast(Any, _Log(lines)))
    ground = Ground(MemoryCluster(clock, ends), LockElector("test"))
    here = parts._parts(Settings(), cast(MongoStore, store), journal, None, ground)
    monkeypatch.setattr(here.engine, "clock", clock)
    read = read_spec(
        SPEC.format(name="sweep", at_most=2).encode(),
        name="sweep.yaml",
        folder=Path(),
        root=Path(),
        defaults=SpecDefaults(user=ADA.user),
    )
    assert read.spec
    await intake.accept(store, read.spec, source="sweep.yaml")
    daemon = Daemon(here.engine)
    await daemon.lead("test")
    await daemon.full_pass()
    jobs = {job.task_id: job async for job in store.find_jobs(JobFilter())}
    assert [jobs[task].status for task in ("good", "last")] == [Status.QUEUED, Status.WAITING]
    lines.clear()
    asked = [jobs["good"].id, jobs["last"].id]
    for _ in range(2):
        await requests.cancel_jobs(here.people, ADA, asked, "not needed", dry_run=True)
    assert not lines
    for _ in range(2):
        await requests.cancel_jobs(here.people, ADA, asked, "not needed")
    assert [(event, facts["job"]) for event, facts in lines] == [
        ("stop-asked", "sweep-good"),
        ("withdrawn", "sweep-last"),
    ]
    assert lines[0][1]["by"] == "ada"
    assert lines[1][1]["why"] == "withdrawn by ada: not needed"
    labels = {"batch": "sweep", "status": "terminated", "verdict": "cancelled"}
    assert registry.get_sample_value("batchkeeper_jobs_finished_total", labels) == 1


class _Log:
    """Keeps what is logged, instead of writing it."""

    def __init__(self, lines: list[tuple[str, dict[str, Any]]]) -> None:
        self._lines = lines

    def info(self, event: str, **facts: Any) -> None:
        """A line."""
        self._lines.append((event, facts))

    def debug(self, event: str, **facts: Any) -> None:
        """Nothing."""
