"""How real jobs end on the local cluster: commands, memory, deadlines, orphans, mounts."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from controller.adapters import local_files, local_proc
from controller.core.model import LocalJob, Mount, Resources
from tests.adapters.local_world import LocalWorld

MIB = 1 << 20
TOUCH = "import os, sys, time; kept = b'x' * (int(sys.argv[1]) << 20)"
"""Python that touches so many MiB."""
DAEMON = """
import os, pathlib, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.execve("/bin/sleep", ["sleep", "300"], {})
    os._exit(0)
os.wait()
time.sleep(0.2)
for path in pathlib.Path("/proc").glob("[0-9]*/stat"):
    fields = path.read_text().rpartition(")")[2].split()
    if int(fields[1]) == os.getppid() and int(path.parent.name) != os.getpid():
        print(path.parent.name, fields[19])
"""
"""Python that leaves a daemon with an empty environment, and tells its pid and start time."""


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[LocalWorld]:
    """A local cluster of its own."""
    local = LocalWorld(tmp_path)
    yield local
    await local.end()


@pytest.mark.parametrize("command", ["no-such-command-here", "./no-such-file"])
async def test_a_missing_command_is_a_verdict(world: LocalWorld, command: str) -> None:
    """A command that does not exist ends the job with StartError, named, and it never started."""
    shown, log = await world.run(world.job("sweep-1", command))
    assert (shown.succeeded, shown.exit_code, shown.container_reason) == (False, 128, "StartError")
    assert f"'{command}' does not exist" in shown.message
    assert not shown.started
    assert log == ""


async def test_a_file_that_is_no_program_is_a_verdict(world: LocalWorld, tmp_path: Path) -> None:
    """What can't be executed, or is no program, is a StartError too."""
    script = tmp_path / "script"
    script.write_text("no program")
    shown, _ = await world.run(world.job("sweep-1", str(script)))
    assert "is not executable" in shown.message
    script.chmod(0o700)
    shown, _ = await world.run(world.job("sweep-2", str(script)))
    assert (shown.exit_code, shown.container_reason) == (128, "StartError")
    assert "Exec format error" in shown.message


async def test_a_missing_workdir_is_a_verdict(world: LocalWorld) -> None:
    """A working directory that is not there is named."""
    shown, _ = await world.run(world.job("sweep-1", "true", local=LocalJob(workdir="/no/such/folder")))
    assert (shown.exit_code, shown.container_reason) == (128, "StartError")
    assert "/no/such/folder" in shown.message


async def test_a_signal_is_an_exit_code(world: LocalWorld) -> None:
    """A job killed by somebody else has 128 + signal and no reason that would blame its memory."""
    shown, _ = await world.run(world.job("sweep-1", "sh", "-c", "kill -9 $$"))
    assert (shown.succeeded, shown.exit_code, shown.container_reason) == (False, 137, "Error")


async def test_too_much_memory_is_killed(world: LocalWorld) -> None:
    """A child that touches more than the limit is killed with the whole job, as out of memory."""
    command = ("sh", "-c", f'"{sys.executable}" -c "{TOUCH}; time.sleep(60)" 150; echo survived')
    job = world.job("sweep-1", *command, resources=Resources(memory=100 * MIB))
    shown, log = await world.run(job)
    assert (shown.succeeded, shown.exit_code, shown.container_reason) == (False, 137, "OOMKilled")
    assert "over the limit of 100.0 MiB" in shown.message
    assert "survived" not in log


async def test_shared_memory_counts_once(world: LocalWorld) -> None:
    """Forked children that share their parent's pages do not add up: PSS, not RSS, is judged."""
    fork = "[os.fork() or (time.sleep(0.8), os._exit(0)) for _ in range(3)]"
    program = f"{TOUCH}; {fork}; time.sleep(0.7)"
    job = world.job("sweep-1", sys.executable, "-c", program, "60", resources=Resources(memory=150 * MIB))
    shown, _ = await world.run(job)
    assert shown.succeeded, shown.message


async def test_a_deadline_ends_a_job(world: LocalWorld) -> None:
    """A job over its deadline is told to end, and the pod's reason says why."""
    shown, _ = await world.run(world.job("sweep-1", "sleep", "60", deadline=timedelta(seconds=0.3)))
    assert (shown.succeeded, shown.exit_code, shown.pod_reason) == (False, 143, "DeadlineExceeded")
    assert shown.started_at
    assert shown.finished_at
    assert timedelta(seconds=0.3) <= shown.finished_at - shown.started_at < timedelta(seconds=3)


async def test_sigterm_can_be_ignored_for_the_grace_only(world: LocalWorld) -> None:
    """A job that ignores SIGTERM is killed when the grace is over, with everything below it."""
    loop = "trap '' TERM; while :; do sleep 0.05; done"
    job = world.job("sweep-1", "sh", "-c", loop, deadline=timedelta(seconds=0.2))
    shown, _ = await world.run(job)
    assert (shown.exit_code, shown.pod_reason) == (137, "DeadlineExceeded")
    assert shown.started_at
    assert shown.finished_at
    assert shown.finished_at - shown.started_at >= timedelta(seconds=0.8)


async def test_a_second_order_does_not_prolong_the_first(tmp_path: Path) -> None:
    """A job that is deleted while its deadline's grace runs is killed when that grace is over."""
    local = LocalWorld(tmp_path, grace=timedelta(seconds=1.0))
    try:
        loop = "trap '' TERM; while :; do sleep 0.05; done"
        job = local.job("sweep-1", "sh", "-c", loop, deadline=timedelta(seconds=0.2))
        created = await local.running(job)
        await asyncio.sleep(0.6)
        await local.cluster.delete(job.namespace, job.name, created.uid)
        while await local.shown(job):
            await asyncio.sleep(0.03)
        start, end = (entry.time for entry in local.history() if entry.kind in ("start", "end"))
        assert timedelta(seconds=1.0) < end - start < timedelta(seconds=1.6)
    finally:
        await local.end()


