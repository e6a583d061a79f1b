"""One database behind a real API and behind the store: the same command lines typed over both."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncIterator
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from controller import app
from controller.adapters.mongo import open_store
from controller.adapters.state_lock import LockElector
from controller.adapters.system_clock import SystemClock
from controller.cli import main
from controller.config import Settings
from controller.engine import Engine
from controller.people import People
from controller.telemetry import Metrics
from controller.telemetry.journal import TelemetryJournal
from tests.api.place import Place

TOKEN = "token-of-whoever-types-0123456789"
SOMEBODY = "token-of-somebody-0123456789"
_ID = re.compile(r"\b([0-9a-f]{24}|[0-9a-f]{64})\b")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
_AGE = re.compile(r"\b(\d+h)?(\d+m)?\d+s\b")


def normal(text: str, name: str) -> str:
    """What was said, without what differs between two runs: ids, instants, ages, the batch's name, and
    that a spec came in a file here and was sent there."""
    for pattern, word in ((_ID, "ID"), (_TIME, "TIME"), (_AGE, "AGE")):
        text = pattern.sub(word, text)
    return text.replace(name, "BATCH").replace(": sent", ": BATCH.yaml")


class TwoWays:
    """Types commands over the store and over the API."""

    def __init__(
        self, here: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self.here = here
        self.token = TOKEN
        self._patch = monkeypatch
        self._capsys = capsys

    async def store(self, line: str) -> Any:
        """One command line over the store."""
        self._patch.delenv("BATCHKEEPER_URL", raising=False)
        return await self._typed(line)

    async def api(self, line: str) -> Any:
        """The same over the API."""
        self._patch.setenv("BATCHKEEPER_URL", self.here.url)
        self._patch.setenv("BATCHKEEPER_TOKEN", self.token)
        return await self._typed(line)

    async def _typed(self, line: str) -> Any:
        """In a thread: a command has an event loop of its own."""
        self._capsys.readouterr()
        code = await asyncio.to_thread(main, line.split())
        captured = self._capsys.readouterr()
        return SimpleNamespace(code=code, out=captured.out, err=captured.err)

    async def json(self, line: str) -> Any:
        """What the API's way says to programs."""
        answer = await self.api(f"{line} -o json")
        assert answer.code == 0, answer.err
        return json.loads(answer.out)


def opened(here: Place, uri: str, database: str) -> Any:
    """An ``open_parts`` on the database of this server, in whatever event loop it is called."""

    @contextlib.asynccontextmanager
    async def open_parts(settings: Settings) -> AsyncIterator[app.Parts]:
        clock = SystemClock()
        store = await open_store(uri, database, timedelta(seconds=60))
        journal = TelemetryJournal(Metrics())
        engine = Engine(
            cluster=here.cluster,
            store=store,
            clock=clock,
            journal=journal,
            settings=app.engine_settings(here.settings),
            jitter=lambda job_id: 0.0,
            new_token=lambda: "token",
        )
        people = People(store, clock, here.settings.max_retries)
        elector = LockElector("test")
        try:
            yield app.Parts(here.settings, store, here.cluster, clock, engine, journal, people, elector)
        finally:
            await store.close()

    return open_parts
