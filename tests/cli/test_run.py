"""run: with a daemon in memory that takes in what lies in the watched folder, from the drop to the report."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from controller import app, intake
from controller.app import run_controller as daemon_itself
from controller.cli import commands_run
from controller.config import Settings
from controller.daemon import Daemon
from controller.ending import END
from controller.ports import Unavailable
from controller.reading import read_spec_file
from controller.this_machine import local_user
from tests.cli.place import SPEC, Place, Shell
from tests.fakes.memory_cluster import End


@pytest.fixture
def running(place: Place, monkeypatch: pytest.MonkeyPatch) -> Place:
    """Behind run_controller: the real passes, at once; jobs end at once, ``long`` too."""
    place.cluster.ends = lambda job: End(exit_code=1 if job.task_id == "wrong" else 0)

    async def run_controller(
        settings: Settings, *, stop: asyncio.Event, ready: Callable[[Any], None], told: Callable[[Any], None]
    ) -> int:
        daemon = Daemon(place.engine(place.store))
        await daemon.lead("test")
        specs = SimpleNamespace(refusal=lambda key, content: ())
        ready(SimpleNamespace(parts=place.parts, daemon=daemon, specs=specs, url=""))
        while not stop.is_set():
            assert settings.specs.folder
            for path in settings.specs.folder.glob("[!.]*.yaml"):
                reading = await read_spec_file(settings, path, user=local_user())
                assert reading.spec
                owner = reading.spec.owner
                await intake.accept(place.store, reading.spec, source=path.name, by=owner)
            await daemon.full_pass()
            place.clock.seconds += 1
            await asyncio.sleep(0)
        return 0

    monkeypatch.setattr(app, "run_controller", run_controller)
    Path("sweep.yaml").write_text(SPEC.format(name="sweep", at_most=4))
    return place


def test_a_run_ends_with_the_report(running: Place, shell: Shell) -> None:
    """Progress on stderr, the report on stdout, exit code 1 for the task that did not complete."""
    answer = shell("run", "sweep.yaml")
    assert answer.code == 1
    assert "sweep  partial" in answer.out
    assert "exit code 1 is never retried automatically" in answer.out
    assert "active jobs in batch:" in answer.err
    assert "sweep finished (partial): 5/5 tasks 100%" in answer.err
    assert "\x1b" not in answer.out + answer.err


def test_as_expected_is_done_and_every_difference_is_a_line(running: Place, shell: Shell) -> None:
    """With --expect the exit code is the comparison's, whatever failed as it should."""
    shell("run", "sweep.yaml")
    Path("expected.yaml").write_text(shell("report", "sweep", "-o", "yaml").out)
    answer = shell("run", "sweep.yaml", "--expect", "expected.yaml")
    assert answer.code == 0
    assert "sweep ran here before, with this very content" in answer.err
    assert "as expected, task by task: 5 tasks" in answer.err
    text = Path("expected.yaml").read_text()
    Path("expected.yaml").write_text(
        text.replace("succeeded: 4", "succeeded: 5").replace("failed: 1", "failed: 0")
    )
    differs = shell("run", "sweep.yaml", "--expect", "expected.yaml")
    assert differs.code == 1
    assert "error: not as expected: the totals: succeeded is 4, expected 5" in differs.err
    assert "error: not as expected: the totals: failed is 1, expected 0" in differs.err
    assert len(shell.json("run", "sweep.yaml", "--expect", "expected.yaml", code=1)["differences"]) >= 2


def test_an_expectation_that_is_none_is_told_before_anything_runs(running: Place, shell: Shell) -> None:
    """A missing file, or one that is no mapping, costs no run."""
    assert "nowhere.yaml: no such file" in shell("run", "sweep.yaml", "--expect", "nowhere.yaml").err
    Path("list.yaml").write_text("- 1\n")
    assert "not an expectation" in shell("run", "sweep.yaml", "--expect", "list.yaml").err
    assert not Path("specs").exists()


def test_other_content_under_an_ended_name_is_refused(running: Place, shell: Shell) -> None:
    """It says why, what to do, and drops nothing."""
    shell("run", "sweep.yaml")
    dropped = Path("specs/sweep.yaml").read_text()
    Path("sweep.yaml").write_text(SPEC.format(name="sweep", at_most=2))
    answer = shell("run", "sweep.yaml")
    assert answer.code == 1
    assert "give the changed spec another name" in answer.err
    assert "--fresh" in answer.err
    assert Path("specs/sweep.yaml").read_text() == dropped
    assert not list(Path("specs").glob(".*"))


