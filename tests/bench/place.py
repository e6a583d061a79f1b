"""Where a row is measured: one real mongod for all rows, a database and a state folder for each."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import shutil
import tempfile
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from pymongo import AsyncMongoClient
from pymongo.asynchronous.database import AsyncDatabase

from controller import app
from controller.adapters.mongo import MongoStore, connect, open_store
from controller.adapters.mongod import acquire
from controller.app import Running
from controller.config import Settings
from controller.core.model import JobInput, LocalJob, Resources
from controller.core.spec import BatchSpec, Task
from controller.telemetry.logs import set_up_logs
from tests.bench.counting import counting
from tests.control_plane.plane import ControlPlane

LIMITLESS: dict[str, Any] = {"rate": 100_000, "burst": 100_000}
PATIENCE = timedelta(seconds=60)


@dataclass(slots=True)
class Place:
    """A running mongod, and a folder that is removed in the end."""

    uri: str
    folder: Path
    full: bool
    """Whether the rows that take minutes are wanted at their whole size."""
    plane: ControlPlane | None = None
    """For the rows on a cluster."""
    patience: float = 4 * 3600.0
    """Seconds that one size of the row ``scale`` may take."""
    bare_patience: float = 4 * 3600.0
    """Seconds that the bare loop beside it may take."""
    size: str = ""
    """The one size of the row ``scale`` that is wanted, as 15000x500; empty: what ``full`` says."""
    ttl: int = 3600
    """Seconds for which what the row ``scale`` has run stays in the cluster after its end."""
    _numbers: itertools.count[int] = field(default_factory=itertools.count)

    def settings(self, **more: Any) -> Settings:
        """Settings with a database and a state folder of their own, and no limit on submissions."""
        number = next(self._numbers)
        values: dict[str, Any] = {
            "state_dir": self.folder / f"state-{number}",
            "store": {"uri": self.uri, "database": f"bench_{number}"},
            "specs": {"folder": self.folder / f"specs-{number}"},
            "submission": LIMITLESS,
            "http": {"enabled": False},
        }
        (self.folder / f"state-{number}").mkdir()
        return Settings(**{**values, **more})

    @contextlib.asynccontextmanager
    async def store(self, settings: Settings) -> AsyncIterator[MongoStore]:
        """The store of these settings."""
        store = await open_store(self.uri, settings.store.database, PATIENCE)
        try:
            yield store
        finally:
            await store.close()

    @contextlib.asynccontextmanager
    async def raw(self, settings: Settings) -> AsyncIterator[AsyncDatabase[dict[str, Any]]]:
        """The bare database of these settings, with the store's guarantees; dropped in the end."""
        client: AsyncMongoClient[dict[str, Any]] = connect(self.uri, timedelta(minutes=10))
        try:
            yield client[settings.store.database]
        finally:
            await client.drop_database(settings.store.database)
            await client.close()


@contextlib.asynccontextmanager
async def place(full: bool) -> AsyncIterator[Place]:
    """A place on the disk that the system's temporary folder is on."""
    folder = Path(await asyncio.to_thread(tempfile.mkdtemp, prefix="batchkeeper-bench-"))
    mongod = await acquire(folder / "mongod")
    try:
        yield Place(mongod.uri, folder, full)
    finally:
        await mongod.release()
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)


@contextlib.asynccontextmanager
async def daemon(settings: Settings) -> AsyncIterator[tuple[Running, Counter[str]]]:
    """The whole daemon as ``batchkeeper controller`` runs it, its store calls counted; its log is off."""
    with (settings.state_dir / "log").open("w") as log:
        set_up_logs("json", "info", log)
        stop, up = asyncio.Event(), asyncio.get_running_loop().create_future()
        task = asyncio.create_task(app.run_controller(settings, stop=stop, ready=up.set_result))
        try:
            await asyncio.wait({task, up}, return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                task.result()
            running: Running = up.result()
            running.parts.engine.store, calls = counting(running.parts.store)
            yield running, calls
        finally:
            stop.set()
            await asyncio.gather(task, return_exceptions=True)
            set_up_logs("text", "error")


def spec(name: str, tasks: int, at_once: int, command: tuple[str, ...], **more: Any) -> BatchSpec:
    """A batch of equal tasks that run this command on this machine."""
    job = JobInput("busybox@sha256:0", command, resources=Resources(100), local=LocalJob(command, {}, "/tmp"))
    numbered = tuple(Task(f"{n}", n, {"N": f"{n}"}) for n in range(tasks))
    values: dict[str, Any] = {
        "name": name,
        "namespace": "default",
        "owner": "bench",
        "max_concurrent": at_once,
        "job": job,
        "tasks": numbered,
        "hash": f"{hash((name, tasks)) & (2**64 - 1):064x}",
    }
    return BatchSpec(**(values | more))


def now() -> datetime:
    """The wall clock, UTC."""
    return datetime.now(UTC)
