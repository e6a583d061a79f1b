"""What the benchmarks read of processes, and how they judge growth."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import tracemalloc
from pathlib import Path

import pytest

from tests.bench import proc
from tests.bench.memory import IDLE, LOAD, Sample, figures, growth, read
from tests.bench.telling import Traces, malloc
from tests.e2e.waiting import wait_for


def _sample(minute: float, phase: str, rss: float, fds: int = 20, tasks: int = 30) -> Sample:
    return Sample(
        seconds=60 * minute,
        phase=phase,
        rss_mib=rss,
        anon_mib=rss / 2,
        fds=fds,
        sockets=9,
        threads=2,
        tasks=tasks,
        objects=1,
        blocks=1000,
        malloc_mib=rss / 4,
        gaps_mib=1.0,
        mapped_mib=0.0,
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
    assert proc.resident(pid) > proc.anonymous(pid) > 38 * proc.MIB, "no file is behind it"
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
            told = json.loads(file.read_text())
            assert told["tasks"] == {"main": 1, "leak": 5}
            assert told["blocks"] > told["objects"]
            assert child.poll() is None
        finally:
            child.kill()


@pytest.mark.skipif(not any(malloc().values()), reason="another C library than glibc")
def test_what_the_c_library_has_given_out() -> None:
    """Pieces of 700 bytes come out of its pool, or out of what it kept free; afterwards they are free."""
    before = malloc()
    held = [bytes(700) for _ in range(20_000)]
    while_held = malloc()
    assert while_held["used"] - before["used"] > 20_000 * 700
    del held
    after = malloc()
    assert after["used"] - before["used"] < 5_000 * 700


def test_lines_that_hold_more_than_when_all_was_warm(monkeypatch: pytest.MonkeyPatch) -> None:
    """Growth is told from the third look on; there is one every ten minutes, told again until the next."""
    monkeypatch.setattr(Traces, "_looks", [])
    monkeypatch.setattr(Traces, "_at", -math.inf)
    monkeypatch.setattr(Traces, "_told", {})
    tracemalloc.start(1)
    try:
        assert "grown" not in Traces.look(0)
        assert "grown" not in Traces.look(600)
        held = [bytes(1000) for _ in range(2000)]
        told = Traces.look(1200)
        assert told["grown"][0]["bytes"] > len(held) * 1000
        assert __file__ in told["grown"][0]["where"][0]
        assert Traces.look(1201) is told
    finally:
        tracemalloc.stop()


def test_samples_are_read_as_they_were_written(tmp_path: Path) -> None:
    """A line of the file is a sample again, numbers as numbers."""
    file = tmp_path / "samples.csv"
    file.write_text(
        "seconds,phase,rss_mib,anon_mib,fds,sockets,threads,tasks,objects,blocks,malloc_mib,gaps_mib,"
        "mapped_mib,cpu_seconds,batches,closed,listening,load\n"
        "30.5,load,118.25,88.5,41,35,4,49,147226,559001,29.25,0.5,2.25,5.28,3,2,4,13.53\n"
    )
    (one,) = read(file)
    told = (one.seconds, one.phase, one.rss_mib, one.malloc_mib, one.gaps_mib, one.tasks)
    assert told == (30.5, LOAD, 118.25, 29.25, 0.5, 49)
