"""Fixtures of the command line: a place in memory, and a shell in it."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from controller import app
from controller.api.auth_static import StaticTokens
from controller.config import Settings, load
from controller.leading import LedByAnother
from controller.this_machine import local_user
from tests.api.place import place as served
from tests.cli.place import Place, Shell, behind
from tests.cli.two_ways import SOMEBODY, TOKEN, TwoWays, opened


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Place:
    """A place without batches, in an empty folder, behind every command."""
    monkeypatch.chdir(tmp_path)
    for name in ("BATCHKEEPER_CONFIG", "BATCHKEEPER_URL", "MAX_CONCURRENT", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MONGODB_URI", "mongodb://nobody.example")
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    here = Place(load())

    async def one_pass(settings: Settings, *, once: bool = False) -> int:
        assert once
        here.passes_asked += 1
        if here.led_by_another:
            raise LedByAnother("another daemon leads")
        return 0

    monkeypatch.setattr(app, "open_parts", behind(here))
    monkeypatch.setattr(app, "daemon_is_there", lambda settings: here.daemon_there)
    monkeypatch.setattr(app, "run_controller", one_pass)
    return here


@pytest.fixture
def shell(place: Place, capsys: pytest.CaptureFixture[str]) -> Shell:
    """Types commands there."""
    return Shell(place, capsys)


@pytest.fixture
def sweep(place: Place) -> Place:
    """With a batch on its way: good and last done, wrong failed, mount in back-off, long running."""
    place.submit()
    place.passes()
    return place


@pytest.fixture
async def ways(
    tmp_path: Path,
    mongo_uri: str,
    mongo_database: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> AsyncIterator[TwoWays]:
    """A real server on a real database, and a shell that types over it or past it."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("BATCHKEEPER_")] + ["COLUMNS"]:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MONGODB_URI", "mongodb://nobody.example")
    tokens = tmp_path / "known"
    tokens.touch(0o600)
    tokens.write_text(f"{TOKEN} {local_user()} admins\n{SOMEBODY} somebody\n")
    async with served(tmp_path, mongo_uri, mongo_database, authenticators=[StaticTokens(tokens)]) as here:
        monkeypatch.setattr(app, "open_parts", opened(here, mongo_uri, mongo_database))
        monkeypatch.setattr(app, "daemon_is_there", lambda settings: True)
        yield TwoWays(here, monkeypatch, capsys)
