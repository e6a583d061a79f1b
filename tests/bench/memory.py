"""``python -m tests.bench.memory``: whether the daemon's memory stays flat under hours of load.

A daemon as a process, a real mongod, a real control plane, and ``memory_load``. Every half minute a line of
``samples.csv``; at the end, or when it is told to stop, how memory grew and in what the two quiet times
differ, the first of which follows some load already: pools are filled, modules are read. ``--report`` reads a
file that is still being written.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import csv
import json
import os
import random
import secrets
import signal
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from controller.adapters.mongod import acquire
from tests.bench import proc
from tests.bench.cluster_place import control_plane, kube_place
from tests.bench.figures import Figure, table
from tests.bench.memory_load import Load, Pace, quiet
from tests.bench.place import Place
from tests.e2e.process import Daemon
from tests.kube.place import KubePlace

INTERVAL, PATIENCE = 30.0, 900.0
WARM, IDLE, LOAD = "warm", "idle", "load"
SETTLED = 3
"""Samples of a quiet time that are compared, the last ones."""
TTL = "90s"
"""For how long the cluster keeps what has ended: what it still shows, the daemon still knows."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What the daemon held at one moment."""

    seconds: float
    """Since the first sample."""
    phase: str
    rss_mib: float
    anon_mib: float
    """Of it what no file backs: what the program asked for itself."""
    fds: int
    sockets: int
    threads: int
    tasks: int
    objects: int
    """That the garbage collector knows."""
    blocks: int
    """Of Python's own allocator."""
    malloc_mib: float
    """That the C library has given out, of its pool: everything else that lives."""
    gaps_mib: float
    """That it keeps free there."""
    mapped_mib: float
    """That it has mapped apart, for large pieces."""
    cpu_seconds: float
    """The daemon's own, since its start."""
    batches: int
    """Dropped so far."""
    closed: int
    """Of them, those that have come to their end."""
    listening: int
    load: float
    """Of the machine."""


class Sampler:
    """Looks at one daemon, and writes down what it sees."""

    def __init__(self, daemon: Daemon, told: Path, file: Path) -> None:
        self._daemon = daemon
        self._told = told
        self._file = file
        self._begin = time.monotonic()
        self.last_told: dict[str, Any] = {}
        with file.open("w", newline="", encoding="utf-8") as out:
            csv.writer(out).writerow([field.name for field in fields(Sample)])

    async def ask(self) -> dict[str, Any]:
        """What the process says that it holds. ``TimeoutError``: it says nothing any more."""
        await asyncio.to_thread(self._told.unlink, missing_ok=True)
        os.kill(self._daemon.pid, signal.SIGUSR1)
        async with asyncio.timeout(120):
            while not self._told.exists():
                await asyncio.sleep(0.05)
        self.last_told = json.loads(self._told.read_text(encoding="utf-8"))
        return self.last_told

    async def sample(self, phase: str, load: Load | None = None) -> Sample:
        """One line more."""
        told, pid = await self.ask(), self._daemon.pid
        files = proc.open_files(pid)
        seen = Sample(
            seconds=round(time.monotonic() - self._begin, 1),
            phase=phase,
            rss_mib=round(proc.resident(pid) / proc.MIB, 3),
            anon_mib=round(proc.anonymous(pid) / proc.MIB, 3),
            fds=files.total(),
            sockets=files["socket"],
            threads=proc.threads(pid),
            tasks=sum(told["tasks"].values()),
            objects=told["objects"],
            blocks=told["blocks"],
            malloc_mib=round(told["malloc"]["used"] / proc.MIB, 3),
            gaps_mib=round(told["malloc"]["free"] / proc.MIB, 3),
            mapped_mib=round(told["malloc"]["mapped"] / proc.MIB, 3),
            cpu_seconds=proc.seconds_of_cpu(pid),
            batches=load.done["batches"] if load else 0,
            closed=await asyncio.to_thread(load.closed) if load else 0,
            listening=load.listening if load else 0,
            load=round(os.getloadavg()[0], 2),
        )
        with self._file.open("a", newline="", encoding="utf-8") as out:
            csv.writer(out).writerow(asdict(seen).values())
        return seen

    async def go_on(self, phase: str, load: Load | None = None) -> None:
        """A line every interval, until it is cancelled."""
        while True:
            await asyncio.sleep(INTERVAL)
            await self.sample(phase, load)


