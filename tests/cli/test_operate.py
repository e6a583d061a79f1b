"""controller, repair, reap, halt, unhalt."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from controller import app
from controller.app import daemon_is_there
from controller.app import run_controller as daemon_itself
from controller.config import Settings
from controller.core.retry import decide_manual, new_child
from controller.ports import Unavailable
from controller.telemetry import set_up_logs
from tests.cli.place import SPEC, Place, Shell, SteadyClock
from tests.fakes.memory_cluster import End


def unfinished(place: Place) -> str:
    """A retry whose bookkeeping was cut off after its first step, long ago; its name."""
    job = place.job("sweep-wrong")
    decision = decide_manual([job])
    child = new_child([job], decision, id=place.store.new_id(), now=place.clock.now())
    asyncio.run(place.store.add_jobs([child]))
    place.clock.seconds += 60
    return child.name


def test_repair_finishes_what_was_cut_off(sweep: Place, shell: Shell) -> None:
    """Dry: it is listed and stays as it is. Then it is completed, and there is nothing left."""
    name = unfinished(sweep)
    assert shell.json("repair", "--dry-run")[0]["retry_toggle"] is False
    assert sweep.job(name).retry_toggle is False
    answer = shell("repair")
    assert answer.code == 0
    assert name in answer.out
    assert sweep.job(name).retry_toggle is True
    assert "nothing to repair" in shell("repair").out


def test_a_dry_controller_names_the_batch_of_what_it_would_repair(sweep: Place, shell: Shell) -> None:
    """It had the batch's id there, and a name everywhere else."""
    name = unfinished(sweep)
    steps = shell.json("controller", "--dry-run")
    repairs = [(step["batch"], step["subject"]) for step in steps if step["deed"] == "repair"]
    assert repairs == [("sweep", name)]


def test_reap_shows_what_is_overdue_and_leaves_it_to_the_daemon(place: Place, shell: Shell) -> None:
    """Only who leads may reap: a daemon that is there does it by itself."""
    place.cluster.ends = lambda job: End(starts=None)
    place.submit()
    place.passes()
    assert "no job is overdue" in shell("reap").out
    place.clock.seconds += 15 * 24 * 3600
    place.daemon_there = True
    answer = shell("reap")
    assert "the daemon reaps by itself" in answer.err
    assert "sweep-good" in answer.out
    assert place.passes_asked == 0
    stuck = shell.json("reap", "--dry-run")
    assert {one["status"] for one in stuck} == {"queued"}
    place.daemon_there = False
    assert shell("reap", "--dry-run").code == 0
    assert place.passes_asked == 0
    assert "one complete pass is made now" in shell("reap").err
    assert place.passes_asked == 1


def test_reap_says_that_nothing_is_reaped_by_a_clock_that_is_off(place: Place, shell: Shell) -> None:
    """What is overdue is judged by the store's clock; a daemon here would end none of it."""
    place.cluster.ends = lambda job: End(starts=None)
    place.submit()
    place.passes()
    place.clock.seconds += 15 * 24 * 3600
    assert "clock" not in shell("reap", "--dry-run").err
    place.clock = SteadyClock()  # the store has the other one
    answer = shell("reap", "--dry-run")
    assert "sweep-good" in answer.out
    assert "this machine's clock differs from the store's by 15d" in answer.err


def test_on_a_cluster_the_election_tells_whether_a_daemon_is_there(place: Place, shell: Shell) -> None:
    """It may be anywhere: nobody is told that there is none, and its lead is no failure."""
    assert daemon_is_there(Settings(cluster={"kind": "kubernetes"})) is None
    place.cluster.ends = lambda job: End(starts=None)
    place.submit()
    place.passes()
    place.clock.seconds += 15 * 24 * 3600
    place.daemon_there, place.led_by_another = None, True
    answer = shell("reap")
    assert (answer.code, place.passes_asked) == (0, 1)
    assert "unless a daemon leads" in answer.err
    assert "the daemon reaps by itself" in answer.err
    Path("new.yaml").write_text(SPEC.format(name="new", at_most=4))
    answer = shell("submit", "new.yaml")
    assert answer.code == 0
    assert "no daemon" not in answer.err


