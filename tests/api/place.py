"""A place to ask the API: a real server and a real database, and a cluster in memory that may be broken."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
from bson import ObjectId
from fastapi import APIRouter

from controller import intake
from controller.adapters.mongo import MongoStore, open_store
from controller.adapters.system_clock import SystemClock
from controller.api.application import Api
from controller.api.auth import Authenticator, Chain
from controller.api.auth_session import Sessions
from controller.api.auth_static import StaticTokens
from controller.api.context import World
from controller.config import Settings, load
from controller.core.model import Attempt, Batch, Status, Verdict
from controller.engine import Engine
from controller.health import Health
from controller.http import HttpServer, make_http_app
from controller.parts import engine_settings
from controller.people import People
from controller.ports import Cluster, JobFilter
from controller.reading import read_spec_text
from controller.spec_pass import Reading
from controller.specfile import SpecDefaults, read_spec
from controller.telemetry import Metrics
from controller.telemetry.journal import TelemetryJournal
from tests.fakes.memory_cluster import End, MemoryCluster

ADA, BOB, ROOT = "token-of-ada-0123456789", "token-of-bob-0123456789", "token-of-root-0123456789"
TOKENS = f"{ADA} ada\n{BOB} bob users\n{ROOT} root admins,users\n"

SPEC = """apiVersion: batchkeeper/v1
kind: Batch
name: {name}
maxConcurrent: 4
tasks:
  range: {{name: N, from: 1, to: {tasks}}}
job:
  image: example/none@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
  command: [work]
  env: {{PHRASE: never-shown-to-others}}
  resources: {{cpu: 2, memory: 1Gi}}
"""


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: Any

    @property
    def items(self) -> list[Any]:
        """The items of a page."""
        found: list[Any] = self.body["items"]
        return found


class Client:
    """Somebody with a token."""

    def __init__(self, session: aiohttp.ClientSession, url: str, token: str = "") -> None:
        self._session = session
        self._url = url
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}

    async def ask(self, method: str, path: str, **more: Any) -> Answer:
        """One request."""
        headers = {**self._headers, **more.pop("headers", {})}
        async with self._session.request(method, self._url + path, headers=headers, **more) as got:
            text = await got.text()
            body = (
                await got.json(content_type=None) if "json" in got.headers.get("content-type", "") else text
            )
            return Answer(got.status, {name.lower(): value for name, value in got.headers.items()}, body)

    async def get(self, path: str, **more: Any) -> Answer:
        """One GET."""
        return await self.ask("GET", path, **more)

    async def post(self, path: str, body: Any = None, **more: Any) -> Answer:
        """One POST of JSON."""
        return await self.ask("POST", path, json={} if body is None else body, **more)


class Place:
    """The server of one process, and what stands behind it."""

    def __init__(self, settings: Settings, store: MongoStore, cluster: Cluster, url: str, api: Api) -> None:
        self.settings = settings
        self.store = store
        self.cluster = cluster
        self.url = url
        self.api = api
        self._session = aiohttp.ClientSession()

    def as_(self, token: str) -> Client:
        """A client with this token."""
        return Client(self._session, self.url, token)

    @property
    def ada(self) -> Client:
        """Whose the batches are."""
        return self.as_(ADA)

    @property
    def bob(self) -> Client:
        """Somebody else."""
        return self.as_(BOB)

    @property
    def root(self) -> Client:
        """A member of the admin group."""
        return self.as_(ROOT)

    async def close(self) -> None:
        """Let go of the connections."""
        await self._session.close()

    async def submit(self, name: str = "sweep", tasks: int = 5, user: str = "ada") -> Batch:
        """A batch whose tasks all wait."""
        content = SPEC.format(name=name, tasks=tasks).encode()
        read = read_spec(
            content, name=f"{name}.yaml", folder=Path(), root=Path(), defaults=SpecDefaults(user=user)
        )
        assert read.spec, read.problems
        taken = await intake.accept(self.store, replace(read.spec, owner=user), source=f"{name}.yaml")
        assert taken.batch
        return taken.batch

    async def end(
        self, jobs: Sequence[Attempt], status: Status = Status.ERROR, verdict: Verdict = Verdict.MOUNT_FAILURE
    ) -> None:
        """These have ended, as a database has it: no daemon was here."""
        now = datetime.now(UTC)
        await self.store._jobs.update_many(
            {"_id": {"$in": [ObjectId(job.id) for job in jobs]}},
            {
                "$set": {
                    "status": status.value,
                    "verdict": verdict.value,
                    "finished": now,
                    "running": now - timedelta(seconds=5),
                    "evidence": {"log_tail": "a secret line\n"},
                }
            },
        )

    async def jobs(self, batch: Batch) -> list[Attempt]:
        """All records of a batch, in order."""
        return [job async for job in self.store.find_jobs(JobFilter(batch_id=batch.id))]

    async def failed(
        self, name: str = "sweep", tasks: int = 5, user: str = "ada"
    ) -> tuple[Batch, list[Attempt]]:
        """A batch of which every first attempt has failed."""
        batch = await self.submit(name, tasks, user)
        jobs = await self.jobs(batch)
        await self.end(jobs)
        await self.store.recount(batch.id)
        return batch, jobs


@contextlib.asynccontextmanager
async def place(
    folder: Path,
    mongo_uri: str,
    database: str,
    *extra: APIRouter,
    authenticators: Sequence[Authenticator] | None = None,
    cluster: Cluster | None = None,
    sessions: Sessions | None = None,
    port: int = 0,
    **sections: dict[str, Any],
) -> AsyncIterator[Place]:
    """A server on a free port; ``sections``: settings that differ from the defaults."""
    settings = _settings(folder, sections)
    clock = SystemClock()
    cluster = cluster or MemoryCluster(clock, lambda job: End())
    store = await open_store(mongo_uri, database, timedelta(seconds=60))
    engine = Engine(
        cluster=cluster,
        store=store,
        clock=clock,
        journal=TelemetryJournal(Metrics()),
        settings=engine_settings(settings),
        jitter=lambda job_id: 0.0,
        new_token=lambda: "token",
    )

    async def reading(content: bytes, name: str, user: str) -> Reading:
        return await read_spec_text(settings, content, name=name, user=user)

    if authenticators is None:
        tokens = folder / "tokens"
        await asyncio.to_thread(_write_tokens, tokens)
        authenticators = [StaticTokens(tokens)]
    api = Api(settings, Chain(authenticators), clock.monotonic, sessions)
    app = make_http_app(Health(), Metrics(), clock.monotonic)
    api.install(app, *extra)
    server = HttpServer(app, "127.0.0.1", port)
    await server.start()
    people = People(store, clock, settings.max_retries)
    api.open(World(settings, people, engine, store, reading))
    here = Place(settings, store, cluster, server.url, api)
    try:
        yield here
    finally:
        await here.close()
        await api.close()
        await server.stop()
        await store.close()


def _write_tokens(path: Path) -> None:
    path.touch(0o600)
    path.write_text(TOKENS)


def _settings(folder: Path, sections: dict[str, dict[str, Any]]) -> Settings:
    told: dict[str, dict[str, Any]] = {
        "auth": {"admin_groups": ["admins"]},
        "api": {"rate": 10_000, "burst": 10_000},
    }
    merged = {name: {**told.get(name, {}), **sections.get(name, {})} for name in {*told, *sections}}
    path = folder / "config.yaml"
    path.write_text(json.dumps({"state_dir": str(folder / "state"), **merged}))
    return load(path)