def test_to_run_what_was_superseded_is_to_submit_it_again(running: Place, shell: Shell) -> None:
    """By the file alone it would change nothing, and the command would wait for that for ever."""
    file = Path("specs/sweep.yaml")
    file.parent.mkdir(exist_ok=True)

    async def accepted(source: str) -> None:
        reading = await read_spec_file(running.parts.settings, file, user=local_user())
        assert reading.spec
        await intake.accept(running.store, reading.spec, source=source)

    for at_most, source in ((4, "sweep.yaml"), (2, "ada: sent")):
        file.write_text(SPEC.format(name="sweep", at_most=at_most))
        asyncio.run(accepted(source))
    file.write_text(SPEC.format(name="sweep", at_most=4))
    assert "of 4, waiting" in shell("run", str(file)).err
    batch = asyncio.run(running.store.batch_named("default", "sweep"))
    assert batch
    assert (batch.settings["maxConcurrent"].value, batch.source) == (4, "sweep.yaml")


def test_a_bad_spec_starts_no_daemon(running: Place, shell: Shell) -> None:
    """Its problems are told, nothing is made."""
    Path("sweep.yaml").write_text("name: Bad\n")
    answer = shell("run", "sweep.yaml")
    assert answer.code == 1
    assert "error: sweep.yaml:" in answer.err
    assert not Path("state").exists()


def test_fresh_forgets_nothing_for_a_spec_that_can_t_be_dropped(
    running: Place, shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody's csv is in its way: that is told first."""

    async def start_over(*_: object) -> None:
        pytest.fail("the earlier run is forgotten")

    monkeypatch.setattr(commands_run, "start_over", start_over)
    Path("specs").mkdir()
    Path("specs/rows.csv").write_text("id\none\n")
    Path("rows.csv").write_text("id\nanother\n")
    Path("mine.yaml").write_text(
        "apiVersion: batchkeeper/v1\nkind: Batch\nname: mine\n"
        "tasks: {csv: {path: rows.csv}}\njob: {image: 'example/none:1', command: [work]}\n"
    )
    answer = shell("run", "mine.yaml", "--fresh")
    assert answer.code == 1
    assert "rows.csv has other rows, is not of batch mine alone" in answer.err
    assert len(answer.err.splitlines()) == 1
    assert [path.name for path in Path("specs").iterdir()] == ["rows.csv"]


@pytest.mark.parametrize("number", END)
def test_a_daemon_that_is_stopped_leaves_it_to_be_gone_on_with(
    running: Place, shell: Shell, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    """The signal reaches the daemon first; the command says that the jobs go on, its code is the signal's."""

    async def stopped(
        settings: Settings, *, stop: asyncio.Event, ready: Callable[[Any], None], told: Callable[[Any], None]
    ) -> int:
        specs = SimpleNamespace(refusal=lambda key, content: ())
        ready(SimpleNamespace(parts=running.parts, specs=specs, url=""))
        await asyncio.sleep(0.05)
        told(number)
        return 0

    monkeypatch.setattr(app, "run_controller", stopped)
    answer = shell("run", "sweep.yaml")
    assert answer.code == 128 + number
    assert "the same command finds them again and goes on" in answer.err


@pytest.mark.parametrize("number", END)
def test_the_daemon_says_which_signal_ended_it(
    running: Place, shell: Shell, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    """A script tells Ctrl-C from SIGTERM and from a closed terminal, also before the store is there."""

    @contextlib.asynccontextmanager
    async def away(settings: Settings, **_: object) -> AsyncIterator[app.Parts]:
        os.kill(os.getpid(), number)
        raise Unavailable("mongodb is away")
        yield running.parts

    before = signal.signal(number, signal.default_int_handler)  # whoever started the tests may ignore it
    Path("config.yaml").write_text("http: {enabled: false}\n")
    monkeypatch.setattr(app, "run_controller", daemon_itself)
    monkeypatch.setattr(app, "open_parts", away)
    try:
        answer = shell("run", "sweep.yaml")
    finally:
        signal.signal(number, before)
    assert answer.code == 128 + number
    assert "the same command finds them again and goes on" in answer.err
