"""A job ends: how soon does its replacement's folder exist, and how well are the places used?"""

from __future__ import annotations

import asyncio
import statistics

from controller.adapters.local_history import CREATE, END
from controller.app import Running
from controller.core.spec import BatchSpec
from controller.intake import accept
from controller.requests import Caller, resume
from tests.bench.bare import bare_creates, bare_loop, history, refills, span
from tests.bench.figures import Figure, percentile
from tests.bench.place import Place, daemon, now, spec


async def finished(running: Running, name: str) -> None:
    """Wait until a batch has ended; ``TimeoutError`` after two minutes."""
    for _ in range(480):
        batch = await running.parts.store.batch_named("default", name)
        if batch and batch.status.closed:
            return
        await asyncio.sleep(0.25)
    raise TimeoutError(f"batch {name} has not ended")


async def _measured(place: Place, wanted: BatchSpec) -> tuple[list[float], float, float, list[float], float]:
    """Refills and span of the daemon, its store calls per job; refills and span of the bare loop."""
    ours, bare = place.settings(), place.settings()
    async with daemon(ours) as (running, calls):
        await asyncio.sleep(1)  # the start's own passes are over
        calls.clear()
        await accept(running.parts.store, wanted, source="bench")
        await finished(running, wanted.name)
        per_job = calls.total() / len(wanted.tasks)
    await bare_loop(bare, wanted)
    mine, theirs = history(ours), history(bare)
    at_once = wanted.max_concurrent
    return (
        refills(mine, at_once),
        span(mine, CREATE, END),
        per_job,
        refills(theirs, at_once),
        span(theirs, CREATE, END),
    )


async def refill(place: Place) -> list[Figure]:
    """Jobs that end one after the other: what a single end costs."""
    wanted = spec("refill", 80, 4, ("sleep", "0.8"))
    mine, _, per_job, bare, _ = await _measured(place, wanted)
    what = "end → replacement's folder"
    return [
        Figure(f"{what}, p50", _ms(percentile(mine, 50)), "ms", _ms(percentile(bare, 50)), "≤ 3×"),
        Figure(f"{what}, p99", _ms(percentile(mine, 99)), "ms", _ms(percentile(bare, 99)), "≤ 10×"),
        Figure(f"{what}, mean", _ms(statistics.mean(mine)), "ms", _ms(statistics.mean(bare))),
        Figure("store calls per job, its whole life", per_job, "calls"),
    ]


async def utilisation(place: Place) -> list[Figure]:
    """60 jobs of 0.5 s, 10 at a time: 3.0 s if starting cost nothing."""
    wanted = spec("slots", 60, 10, ("sleep", "0.5"))
    _, mine, per_job, _, bare = await _measured(place, wanted)
    return [
        Figure("60 jobs of 0.5 s, 10 at a time (ideal 3.0 s)", mine, "s", bare, "≤ 1.04×"),
        Figure("store calls per job in a rush", per_job, "calls"),
    ]


async def submission(place: Place) -> list[Figure]:
    """A resumed batch fills 50 places; raw: the same folders created by 16 hands, and nothing recorded."""
    ours, bare = place.settings(), place.settings()
    wanted = spec("full", 50, 50, ("sleep", "3"), paused=True)
    async with daemon(ours) as (running, _):
        parts = running.parts
        await accept(parts.store, wanted, source="bench")
        await asyncio.sleep(1)
        batch = await parts.store.batch_named("default", "full")
        assert batch is not None
        begin = now()
        await resume(parts.people, Caller("bench"), batch)
        await finished(running, "full")
    made = [entry.time for entry in history(ours) if entry.kind == CREATE]
    mine = len(made) / (made[-1] - begin).total_seconds()
    raw = await bare_creates(bare, wanted)
    return [Figure("a full slot set of 50 submitted", mine, "jobs/s", raw, "≥ 0.5×")]


def _ms(seconds: float) -> float:
    return seconds * 1000