async def test_a_job_may_clean_up_at_sigterm(world: LocalWorld) -> None:
    """A job that is deleted gets SIGTERM first and can still write its last words."""
    job = world.job("sweep-1", "sh", "-c", "trap 'echo saved; exit 0' TERM; while :; do sleep 0.02; done")
    created = await world.running(job)
    shown = await world.shown(job)
    assert shown
    await asyncio.sleep(0.1)
    await world.cluster.delete(job.namespace, job.name, created.uid)
    while await world.shown(job):
        await asyncio.sleep(0.03)
    assert (await world.cluster.log_tail(shown, 100)).endswith("saved\n")


@pytest.mark.parametrize(
    "leave",
    ["sleep 300 &", "(setsid sleep 300 &);", "(setsid sh -c 'sleep 300 & sleep 300' >/dev/null 2>&1 &);"],
    ids=["forked", "detached", "daemonised"],
)
async def test_nothing_is_left_behind(world: LocalWorld, leave: str) -> None:
    """When the main process ends, whatever it left behind is killed before the job counts as ended."""
    job = world.job("sweep-1", "sh", "-c", f"{leave} sleep 0.2; echo done")
    shown, log = await world.run(job)
    assert (shown.succeeded, log) == (True, "done\n")
    assert [p for p in world.processes(job) if b"sleep" in local_proc.command_line(p)] == []


async def test_a_clean_environment_hides_nobody(world: LocalWorld) -> None:
    """A daemon that dropped its environment is found as a descendant."""
    _, log = await world.run(world.job("sweep-1", sys.executable, "-c", DAEMON))
    pid, start = map(int, log.split())
    assert not local_proc.alive(local_proc.Proc(pid, start))


async def test_a_missing_host_path_fails_the_mount(world: LocalWorld, tmp_path: Path) -> None:
    """A hostPath that is missing or empty is a FailedMount: an event, no exit code, never started."""
    empty = tmp_path / "empty"
    empty.mkdir()
    for number, (source, why) in enumerate(((tmp_path / "missing", "No such file"), (empty, "is empty"))):
        mounts = (Mount("/data", host_path=str(source)),)
        shown, log = await world.run(world.job(f"sweep-{number}", "echo", "ran", mounts=mounts))
        assert (shown.succeeded, shown.exit_code, shown.container_reason) == (False, None, "FailedMount")
        assert shown.events == (f"FailedMount: {shown.message}",)
        assert why in shown.message
        assert str(source) in shown.message
        assert not shown.started
        assert log == ""


async def test_mounts_are_named_in_the_environment(world: LocalWorld, tmp_path: Path) -> None:
    """A hostPath's and an emptyDir's real folder is in the environment; a pvc is told to be ignored."""
    data = tmp_path / "data"
    data.mkdir()
    (data / "file").touch()
    mounts = (Mount("/in", host_path=str(data)), Mount("/out", pvc="results"), Mount("/tmp", empty_dir=True))
    script = 'echo $BATCHKEEPER_MOUNT_0; echo ${BATCHKEEPER_MOUNT_1-none}; ls -A "$BATCHKEEPER_MOUNT_2"; pwd'
    shown, log = await world.run(world.job("sweep-1", "sh", "-c", script, mounts=mounts))
    assert log.splitlines() == [str(data), "none", str(world.folder("sweep-1") / "work")]
    assert shown.events == (
        "VolumeIgnored: pvc results for /out does not exist on one machine; the job runs without it",
    )


async def test_the_log_keeps_its_end(tmp_path: Path) -> None:
    """However much a job writes, its last bytes are kept and the file stays small."""
    local = LocalWorld(tmp_path, log_bytes=1000)
    try:
        script = 'i=0; while [ $i -lt 3000 ]; do echo "line $i"; i=$((i+1)); done'
        _, log = await local.run(local.job("sweep-1", "sh", "-c", script))
        assert len(log) == 1000
        assert log.endswith("line 2998\nline 2999\n")
        assert (local.folder("sweep-1") / "log").stat().st_size == 1000
    finally:
        await local.end()


async def test_injected_faults_hit_the_first_attempts(tmp_path: Path) -> None:
    """A fault for one attempt ends attempt 0 with exit code 2 and its line, and spares attempt 1."""
    local = LocalWorld(tmp_path, faults={"sweep": {"1": 1, "2": "always"}})
    try:
        mounts = (Mount("/inputs", pvc="inputs"),)
        shown, log = await local.run(local.job("sweep-1", "echo", "ran", mounts=mounts))
        assert (shown.exit_code, shown.succeeded, shown.started) == (2, False, True)
        assert log == "mount failure (injected): /inputs is not mounted\n"
        shown, log = await local.run(local.job("sweep-1-r1", "echo", "ran", attempt=1))
        assert (shown.exit_code, log) == (0, "ran\n")
        shown, log = await local.run(local.job("sweep-2", "echo", "ran", attempt=7))
        assert (shown.exit_code, log) == (2, "mount failure (injected): /data is not mounted\n")
    finally:
        await local.end()


async def test_the_peak_of_memory_is_recorded(world: LocalWorld) -> None:
    """The status file tells how much memory a job used at most."""
    job = world.job("sweep-1", sys.executable, "-c", f"{TOUCH}; time.sleep(0.5)", "50")
    await world.run(job)
    status = local_files.read(str(world.folder("sweep-1") / "status.json"))
    assert status
    assert 50 * MIB < status["peak_memory"] < 90 * MIB