def test_halt_and_unhalt(place: Place, shell: Shell) -> None:
    """The kill switch keeps who and why, and can be lifted; what it says stands in explain."""
    place.submit()
    refused = shell("halt", "submissions")
    assert refused.code == 1
    assert "--as-admin" in refused.err
    assert asyncio.run(place.store.halts()).submissions is None
    assert shell("halt", "submissions", "--why", "power cut", "--as-admin").code == 0
    place.passes()
    assert asyncio.run(place.store.active()) == []
    assert "power cut" in shell("explain", "sweep").out
    assert shell("unhalt", "submissions").code == 1
    assert shell("unhalt", "submissions", "--as-admin").code == 0
    assert asyncio.run(place.store.halts()).submissions is None
    assert shell("halt", "everything").code == 2


def test_controller_once_is_one_pass(place: Place, shell: Shell) -> None:
    """--once reaches the daemon; its exit code is the command's."""
    assert shell("controller", "--once").code == 0
    assert place.passes_asked == 1


@pytest.fixture
def alone(place: Place, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    """No daemon is there, and one pass is the real one."""

    @contextlib.asynccontextmanager
    async def open_parts(settings: Settings, **_: object) -> AsyncIterator[app.Parts]:
        yield place.parts

    monkeypatch.setattr(app, "open_parts", open_parts)
    monkeypatch.setattr(app, "run_controller", daemon_itself)
    set_up_logs("text", "error")
    yield place
    set_up_logs("text", "error")


@pytest.mark.parametrize("command", ["controller --once", "reap"])
def test_a_pass_that_decided_nothing_is_no_success(
    alone: Place, shell: Shell, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    """The cluster could not be asked: a script took the exit code 0 for done."""
    alone.cluster.ends = lambda job: End(starts=None)
    alone.submit()
    alone.passes()
    alone.clock.seconds += 15 * 24 * 3600
    with monkeypatch.context() as away:

        async def observe(namespaces: object) -> Any:
            raise Unavailable("the API server is away")

        away.setattr(alone.cluster, "observe", observe)
        answer = shell(*command.split())
    assert answer.code == 1
    said = "error: nothing was decided: the API server is away; ask again once that is mended"
    assert answer.err.splitlines().count(said) == 1
    assert shell(*command.split()).code == 0


@pytest.mark.parametrize("command", ["controller --once", "reap"])
def test_who_was_overtaken_leaves_the_pass_to_the_other(
    alone: Place, shell: Shell, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    """It stepped down in its first pass, and the second one, which then decides nothing, was a success."""
    alone.cluster.ends = lambda job: End(starts=None)
    alone.submit()
    alone.passes()
    alone.clock.seconds += 15 * 24 * 3600
    stamp = alone.store.stamp

    async def overtaken(epoch: int) -> None:
        await stamp(epoch)
        await alone.store.next_epoch("another")

    monkeypatch.setattr(alone.store, "stamp", overtaken)
    answer = shell(*command.split())
    by_itself = command == "reap"
    assert answer.code == (0 if by_itself else 1)
    assert ("the daemon reaps by itself" if by_itself else "error: another daemon leads") in answer.err


def test_lists_that_do_not_come_in_time_are_no_success(alone: Place, shell: Shell) -> None:
    """A pass goes on without them, and decides nothing of what it can't see."""
    alone.submit()
    hangs = asyncio.Event()

    async def observe(namespaces: object) -> Any:
        await hangs.wait()

    soon = alone.settings.reconcile.model_copy(update={"interval": timedelta(seconds=0.05)})
    alone.settings = alone.settings.model_copy(update={"reconcile": soon})
    alone.cluster.observe = observe  # type: ignore[method-assign]
    answer = shell("controller", "--once")
    assert answer.code == 1
    assert "error: nothing was decided: the cluster did not list its jobs in time" in answer.err
