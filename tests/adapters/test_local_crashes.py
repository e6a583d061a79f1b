"""The local cluster survives its daemon, its supervisors and itself: kill -9 anywhere, full disks, hands."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest

from controller.adapters import local_files, local_folders, local_proc
from controller.adapters.local_processes import LocalProcesses
from controller.ports import CreateResult, NewJob, Unavailable
from tests.adapters.local_world import LocalWorld

STEPS = ("drafted", "announced", "done", "recorded")
"""The steps of a create, between any two of which a daemon may die."""


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[LocalWorld]:
    """A local cluster of its own."""
    local = LocalWorld(tmp_path)
    yield local
    await local.end()


def create_and_die(world: LocalWorld, job: NewJob, step: str) -> None:
    """Let a daemon of its own create the job and die by SIGKILL after this step (empty: after all)."""
    program = f"""
    import asyncio, datetime, os, signal
    from pathlib import Path
    from controller.adapters.local_processes import LocalProcesses
    from controller.adapters.local_settings import LocalSettings
    from controller.adapters.system_clock import SystemClock
    from controller.core.model import JobInput, LocalJob, Resources
    from controller.ports import NewJob

    def die(step):
        if step == {step!r}:
            os.kill(os.getpid(), signal.SIGKILL)

    async def main():
        settings = LocalSettings(Path({str(world.state)!r}), grace=datetime.timedelta(seconds=0.6))
        await LocalProcesses(settings, SystemClock(), step=die).create({job!r})
        die({step!r} or "")

    asyncio.run(main())
    """
    ended = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], check=False)
    assert ended.returncode == -signal.SIGKILL


@pytest.mark.parametrize("step", STEPS)
async def test_a_daemon_dies_within_a_create(world: LocalWorld, step: str) -> None:
    """Whichever step it dies after, the next create is answered, the job runs once, and history is whole."""
    job = world.job("sweep-1", "true")
    await asyncio.to_thread(create_and_die, world, job, step)
    world.cluster = world.another()
    assert list((world.state / "cluster" / ".drafts").iterdir()) == []
    answer = await world.cluster.create(job)
    landed = step in ("done", "recorded")
    assert answer.result is (CreateResult.EXISTS_OURS if landed else CreateResult.CREATED)
    shown = await world.once(job, lambda found: found.finished)
    assert (shown.uid, shown.succeeded) == (answer.uid, True)
    assert world.kinds(job) == ["create", "start", "end"]
    assert [entry.revision for entry in world.history()] == [1, 2, 3]


async def test_a_job_outlives_its_daemon(world: LocalWorld) -> None:
    """A daemon killed with -9 leaves its job running; the next finds it, and it runs once."""
    job = world.job("sweep-1", "sh", "-c", "echo begun; sleep 0.8; echo done")
    await asyncio.to_thread(create_and_die, world, job, "")
    await world.once(job, lambda found: found.started)
    seen = await world.another().observe([world.namespace])
    assert seen.jobs[job.job_id].active
    shown = await world.once(job, lambda found: found.finished)
    assert await world.cluster.log_tail(shown, 100) == "begun\ndone\n"
    assert world.kinds(job) == ["create", "start", "end"]


async def test_two_supervisors_run_a_job_once(world: LocalWorld) -> None:
    """However many supervisors are started for one folder, at any time, the command runs once."""
    job = world.job("sweep-1", "sh", "-c", "echo ran; sleep 0.5")
    created = await world.cluster.create(job)
    program = Path(sys.modules[LocalProcesses.__module__].__file__ or "").with_name("local_supervisor.py")
    again = [sys.executable, "-I", "-S", str(program), str(world.folder("sweep-1")), created.uid]
    for _ in range(3):
        assert (await asyncio.to_thread(subprocess.run, again, check=False)).returncode == 0
    shown = await world.once(job, lambda found: found.finished)
    assert (await asyncio.to_thread(subprocess.run, again, check=False)).returncode == 0
    assert await world.cluster.log_tail(shown, 100) == "ran\n"
    assert world.kinds(job) == ["create", "start", "end"]


async def test_a_killed_supervisor_takes_its_job_along(world: LocalWorld) -> None:
    """A job whose supervisor is killed is ended with all that it left, and shown as lost with its node."""
    job = world.job("sweep-1", "sh", "-c", "(setsid sleep 300 &); sleep 300")
    await world.running(job)
    await asyncio.sleep(0.2)
    assert len(world.processes(job)) >= 4
    local_proc.send(world.supervisor(job), signal.SIGKILL)
    shown = await world.once(job, lambda found: found.finished)
    assert (shown.succeeded, shown.exit_code, shown.pod_reason) == (False, None, "NodeLost")
    assert shown.events == (), "nothing was wrong with its start"
    assert world.processes(job) == []
    assert world.kinds(job) == ["create", "start", "end"]


async def test_a_job_dies_with_its_supervisor_at_once(world: LocalWorld) -> None:
    """No daemon has to be there: the kernel kills the job's main process when its supervisor dies."""
    job = world.job("sweep-1", "sleep", "300")
    await world.running(job)
    supervisor = world.supervisor(job)
    assert len(world.processes(job)) == 2
    local_proc.send(supervisor, signal.SIGKILL)
    for _ in range(100):
        if not world.processes(job):
            break
        await asyncio.sleep(0.02)
    assert world.processes(job) == []