def read(file: Path) -> list[Sample]:
    """What was written there so far."""
    with file.open(newline="", encoding="utf-8") as lines:
        return [_sample(line) for line in csv.DictReader(lines)]


def _sample(line: Mapping[str, str]) -> Sample:
    kinds = {"str": str, "int": int, "float": float}
    return Sample(**{field.name: kinds[str(field.type)](line[field.name]) for field in fields(Sample)})


def growth(samples: Sequence[Sample], what: str = "rss_mib") -> float:
    """MiB an hour over the last two thirds of the load. ``ValueError``: too few samples."""
    loaded = [one for one in samples if one.phase == LOAD]
    late = loaded[len(loaded) // 3 :]
    return proc.slope([(one.seconds / 3600, getattr(one, what)) for one in late])


def figures(samples: Sequence[Sample]) -> list[Figure]:
    """How memory grew, and the quiet times before and after beside each other. ``ValueError``: too few."""
    loaded = [one for one in samples if one.phase == LOAD]
    third = loaded[len(loaded) // 3 :]
    spent = loaded[-1].cpu_seconds - loaded[0].cpu_seconds
    hours = (loaded[-1].seconds - loaded[0].seconds) / 3600
    told = [
        Figure("under load for", hours, "h"),
        Figure("batches of 16 jobs in it", loaded[-1].batches - loaded[0].batches, "batches"),
        Figure("… that came to their end in it", loaded[-1].closed - loaded[0].closed, "batches"),
        Figure("the daemon's CPU time in it", 100 * spent / (hours * 3600), "% of a core"),
        Figure("resident memory's growth over the last two thirds", growth(samples), "MiB/h", None, "≤ 1"),
        Figure("… of its anonymous part", growth(samples, "anon_mib"), "MiB/h"),
        Figure("what the C library has given out", growth(samples, "malloc_mib"), "MiB/h"),
        Figure("what it keeps free", growth(samples, "gaps_mib"), "MiB/h"),
        Figure("blocks of Python's allocator", growth(samples, "blocks"), "blocks/h"),
        Figure("… at the beginning of these", third[0].rss_mib, "MiB"),
        Figure("… at the end", third[-1].rss_mib, "MiB"),
        Figure("… at most", max(one.rss_mib for one in samples), "MiB"),
    ]
    start = max(k for k, one in enumerate(samples) if one.phase == IDLE and one.seconds < loaded[0].seconds)
    before = samples[: start + 1][-SETTLED:]
    after = [one for one in samples if one.phase == IDLE and one.seconds > loaded[-1].seconds][-SETTLED:]
    for what, unit in (
        ("fds", "descriptors"),
        ("tasks", "tasks"),
        ("threads", "threads"),
        ("rss_mib", "MiB"),
    ):
        quiet_before = min(getattr(one, what) for one in before)
        told.append(Figure(f"quiet before: {what}", quiet_before, unit))
        if after:
            told.append(Figure(f"quiet after: {what}", min(getattr(one, what) for one in after), unit))
    return told


@contextlib.asynccontextmanager
async def _going_on(sampler: Sampler, phase: str, load: Load | None = None) -> AsyncIterator[None]:
    task = asyncio.create_task(sampler.go_on(phase, load))
    try:
        yield
        if task.done():
            task.result()
    finally:
        task.cancel()


@dataclass(frozen=True, slots=True)
class Times:
    """How long each phase is, in seconds."""

    warm: float
    load: float
    rest: float
    """Of quiet before the load; twice that after it."""


async def _phases(sampler: Sampler, load: Load, times: Times) -> None:
    await sampler.sample(WARM)
    for phase, loaded, rest in ((WARM, times.warm, times.rest), (LOAD, times.load, 2 * times.rest)):
        async with _going_on(sampler, phase, load):
            await load.run(loaded)
            if not await quiet(load.place, PATIENCE):
                sys.stderr.write("some batches did not come to an end\n")
        async with _going_on(sampler, IDLE, load):
            await asyncio.sleep(rest)
        await sampler.sample(IDLE, load)


def _daemon(there: KubePlace, folder: Path, told: Path, trace: bool) -> tuple[Daemon, str]:
    """A daemon that tells what it holds, ready; and an admin's token."""
    token, tokens = secrets.token_hex(16), folder / "tokens"
    tokens.touch(mode=0o600)
    tokens.write_text(f"{token} root admins\n", encoding="utf-8")
    there.configure(
        specs={"interval": "2s"},
        reconcile={"interval": "15s"},
        repair={"interval": "30s", "after": "30s"},
        lifecycle={"finished_ttl": TTL},
        auth={"static": {"file": str(tokens)}, "admin_groups": ["admins"]},
    )
    there.program = ("tests.bench.telling", str(told), *(["--trace"] if trace else []))
    daemon = there.start()
    daemon.ready()
    return daemon, token


async def run(folder: Path, times: Times, pace: Pace, trace: bool) -> None:
    """The whole run; its files are in ``folder``. Being cancelled ends it early, and tidily."""
    mongod = await acquire(folder / "mongod")
    try:
        with control_plane() as plane:
            if isinstance(plane, str):
                raise SystemExit(f"no control plane: {plane}")
            place, told = Place(mongod.uri, folder, full=True, plane=plane), folder / "told.json"
            with kube_place(place) as there:
                daemon, token = await asyncio.to_thread(_daemon, there, folder, told, trace)
                sampler = Sampler(daemon, told, folder / "samples.csv")
                load = Load(there, daemon.url, token, random.Random(1), pace)
                try:
                    await _phases(sampler, load, times)
                finally:
                    done = {"done": dict(load.done), "told": sampler.last_told, "errors": daemon.errors()}
                    (folder / "done.json").write_text(json.dumps(done, indent=1), encoding="utf-8")
    finally:
        await mongod.release()


def _stop_tidily() -> None:
    """SIGTERM is a Ctrl-C; and a Ctrl-C is one also where a shell began us in the background."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))


def main() -> None:
    """Parse, run, report."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.memory", description=__doc__)
    parser.add_argument("--hours", type=float, default=2, help="for how long the load goes on (2)")
    parser.add_argument("--warm", type=float, default=10, help="minutes of load before the first quiet (10)")
    parser.add_argument(
        "--rest", type=float, default=120, help="seconds of quiet before; twice that after (120)"
    )
    parser.add_argument(
        "--batch-every", type=float, default=45, help="seconds between batches of 16 jobs (45)"
    )
    parser.add_argument("--folder", type=Path, default=Path("memory"), help="a new folder for all its files")
    parser.add_argument(
        "--trace", action="store_true", help="have the daemon tell which lines hold its memory"
    )
    parser.add_argument("--report", type=Path, metavar="CSV", help="read these samples, and run nothing")
    asked = parser.parse_args()
    file = asked.report
    if file is None:
        asked.folder.mkdir(parents=True, exist_ok=True)
        file = asked.folder.resolve() / "samples.csv"
        _stop_tidily()
        times = Times(asked.warm * 60, asked.hours * 3600, asked.rest)
        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(run(file.parent, times, Pace(batch=asked.batch_every), asked.trace))
    sys.stdout.write(table(figures(read(file))) + "\n")


if __name__ == "__main__":
    main()
