"""run of a spec that is refused, or was: with the daemon's own look at the watched folder."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from controller import app
from controller.config import Settings
from controller.core.model import Batch, Gate
from controller.core.view import View
from controller.daemon import Daemon
from controller.spec_stores import spec_stores
from tests.cli.place import SPEC, Place, Shell
from tests.fakes.memory_cluster import End

PROBLEM = "sweep.yaml:4: what was wrong before"


@pytest.fixture
def watching(place: Place, monkeypatch: pytest.MonkeyPatch) -> Place:
    """Behind run_controller: the real passes over the real folder, one after the other; all jobs complete."""
    place.cluster.ends = lambda job: End()

    async def run_controller(
        settings: Settings, *, stop: asyncio.Event, ready: Callable[[Any], None], told: Callable[[Any], None]
    ) -> int:
        parts = place.parts
        daemon = Daemon(parts.engine)

        async def view(batch: Batch, gate: Gate) -> View:
            return await app.cheap_view(parts, batch, gate)

        specs = spec_stores(parts, view, on_batch=lambda batch_id: None)
        await daemon.lead("test")
        ready(SimpleNamespace(parts=parts, daemon=daemon, specs=specs, url=""))
        while not stop.is_set():
            await specs.scan()
            await daemon.full_pass()
            place.clock.seconds += 1
            await asyncio.sleep(0.01)
        return 0

    monkeypatch.setattr(app, "run_controller", run_controller)
    Path("specs").mkdir()
    return place


@pytest.mark.parametrize("path", ["sweep.yaml", "specs/sweep.yaml"], ids=["dropped", "in its place"])
def test_a_spec_that_was_refused_once_runs_when_it_is_mended(
    watching: Place, shell: Shell, path: str
) -> None:
    """The old problems were told, and the command ended before the new content was looked at twice."""
    asyncio.run(watching.store.set_quarantine("sweep.yaml", (PROBLEM,)))
    Path("specs/sweep.yaml").write_text("name: sweep\n")
    Path(path).write_text(SPEC.format(name="sweep", at_most=4))
    answer = shell("run", path)
    assert "error" not in answer.err
    assert "sweep  completed" in answer.out
    assert answer.code == 0
    assert asyncio.run(watching.store.quarantine()) == {}


def test_a_spec_that_the_daemon_refuses_ends_the_command(watching: Place, shell: Shell) -> None:
    """Another file there gives the batch other content: that is seen by the watcher alone."""
    watching.cluster.ends = lambda job: End(runs=None)
    asyncio.run(watching.store.set_quarantine("sweep.yaml", (PROBLEM,)))
    watching.submit()
    first = watching.batch()
    asyncio.run(watching.store.set_batch(first.id, [first.status], {"source": "first.yaml"}))
    Path("specs/first.yaml").write_text(SPEC.format(name="sweep", at_most=4))
    Path("sweep.yaml").write_text(SPEC.format(name="sweep", at_most=2))
    answer = shell("run", "sweep.yaml")
    assert answer.code == 1
    assert "batch sweep is defined by first.yaml: edit that file" in answer.err
    assert PROBLEM not in answer.err