async def test_a_lost_job_is_hinted(world: LocalWorld) -> None:
    """Nobody tells of a killed supervisor; a listener hears of its job within a second or two."""
    job = world.job("sweep-1", "sleep", "300")
    await world.running(job)

    async def lost() -> None:
        async for hint in world.cluster.changes():
            if hint.job and hint.job.pod_reason == "NodeLost":
                return

    waiting = asyncio.create_task(lost())
    await asyncio.sleep(0.1)
    local_proc.send(world.supervisor(job), signal.SIGKILL)
    await asyncio.wait_for(waiting, 5)


async def test_a_supervisor_killed_before_the_start_is_replaced(world: LocalWorld) -> None:
    """A supervisor that died before its job began is started again, and the job still runs once."""
    for n in range(30):
        job = world.job(f"sweep-{n}", "echo", "ran")
        await world.cluster.create(job)
        with suppress(StopIteration):
            local_proc.send(world.supervisor(job), signal.SIGKILL)
        if world.kinds(job) == ["create"]:
            break  # it has not got as far as the start: Python takes longer, unless we were kept waiting
    shown = await world.once(job, lambda found: found.finished)
    assert shown.succeeded
    assert await world.cluster.log_tail(shown, 100) == "ran\n"
    assert world.kinds(job) == ["create", "start", "end"]


async def test_a_machine_that_goes_down_disrupts(world: LocalWorld) -> None:
    """A supervisor told to end by init ends its job in peace, as a disruption."""
    job = world.job("sweep-1", "sleep", "300")
    await world.running(job)
    local_proc.send(world.supervisor(job), signal.SIGTERM)
    shown = await world.once(job, lambda found: found.finished)
    assert (shown.exit_code, shown.pod_reason) == (143, "Terminated")
    assert "DisruptionTarget" in shown.conditions


async def test_another_boot_is_another_world(world: LocalWorld) -> None:
    """After a reboot the pids of a status mean nothing: the job is lost with its node."""
    job = world.job("sweep-1", "sleep", "300")
    await world.running(job)
    assert world.kinds(job) == ["create", "start"]  # and so nobody is stopped while it has the lock
    local_proc.send(world.supervisor(job), signal.SIGSTOP)
    path = str(world.folder("sweep-1") / "status.json")
    status = local_files.read(path)
    assert status
    local_files.write(path, {**status, "boot": "another"})
    os.unlink(world.folder("sweep-1") / "lock")  # after a reboot nobody holds it
    (world.folder("sweep-1") / "lock").touch()
    shown = await world.once(job, lambda found: found.finished)
    assert shown.pod_reason == "NodeLost"
    assert "restarted" in shown.message


