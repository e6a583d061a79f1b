"""Fixtures that many tests share: a real MongoDB, once per test worker."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pymongo
import pytest
from hypothesis import settings
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling
from xdist.workermanage import WorkerController

from controller.adapters.mongod import acquire

settings.register_profile("untimed", deadline=None)  # a busy machine is no failure
settings.load_profile("untimed")

TOGETHER = {
    "tests/monitoring/test_dashboard.py": "monitoring",
    "tests/monitoring/test_end_to_end.py": "monitoring",
    "tests/control_plane/test_breaking.py": "breaking",
    "tests/kube/test_faults.py": "faults",
    "tests/kube/test_tokens.py": "tokens",
    "tests/e2e/test_daemon_specs.py": "specs",
    "tests/e2e/test_predecessor_ee2.py": "ee2",
    "tests/e2e/test_predecessor_script.py": "script",
}
"""Modules whose tests share what is dear to set up (a run of its own, a control plane to break): one worker
each, so that it is set up once.
"""


class Together(LoadScopeScheduling):  # type: ignore[misc]  # xdist ships no types
    """Test by test to whichever worker is free, but what belongs together to one."""

    def _split_scope(self, nodeid: str) -> str:
        """What is handed out as one."""
        return TOGETHER.get(nodeid.partition("::")[0], nodeid)

    def add_node_collection(self, node: WorkerController, collection: Sequence[str]) -> None:
        """Take note of what a worker found; one that replaces another and found something else is let go."""
        super().add_node_collection(node, collection)
        if node not in self.registered_collections:
            node.shutdown()

    def remove_node(self, node: WorkerController) -> str | None:
        """Let a worker go. Of one that died: the test it was in, which is not run again; the others are.

        (xdist 3.8.0 hands out once more whatever the worker ever had, the test that ended it included. What
        was done comes out empty: a worker that is given such waits for ever.)
        """
        had = self.assigned_work.pop(node)
        left: list[str] = [test for tests in had.values() for test, done in tests.items() if not done]
        if not left:
            return None
        for test in left[1:]:
            self.workqueue.setdefault(self._split_scope(test), {})[test] = False
        for other in self.nodes:
            self._reschedule(other)
        return left[0]

    def _assign_work_unit(self, node: WorkerController) -> None:
        """Hand out what is next. From a worker that died and is not known to have, it is taken back later."""
        with suppress(OSError):
            super()._assign_work_unit(node)

    def _reschedule(self, node: WorkerController) -> None:
        """Hand out two tests at least, or tell that no more come: before that a worker does not begin."""
        if node not in self.registered_collections:  # it replaces another and is still looking for the tests
            return
        super()._reschedule(node)
        while not node.shutting_down and self._pending_of(self.assigned_work[node]) < 2:
            super()._reschedule(node)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Together:
    """The way in which ``-n`` hands out tests. (``--dist loadgroup`` does nothing under pytest 9.2.)"""
    if gone := [module for module in TOGETHER if not (config.rootpath / module).exists()]:
        raise pytest.UsageError(f"tests/conftest.py: TOGETHER names what is not there: {', '.join(gone)}")
    return Together(config, log)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """How many simulated schedules were played, and how fast."""
    told = [dict(report.user_properties) for report in terminalreporter.getreports("passed")]
    schedules = [(one["schedules"], one["cpu_seconds"]) for one in told if "schedules" in one]
    if schedules:
        played, seconds = (sum(figures) for figures in zip(*schedules, strict=True))
        rate = f"{played / seconds:.1f} a second of CPU"
        terminalreporter.write_line(f"{played} simulated schedules kept every invariant: {rate}")


@pytest.fixture(scope="session")
def mongo_uri() -> Iterator[str]:
    """The address of a real server: ``MONGODB_URI``, else a mongod of this worker's own, in memory."""
    configured = os.environ.get("MONGODB_URI", "")
    if configured:
        yield configured
        return
    memory = Path("/dev/shm")
    state = Path(tempfile.mkdtemp(prefix="batchkeeper-", dir=memory if os.access(memory, os.W_OK) else None))
    try:
        mongod = asyncio.run(acquire(state, patience=timedelta(minutes=4)))
        yield mongod.uri
        asyncio.run(mongod.release())
    finally:
        shutil.rmtree(state)


@pytest.fixture
def mongo_database(mongo_uri: str) -> Iterator[str]:
    """The name of a database of this test's own, dropped at its end."""
    name = f"test_{uuid4().hex}"
    yield name
    with pymongo.MongoClient[dict[str, object]](mongo_uri) as client:
        client.drop_database(name)


@pytest.fixture
def state() -> Iterator[Path]:
    """A state folder that takes its 300 MB with it."""
    memory = Path("/dev/shm")
    folder = tempfile.mkdtemp(prefix="batchkeeper-", dir=memory if os.access(memory, os.W_OK) else None)
    yield Path(folder)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def no_variables(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An environment and a working directory without configuration."""
    for name in list(os.environ):
        if name.upper().startswith("BATCHKEEPER_") or name in ("MONGODB_URI", "MAX_CONCURRENT"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
