"""Large batches on a real control plane, from the first create to the last end, beside the bare loop.

What is told: how long it took, how soon places were taken again, what it cost the API server, how much memory
and how long a stall the daemon had, and from the cluster's own history whether the cap ever broke.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench import proc
from tests.bench.cluster_bare import bare, on_pods
from tests.bench.cluster_place import (
    account_of,
    alike,
    empty_namespace,
    equal_jobs,
    kube_place,
    per_job,
    story,
)
from tests.bench.figures import Figure, percentile, table
from tests.bench.place import Place
from tests.bench.slots import JOBS, Slots, slots
from tests.e2e.process import Daemon
from tests.e2e.waiting import wait_for
from tests.kube.place import KubePlace

SAID_EVERY = 60.0
"""Seconds between two lines about how far a size has come."""
CLEARED_WITHIN = 3600.0
"""Seconds until a namespace of thousands of objects is gone: no load is to be beside the bare loop."""


@dataclass(frozen=True, slots=True)
class Size:
    """So many jobs of so many seconds, so many at a time."""

    tasks: int
    at_once: int
    seconds: float

    @property
    def ideal(self) -> float:
        """Seconds to the end if starting cost nothing."""
        return -(-self.tasks // self.at_once) * self.seconds

    def __str__(self) -> str:
        what = f"{self.tasks:,} jobs of {self.seconds:g} s, {self.at_once:,} at a time"
        return f"{what} (ideal {self.ideal:,.0f} s)"

    @property
    def key(self) -> str:
        """What to ask for it by."""
        return f"{self.tasks}x{self.at_once}"

    @property
    def env(self) -> dict[str, str]:
        """Of each job."""
        return {"RUN_SECONDS": f"{self.seconds:g}"}


SIZES = (Size(1_000, 50, 2),)
FULL = (*SIZES, Size(15_000, 500, 15), Size(50_000, 1_000, 25))


@dataclass(frozen=True, slots=True)
class Ran:
    """How one daemon took one batch to its end."""

    slots: Slots
    requests: float
    """Per job."""
    peak: int
    """Bytes of resident memory, at most."""
    stall: float
    """Of the event loop, the longest, in seconds."""
    cpu: float
    """Seconds per job, the daemon's own."""
    accepted: float
    """Seconds from the drop of the spec to the first create."""
    completed: int
    """Tasks, by the store."""
    wanted: list[dict[str, Any]]
    """Jobs as it asked for them, one for each task."""


def told(daemon: Daemon, file: Path) -> dict[str, Any]:
    """What the process tells of itself now."""
    file.unlink(missing_ok=True)
    os.kill(daemon.pid, signal.SIGUSR1)
    wait_for("what the daemon tells", file.exists)
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return found


def _run(there: KubePlace, size: Size, patience: float) -> Ran:
    file, account = there.root / "told.json", account_of(there.namespace)
    there.program = ("tests.bench.telling", str(file), "--heart")
    daemon = there.start()
    time.sleep(2)  # the start's own passes are over
    before = story(there.plane, there.namespace).by(account)
    spent, dropped = proc.seconds_of_cpu(daemon.pid), time.time()
    there.drop(equal_jobs("scale", size.tasks, size.at_once, size.env))

    until, said = dropped + patience, dropped
    while there.parent("scale").get("batch_status") != "finished" and time.time() < until:
        time.sleep(0.5)  # what asks must not be what is measured
        assert daemon.running, f"it ended: {daemon.log.read_text(errors='replace')[-2000:]}"
        if time.time() >= said + SAID_EVERY:
            said = time.time()
            _say(there, daemon, said - dropped)
    time.sleep(1)  # the last time to live is being set
    asked = there.plane.audit(there.namespace)
    used = slots(asked, JOBS, size.at_once)
    ended = max(1, len(used.ends))
    after = story(there.plane, there.namespace).by(account)
    return Ran(
        slots=used,
        requests=per_job(before, after, ended),
        peak=proc.resident_peak(daemon.pid),
        stall=told(daemon, file)["stall"],
        cpu=(proc.seconds_of_cpu(daemon.pid) - spent) / ended,
        accepted=used.begins[0].at.timestamp() - dropped,
        completed=_completed(there),
        wanted=alike(there, size.tasks),
    )


