"""One supervisor by itself: what its kernel and its disk may do to it between any two of its steps."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from controller.adapters import local_files, local_objects, local_proc
from controller.adapters.local_folders import Folders, Record
from controller.core.model import Mount
from controller.ports import NewJob
from tests.adapters.local_world import LocalWorld


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[LocalWorld]:
    """A local cluster of its own."""
    local = LocalWorld(tmp_path)
    yield local
    await local.end()


def queued(world: LocalWorld, job: NewJob) -> Record:
    """The folder of a job for which nobody has started a supervisor yet."""
    folders = Folders(str(world.state / "cluster"))
    folders.create(local_objects.document(job, f"uid-{job.name}", local_files.mark(), world.settings))
    record = folders.read(job.namespace, job.name)
    assert record
    return record


async def supervised(world: LocalWorld, job: NewJob, mishap: str) -> subprocess.CompletedProcess[str]:
    """Let a supervisor to which something happens run the job; ``mishap``: Python, run in it beforehand."""
    record = queued(world, job)
    program = textwrap.dedent(mishap) + textwrap.dedent(
        f"""
        from controller.adapters.local_supervision import supervise

        supervise({str(world.folder(job.name))!r}, {record.uid!r})
        """
    )
    return await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", program],
        env={"BATCHKEEPER_JOB": job.job_id, "PATH": "/usr/bin:/bin"},
        check=False,
        capture_output=True,
        text=True,
    )


async def test_a_daemon_that_a_look_missed_is_killed(world: LocalWorld) -> None:
    """What forks and ends while it is looked for leaves its child to the supervisor, just after that read
    its list: one look that found nobody proves nothing."""
    mishap = """
    from controller.adapters import local_proc, local_supervision

    real, clear = local_proc.descendants, local_supervision.Supervision._clear_away
    missed = []

    def after_the_end(self):
        missed.append(True)
        clear(self)

    def descendants(pid):
        return [] if missed and missed.pop() else real(pid)

    local_supervision.Supervision._clear_away = after_the_end
    local_proc.descendants = descendants
    """
    job = world.job("sweep-1", "sh", "-c", "setsid sleep 300 & echo $!")
    ended = await supervised(world, job, mishap)
    assert (ended.returncode, ended.stderr) == (0, "")
    shown = await world.once(job, lambda found: found.finished)
    assert shown.succeeded
    left = int(await world.cluster.log_tail(shown, 100))
    assert local_proc.look(left) is None


@pytest.mark.parametrize("told", ["", "os.kill(os.getpid(), signal.SIGTERM)"], ids=["deadline", "shutdown"])
async def test_a_success_is_one_although_its_supervisor_was_held_up(world: LocalWorld, told: str) -> None:
    """The job ended with 0 in time; its supervisor comes to know of it when its deadline has passed, or
    when the machine goes down."""
    mishap = f"""
    import os, signal

    from controller.adapters.local_supervision import Supervision

    real, held_up = Supervision._let_run, []

    def let_run(self, seconds):
        if held_up or self._started_at is None:
            return real(self, seconds)
        held_up.append(True)
        os.waitid(os.P_PID, self._child.pid, os.WEXITED | os.WNOWAIT)
        self._started_at -= 3600.0  # so long was it held up
        {told}

    Supervision._let_run = let_run
    """
    job = world.job("sweep-1", "sleep", "0.2", deadline=timedelta(hours=2 if told else 1))
    ended = await supervised(world, job, mishap)
    assert (ended.returncode, ended.stderr) == (0, "")
    shown = await world.once(job, lambda found: found.finished)
    assert (shown.exit_code, shown.succeeded, shown.pod_reason) == (0, True, "")


async def test_a_full_disk_does_not_fail_a_job(world: LocalWorld) -> None:
    """The folders that a job finds are made by its supervisor, which waits for room as with its status."""
    mishap = """
    import errno, os

    real, refusals = os.mkdir, [3]

    def mkdir(path, *more):
        if refusals[0]:
            refusals[0] -= 1
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
        real(path, *more)

    os.mkdir = mkdir
    """
    mounts = (Mount("/scratch", empty_dir=True), Mount("/tmp", empty_dir=True))
    job = world.job("sweep-1", "sh", "-c", 'touch "$BATCHKEEPER_MOUNT_1/x" && pwd', mounts=mounts)
    ended = await supervised(world, job, mishap)
    assert (ended.returncode, ended.stderr) == (0, "")
    shown = await world.once(job, lambda found: found.finished)
    assert (shown.succeeded, shown.exit_code, shown.message) == (True, 0, "")
    assert await world.cluster.log_tail(shown, 200) == f"{world.folder('sweep-1')}/work\n"


async def test_a_machine_without_room_for_a_process_does_not_fail_a_job(world: LocalWorld) -> None:
    """Its supervisor leaves, says why, and the next one starts it."""
    mishap = """
    import errno, os

    def fork():
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    os.fork = fork
    """
    job = world.job("sweep-1", "echo", "ran")
    ended = await supervised(world, job, mishap)
    assert ended.returncode == 1
    assert ended.stderr == "the job's process can't be made: Resource temporarily unavailable\n"
    shown = await world.once(job, lambda found: found.finished)
    assert (shown.succeeded, await world.cluster.log_tail(shown, 100)) == (True, "ran\n")
    assert world.kinds(job) == ["create", "start", "end"]


async def test_a_queued_job_without_its_lock_is_started(world: LocalWorld) -> None:
    """Somebody removed it by hand before a supervisor came: the job waits for nobody."""
    job = world.job("sweep-1", "echo", "ran")
    queued(world, job)
    (world.folder("sweep-1") / "lock").unlink()
    shown = await world.once(job, lambda found: found.finished)
    assert (shown.succeeded, await world.cluster.log_tail(shown, 100)) == (True, "ran\n")


@pytest.mark.parametrize("torn", ["", "{", "7"])
async def test_a_job_whose_status_is_torn_is_not_run_again(world: LocalWorld, torn: str) -> None:
    """What it says can't be known: its command may have run, so it has ended, lost."""
    job = world.job("sweep-1", "echo", "ran")
    queued(world, job)
    (world.folder("sweep-1") / "status.json").write_text(torn)
    shown = await world.once(job, lambda found: found.finished)
    assert (shown.succeeded, shown.pod_reason, shown.exit_code) == (False, "NodeLost", None)
    assert shown.message == "its status can't be read: whether it ran is unknown"
    assert world.kinds(job) == ["create", "end"]