async def test_a_folder_removed_by_hand_ends_its_job(world: LocalWorld) -> None:
    """Whoever removes the folder ends the job: as long as a process is left, it counts as a pod."""
    job = world.job("sweep-1", "sleep", "300")
    await world.running(job)
    await asyncio.to_thread(shutil.rmtree, world.folder("sweep-1"))
    for _ in range(200):
        live = await world.cluster.get(job.namespace, job.name, job.job_id)
        assert live.job is None
        if live.pods == 0:
            break
        await asyncio.sleep(0.03)
    assert live.pods == 0
    for _ in range(200):
        if world.kinds(job) == ["create", "start", "end", "delete"]:
            break
        await asyncio.sleep(0.03)
    assert world.kinds(job) == ["create", "start", "end", "delete"]


@pytest.mark.parametrize("deleted", [False, True])
async def test_a_lock_removed_by_hand_strands_nobody(world: LocalWorld, deleted: bool) -> None:
    """Whoever removes a lock file ends the job that runs; it is seen to be over, and can be deleted."""
    job = world.job("sweep-1", "sleep", "300")
    created = await world.running(job)
    (world.folder("sweep-1") / "lock").unlink()
    if deleted:
        await world.cluster.delete(job.namespace, job.name, created.uid)
        await _gone(world, "sweep-1")
    else:
        shown = await world.once(job, lambda found: found.finished)
        assert (shown.succeeded, shown.pod_reason) == (False, "NodeLost")
    assert world.processes(job) == []


async def _gone(world: LocalWorld, name: str) -> None:
    for _ in range(200):
        await world.cluster.observe([world.namespace])
        if not world.folder(name).exists():
            return
        await asyncio.sleep(0.03)
    raise AssertionError(f"{name} is still there")


async def test_a_deletion_outlives_the_daemon(world: LocalWorld) -> None:
    """An order to delete is carried out by the supervisor, whether or not a daemon is there."""
    job = world.job("sweep-1", "sleep", "300")
    created = await world.running(job)
    await world.cluster.delete(job.namespace, job.name, created.uid)
    for _ in range(200):
        if not world.folder("sweep-1").exists():
            break
        await asyncio.sleep(0.03)
    assert world.kinds(job) == ["create", "start", "end", "delete"]


async def test_nobody_waits_for_a_large_folder_to_be_removed(
    world: LocalWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a job left may take minutes to go: its name is free at once, and looks are answered meanwhile."""
    removed, may_go = [], threading.Event()

    def slowly(path: str) -> None:
        may_go.wait()
        removed.append(path)

    jobs = [world.job(f"sweep-{number}", "true") for number in range(5)]
    for job in jobs:
        await world.run(job)
    monkeypatch.setattr(local_folders, "remove_tree", slowly)
    try:
        for job in jobs:
            shown = await world.shown(job)
            assert shown
            await world.cluster.delete(job.namespace, job.name, shown.uid)
        assert (await world.cluster.observe([world.namespace])).jobs == {}
        assert removed == []
    finally:
        may_go.set()


async def test_a_full_disk_refuses_a_create_for_now(
    world: LocalWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without space a create is unavailable with one clear line, leaves nothing, and works later."""

    def full(descriptor: int, data: bytes) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "job.json")

    job = world.job("sweep-1", "true")
    with monkeypatch.context() as patch:
        patch.setattr(local_files, "write_all", full)
        with pytest.raises(Unavailable, match="disk of the state folder is full") as raised:
            await world.cluster.create(job)
    assert "\n" not in str(raised.value)
    assert list((world.state / "cluster" / ".drafts").iterdir()) == []
    assert not world.folder("sweep-1").exists()
    assert world.history() == []
    assert (await world.run(job))[0].succeeded