def _completed(there: KubePlace) -> int:
    return there.db["jobs"].count_documents({"batch_job": {"$ne": True}, "status": "completed"})


def _say(there: KubePlace, daemon: Daemon, seconds: float) -> None:
    held, load = proc.resident(daemon.pid) / proc.MIB, os.getloadavg()[0]
    done, at_once = _completed(there), len(there.gate("scale").get("holders", ()))
    sys.stderr.write(
        f"  {seconds / 60:.0f} min: {done:,} completed, {at_once} now, {held:.0f} MiB, load {load:.1f}\n"
    )


async def _raw(place: Place, size: Size, wanted: list[dict[str, Any]]) -> Slots:
    assert place.plane is not None
    wanted = [{**job, "spec": {**job["spec"], "ttlSecondsAfterFinished": place.ttl}} for job in wanted]
    async with empty_namespace(place) as namespace, bare(place.plane, namespace) as hands:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(place.bare_patience):
                await on_pods(hands, wanted, size.at_once)
        return slots(await asyncio.to_thread(place.plane.audit, namespace), JOBS, size.at_once)


async def scale(place: Place) -> list[Figure]:
    """1,000 × 50; with ``--full`` also 15,000 × 500 and 50,000 × 1,000.

    A size that takes longer than the place's patience is told of as far as it came; so is the loop beside it.
    """
    figures = []
    for size in FULL if place.full or place.size else SIZES:
        if place.size in ("", size.key):
            figures += await measured(place, size)
    return figures


async def measured(place: Place, size: Size) -> list[Figure]:
    """One size, ours and the bare loop."""
    with kube_place(place, lifecycle={"finished_ttl": f"{place.ttl}s"}) as there:
        ours = await asyncio.to_thread(_run, there, size, place.patience)
    sys.stderr.write(
        f"{table(_figures(size, ours, None))}\nwaiting until the cluster has cleared that away\n"
    )
    path = f"/api/v1/namespaces/{there.namespace}"
    await asyncio.to_thread(
        wait_for, "it is cleared away", lambda: there.plane.admin.find(path) is None, CLEARED_WITHIN
    )
    # The loop beside it takes as long again, and may be broken off.
    sys.stderr.write("now the bare loop\n")
    return _figures(size, ours, await _raw(place, size, ours.wanted))


def _figures(size: Size, ours: Ran, raw: Slots | None) -> list[Figure]:
    mine, theirs = ours.slots.refills(), raw.refills() if raw else None

    def used(one: Slots) -> float:
        return 100 * one.utilisation(size.seconds)

    def refill(percent: float, goal: str) -> Figure:
        what = f"… end → replacement acknowledged, p{percent:g}"
        beside = 1000 * percentile(theirs, percent) if theirs else None
        return Figure(what, 1000 * percentile(mine, percent), "ms", beside, goal)

    whole = raw is None or len(raw.ends) >= len(ours.slots.ends)
    return [
        Figure(f"scale: {size}", ours.slots.span, "s", raw.span if raw and whole else None),
        *([] if raw is None or whole else [_as_far_as(raw, ours.slots)]),
        Figure("… slots used", used(ours.slots), "%", used(raw) if raw else None),
        refill(50, "≤ 3×"),
        refill(99, "≤ 10×"),
        Figure("… API requests per job", ours.requests, "requests", None, "≤ 4"),
        Figure("… the daemon's CPU time per job", 1000 * ours.cpu, "ms"),
        Figure("… from the spec's drop to the first create", ours.accepted, "s"),
        Figure("… resident memory, at most", ours.peak / proc.MIB, "MiB", None, "≤ 256"),
        Figure("… the loop's longest stall", 1000 * ours.stall, "ms", None, "≤ 100"),
        Figure("… at once, at most", ours.slots.most, "jobs", raw.most if raw else None, f"≤ {size.at_once}"),
        Figure("… starts above the cap", ours.slots.violations, "starts", None, "0"),
        Figure("… tasks completed", ours.completed, "tasks", None, f"{size.tasks:,}"),
    ]


def _as_far_as(raw: Slots, ours: Slots) -> Figure:
    """Where the bare loop was ended before ours was at the end: how long as many took."""
    ended = len(raw.ends)
    return Figure(f"… until {ended:,} had ended", ours.first(ended).span, "s", raw.span)
