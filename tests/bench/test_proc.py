"""What the benchmarks read of processes, and how they judge growth."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.bench import proc
from tests.bench.memory import IDLE, LOAD, Sample, figures, growth, read
from tests.e2e.waiting import wait_for


def _sample(minute: float, phase: str, rss: float, fds: int = 20, tasks: int = 30) -> Sample:
    return Sample(
        seconds=60 * minute,
        phase=phase,
        rss_mib=rss,
        fds=fds,
        sockets=9,
        threads=2,
        tasks=tasks,
        objects=1,
        cpu_seconds=minute,
        batches=1,
        closed=1,
        listening=0,
        load=1.0,
    )


def test_memory_that_is_held_is_resident() -> None:
    """A process that fills 40 MiB has them in its resident memory, and in its peak also afterwards."""
    pid = os.getpid()
    before = proc.resident(pid)
    held = bytearray(os.urandom(1024)) * (40 * 1024)
    assert 38 * proc.MIB < proc.resident(pid) - before < 60 * proc.MIB
    del held
    assert proc.resident_peak(pid) - before > 38 * proc.MIB


def test_descriptors_are_told_by_kind(tmp_path: Path) -> None:
    """An open file and a pipe are one file and two ends of a pipe more."""
    before = proc.open_files(os.getpid())
    with (tmp_path / "file").open("w"):
        ends = os.pipe()
        more = proc.open_files(os.getpid()) - before
    for end in ends:
        os.close(end)
    assert more == {"file": 1, "pipe": 2}


def test_the_line_with_the_least_squares() -> None:
    """Noise on both sides of a line leaves its slope; points above each other have none."""
    points = [(x, 2.5 * x + (1 if x % 2 else -1)) for x in range(101)]
    assert proc.slope(points) == pytest.approx(2.5, abs=0.01)
    with pytest.raises(ValueError, match="two points"):
        proc.slope([(1, 1), (1, 2)])


def test_growth_is_that_of_the_last_two_thirds() -> None:
    """What fills up in the first third is no leak; what grows on is, to the MiB an hour."""
    warm = [_sample(n, LOAD, 100 + n) for n in range(30)]
    leak = [_sample(n, LOAD, 130 + (n - 30) / 60 * 6) for n in range(30, 90)]
    flat = [_sample(n, LOAD, 130) for n in range(30, 90)]
    assert growth(warm + leak) == pytest.approx(6)
    assert growth(warm + flat) == pytest.approx(0)


def test_the_quiet_times_stand_beside_each_other(tmp_path: Path) -> None:
    """A task and a descriptor that stay are seen, whatever there was of them under load."""
    samples = [
        *[_sample(n, IDLE, 100) for n in range(3)],
        *[_sample(n, LOAD, 110, fds=70, tasks=90) for n in range(3, 63)],
        *[_sample(n, IDLE, 105, fds=21, tasks=31) for n in range(63, 68)],
    ]
    told = {figure.what: figure.ours for figure in figures(samples)}
    assert (told["quiet before: fds"], told["quiet after: fds"]) == (20, 21)
    assert (told["quiet before: tasks"], told["quiet after: tasks"]) == (30, 31)
    assert told["resident memory's growth over the last two thirds"] == pytest.approx(0)


def test_a_process_tells_what_it_holds(tmp_path: Path) -> None:
    """On the signal the program's tasks are in the file, by what they run; it goes on."""
    file = tmp_path / "told.json"
    program = (
        "import asyncio, sys; from pathlib import Path; from tests.bench.telling import tell_on_signal\n"
        "async def leak(): await asyncio.sleep(600)\n"
        "async def main():\n"
        "    held = [asyncio.create_task(leak()) for _ in range(5)]\n"
        f"    tell_on_signal(Path({str(file)!r})); print('up', flush=True)\n"
        "    await asyncio.gather(*held)\n"
        "asyncio.run(main())\n"
    )
    root = str(Path(__file__).parents[2])
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, cwd=root) as child:
        try:
            assert child.stdout
            assert child.stdout.readline() == b"up\n"
            os.kill(child.pid, signal.SIGUSR1)
            wait_for("the file", file.exists)
            assert json.loads(file.read_text())["tasks"] == {"main": 1, "leak": 5}
            assert child.poll() is None
        finally:
            child.kill()


def test_samples_are_read_as_they_were_written(tmp_path: Path) -> None:
    """A line of the file is a sample again, numbers as numbers."""
    file = tmp_path / "samples.csv"
    file.write_text(
        "seconds,phase,rss_mib,fds,sockets,threads,tasks,objects,cpu_seconds,batches,closed,listening,load\n"
        "30.5,load,118.25,41,35,4,49,147226,5.28,3,2,4,13.53\n"
    )
    (one,) = read(file)
    assert (one.seconds, one.phase, one.rss_mib, one.tasks) == (30.5, LOAD, 118.25, 49)