async def test_a_supervisor_waits_for_space(world: LocalWorld) -> None:
    """A supervisor that can't write its status goes on trying, and the end is recorded when it can."""
    job = world.job("sweep-1", "sh", "-c", "sleep 0.3; exit 4")
    await world.running(job)
    supervisor = world.supervisor(job)
    _limit_file_size(supervisor.pid, 0)
    await asyncio.sleep(1.5)
    shown = await world.shown(job)
    assert shown
    assert not shown.finished
    _limit_file_size(supervisor.pid, -1)
    shown = await world.once(job, lambda found: found.finished)
    assert shown.exit_code == 4
    assert world.kinds(job) == ["create", "start", "end"]


def _limit_file_size(pid: int, size: int) -> None:
    import resource

    resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, -1))


async def test_a_lost_state_folder_is_no_empty_cluster(world: LocalWorld) -> None:
    """When the cluster's folder is away nothing can be seen, and nothing is created elsewhere."""
    away = world.state / "away"
    (world.state / "cluster").rename(away)
    try:
        with pytest.raises(Unavailable):
            await world.cluster.observe([world.namespace])
        with pytest.raises(Unavailable):
            await world.cluster.create(world.job("sweep-1", "true"))
        assert not (world.state / "cluster").exists()
    finally:
        away.rename(world.state / "cluster")
    assert (await world.cluster.observe([world.namespace])).jobs == {}


async def test_a_damaged_object_costs_nobody_else(world: LocalWorld) -> None:
    """An object whose files make no sense is left alone and counted; the others are seen as before."""
    good, bad = world.job("sweep-1", "true"), world.job("sweep-2", "true")
    for job in (good, bad):
        await world.run(job)
    (world.folder("sweep-2") / "status.json").write_text('{"phase": "finished", "finished": 7}')
    seen = await world.another().observe([world.namespace])
    assert set(seen.jobs) == {good.job_id}
    assert [one.name for one in seen.foreign] == ["sweep-2"]
    (world.folder("sweep-2") / "job.json").write_text("{")
    seen = await world.another().observe([world.namespace])
    assert [one.name for one in seen.foreign] == ["sweep-2"]


async def test_another_instances_objects_are_foreign(world: LocalWorld, tmp_path: Path) -> None:
    """What another installation runs in the same folder is counted and never touched."""
    other = LocalWorld(tmp_path, instance="other")
    job = other.job("sweep-1", "sleep", "300")
    created = await other.running(job)
    seen = await world.cluster.observe([world.namespace])
    assert (dict(seen.jobs), [one.uid for one in seen.foreign]) == ({}, [created.uid])
    assert (await world.cluster.create(job)).result is CreateResult.EXISTS_FOREIGN
    local_proc.send(other.supervisor(job), signal.SIGKILL)
    await asyncio.sleep(0.2)
    assert (await world.cluster.observe([world.namespace])).foreign[0].active
    assert other.kinds(job) == ["create", "start"]
    await other.end()


async def test_a_clock_that_steps_back_expires_as_before(world: LocalWorld) -> None:
    """A time to live counts on the clock that never steps, whatever the wall clock said at the end."""
    job = world.job("sweep-1", "true")
    shown, _ = await world.run(job)
    path = str(world.folder("sweep-1") / "status.json")
    status = local_files.read(path)
    assert status
    status["finished"]["wall"] += 86400.0
    local_files.write(path, status)
    await world.cluster.expire(job.namespace, job.name, shown.uid, timedelta(seconds=0.1))
    await asyncio.sleep(0.2)
    assert await world.shown(job) is None


async def test_the_loop_never_waits_for_the_disk(world: LocalWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a look at the folders takes long, the event loop goes on."""
    import time

    monkeypatch.setattr(local_files, "read", lambda path: time.sleep(0.2))
    await asyncio.to_thread(world.folder("sweep-1").mkdir, parents=True)
    longest, last = 0.0, time.monotonic()
    look = asyncio.create_task(world.cluster.observe([world.namespace]))
    while not look.done():
        await asyncio.sleep(0.005)
        now = time.monotonic()
        longest, last = max(longest, now - last), now
    assert longest < 0.1
