"""What is due for a folder, and what becomes of a job that has lost its supervisor."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from controller.adapters import local_files, local_objects, local_proc, local_tending
from controller.adapters.local_folders import RUNNING, Folders
from controller.adapters.local_launch import Launcher
from controller.adapters.local_proc import Proc
from controller.ports import NewJob
from tests.adapters.local_world import LocalWorld


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[LocalWorld]:
    """A local cluster of its own."""
    local = LocalWorld(tmp_path)
    yield local
    await local.end()


def test_one_that_is_not_ours_to_kill_spares_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """A set-uid program among a lost job's leftovers is waited for, the others are killed."""
    asked: list[int] = []

    def send(proc: Proc, number: int) -> bool:
        asked.append(proc.pid)
        raise PermissionError(1, os.strerror(1))

    monkeypatch.setattr(local_proc, "send", send)
    local_tending._kill([Proc(11, 1), Proc(12, 1)])
    assert asked == [11, 12]


@pytest.fixture
def ended() -> Proc:
    """A process that runs no more."""
    with subprocess.Popen(["sleep", "60"]) as child:
        found = local_proc.look(child.pid)
        child.kill()
    assert found
    return found


async def test_a_supervisor_that_ends_while_it_is_looked_at_is_no_stray(
    world: LocalWorld, ended: Proc, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found by its mark, gone before its command line was read."""
    monkeypatch.setattr(local_proc, "marked", lambda entry: [ended])
    live = await world.cluster.get(world.namespace, "sweep-a", "a" * 24)
    assert live.pods == 0


async def _left(world: LocalWorld, job: NewJob) -> Proc:
    """The process whose pid the job tells, once its supervisor has seen it."""
    shown = await world.shown(job)
    assert shown
    while not (log := await world.cluster.log_tail(shown, 100)).endswith("\n"):
        await asyncio.sleep(0.02)
    left = local_proc.look(int(log))
    assert left
    apart = world.folder(job.name) / "apart.json"
    for _ in range(100):
        if apart.exists() and str(left.pid) in apart.read_text():
            break
        await asyncio.sleep(0.03)
    return left


@pytest.mark.parametrize("session", ["", "setsid "], ids=["its session", "one of its own"])
async def test_leftovers_without_a_mark_are_ended(world: LocalWorld, session: str) -> None:
    """What a lost job left with an empty environment is killed, whether or not it is in the job's session."""
    job = world.job("sweep-1", "sh", "-c", f"{session}env -i sleep 300 & echo $!; wait")
    await world.running(job)
    left = await _left(world, job)
    try:
        local_proc.send(world.supervisor(job), signal.SIGKILL)
        shown = await world.once(job, lambda found: found.finished)
        assert shown.pod_reason == "NodeLost"
        assert not local_proc.alive(left), "the job has ended, and a process of it runs on"
    finally:
        local_proc.send(left, signal.SIGKILL)


@pytest.fixture(params=[True, False], ids=["its leader lives", "its leader is dead"])
def strangers(request: pytest.FixtureRequest) -> Iterator[list[Proc]]:
    """A session of somebody else's: its leader, dead or alive, and a member."""
    script = "sleep 300 >/dev/null & echo $!; read _"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "env": {"PATH": os.environ["PATH"]}}
    with subprocess.Popen(["sh", "-c", script], start_new_session=True, **pipes) as shell:  # type: ignore[call-overload]
        member = int(shell.stdout.readline())
        found = [proc for proc in map(local_proc.look, (shell.pid, member)) if proc]
        if not request.param:
            shell.communicate(b"\n")
        yield found
        for one in found:
            local_proc.send(one, signal.SIGKILL)


async def test_who_got_the_number_of_a_lost_job_is_spared(world: LocalWorld, strangers: list[Proc]) -> None:
    """The number of a job's dead first process was given to others, whose session is nobody's of the job."""
    before = [local_proc.alive(one) for one in strangers]
    assert before[1]
    leader = strangers[0]
    assert _ended_as_lost(world, leader._replace(start=leader.start - 100))
    assert [local_proc.alive(one) for one in strangers] == before, "somebody else's process was killed"


def _ended_as_lost(world: LocalWorld, first: Proc) -> bool:
    """Tend the folder of a job whose supervisor and first process, this one, are dead."""
    job = world.job("sweep-1", "sleep", "300")
    folders = Folders(str(world.state / "cluster"))
    folders.create(local_objects.document(job, "uid-1", local_files.mark(), world.settings))
    record = folders.read(job.namespace, job.name)
    assert record
    now = local_files.mark()
    supervisor = first._replace(start=first.start - 100)
    status = {"phase": RUNNING, "boot": now["boot"], "supervisor": supervisor, "job": first}
    folders.note(record, {**status, "scheduled": now, "started": now})
    record = folders.read(job.namespace, job.name)
    assert record
    ended = local_tending.Tender(folders, Launcher(folders)).tend(record)
    return bool(ended and ended.status.get("pod_reason") == "NodeLost")
