"""A place where batches are kept, in memory: the real engine on fake ports, behind the real command line."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from controller import app, intake
from controller.adapters.state_lock import LockElector
from controller.cli import main
from controller.config import Settings
from controller.core.model import Attempt, Batch
from controller.daemon import Daemon
from controller.engine import Engine
from controller.ports import NewJob, Store
from controller.requests import People
from controller.specfile import SpecDefaults, read_spec
from controller.telemetry import Metrics
from controller.telemetry.journal import TelemetryJournal
from controller.this_machine import local_user
from tests.fakes.memory_cluster import End, MemoryCluster
from tests.fakes.memory_store import MemoryStore

START = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)

SPEC = """
apiVersion: batchkeeper/v1
kind: Batch
name: {name}
maxConcurrent: {at_most}
tasks:
  list: [{{id: good}}, {{id: wrong}}, {{id: mount}}, {{id: long}}, {{id: last}}]
job:
  image: example/none@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
  command: [work]
  env: {{PHRASE: never-shown}}
  resources: {{cpu: 2, memory: 1Gi, gpu: 1}}
retry:
  - on: {{exitCodes: [2]}}
    limit: 2
    backoff: {{base: 10m, factor: 2, max: 1h}}
    resources: {{memory: {{factor: 2, max: 4Gi}}}}
"""

ENDS = {
    "good": End(log="well done\n"),
    "wrong": End(exit_code=1, log="no such column: \x1b[31mtrait\n"),
    "mount": End(exit_code=2, log="no data\n"),
    "long": End(runs=None, log="still at it\n"),
    "last": End(),
}
"""How each task's jobs end; ``long`` runs for ever."""


class SteadyClock:
    """Time that goes on only when a test says so."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._asked = 0

    def now(self) -> datetime:
        """The wall clock."""
        return START + timedelta(seconds=self.seconds)

    def monotonic(self) -> float:
        """The same in seconds; never twice the same, for what was asked later must be later."""
        self._asked += 1
        return self.seconds + self._asked * 1e-9

    async def sleep(self, seconds: float) -> None:
        """Go on at once, after whoever else has something to do."""
        self.seconds += seconds
        await asyncio.sleep(0)


def ends(job: NewJob) -> End:
    """How a job of the test's batches ends."""
    return ENDS[job.task_id]


class Place:
    """Parts in memory, and the daemon's passes one by one."""

    def __init__(self, settings: Settings) -> None:
        self.clock = SteadyClock()
        self.store: Any = MemoryStore(self.clock)
        self.cluster = MemoryCluster(self.clock, ends)
        self.settings = settings
        self.daemon_there: bool | None = False
        self.led_by_another = False
        self.passes_asked = 0
        self._daemon: Daemon | None = None

    @property
    def parts(self) -> app.Parts:
        """What ``open_parts`` gives."""
        engine = self.engine(self.store)
        people = People(self.store, self.clock, self.settings.max_retries)
        return app.Parts(
            self.settings,
            self.store,
            self.cluster,
            self.clock,
            engine,
            engine.journal,
            people,
            LockElector("test"),
        )

    def engine(self, store: Store) -> Engine:
        """An engine of its own, as each process has one."""
        return Engine(
            cluster=self.cluster,
            store=store,
            clock=self.clock,
            journal=TelemetryJournal(Metrics()),
            settings=app.engine_settings(self.settings),
            jitter=lambda job_id: 0.0,
            new_token=lambda: "token",
        )

    def submit(self, name: str = "sweep", at_most: int = 4, user: str = "") -> Batch:
        """Make a batch of ``SPEC``."""
        content = SPEC.format(name=name, at_most=at_most).encode()
        defaults = SpecDefaults(user=user or local_user())
        read = read_spec(content, name=f"{name}.yaml", folder=Path(), root=Path(), defaults=defaults)
        assert read.spec, read.problems
        spec = read.spec
        taken = asyncio.run(intake.accept(self.store, spec, source=f"{name}.yaml"))
        assert taken.batch
        return taken.batch

    def passes(self, n: int = 4, seconds: float = 2.0) -> None:
        """So many full passes of a daemon, so far apart."""

        async def run() -> None:
            if self._daemon is None:
                self._daemon = Daemon(self.engine(self.store))
                await self._daemon.lead("test")
            for _ in range(n):
                await self._daemon.full_pass()
                self.clock.seconds += seconds

        asyncio.run(run())

    def job(self, name: str) -> Attempt:
        """A record by its name."""
        found: Attempt | None = asyncio.run(self.store.job_named("default", name))
        assert found, f"no job {name}"
        return found

    def batch(self, name: str = "sweep") -> Batch:
        """A batch by its name."""
        found: Batch | None = asyncio.run(self.store.batch_named("default", name))
        assert found
        return found

    def gate(self, name: str = "sweep") -> Any:
        """A batch's gate."""
        batch = self.batch(name)
        return asyncio.run(self.store.gates([batch.id]))[batch.id]


class Shell:
    """Types a command; keeps what came of it."""

    def __init__(self, place: Place, capsys: pytest.CaptureFixture[str]) -> None:
        self.place = place
        self._capsys = capsys

    def __call__(self, *words: str) -> SimpleNamespace:
        """The exit code, stdout and stderr of one command line."""
        code = main(list(words))
        captured = self._capsys.readouterr()
        return SimpleNamespace(code=code, out=captured.out, err=captured.err)

    def json(self, *words: str, code: int = 0) -> Any:
        """What it says to programs."""
        answer = self(*words, "-o", "json")
        assert answer.code == code, answer.err
        return json.loads(answer.out)


def behind(place: Place) -> Callable[..., contextlib.AbstractAsyncContextManager[app.Parts]]:
    """An ``open_parts`` that gives this place's."""

    @contextlib.asynccontextmanager
    async def open_parts(settings: Settings) -> AsyncIterator[app.Parts]:
        yield place.parts

    return open_parts
