"""The rows on a real control plane: refills, slot use, submission, requests, take-over, rest.

The daemon is a process with exactly the rights of its Role. Latencies and counts are the API server's own,
from its audit log.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from controller.adapters.mongo import open_store
from controller.adapters.system_clock import SystemClock
from controller.people import Caller, People
from controller.requests import resume
from tests.bench.cluster_bare import Bare, bare, creates, indexed, on_conditions, on_pods
from tests.bench.cluster_place import (
    LEASE,
    LIMITLESS,
    Story,
    account_of,
    empty_namespace,
    kube_place,
    per_job,
    story,
    the_same,
)
from tests.bench.figures import Figure, percentile
from tests.bench.place import Place
from tests.control_plane.admin import Document
from tests.kube.place import KubePlace, spec

PATIENCE, SELDOM = 600.0, 0.5
"""Seconds in which a batch must end on a machine that is busy with other things, and between two looks."""
MOMENT = 0.5
"""Seconds after a kill in which what was under way may still be answered."""


async def _bare_story(place: Place, loop: Callable[[Bare], Awaitable[object]]) -> Story:
    """What a raw loop did in a namespace of its own."""
    assert place.plane is not None
    async with empty_namespace(place) as namespace:
        async with bare(place.plane, namespace) as hands:
            await loop(hands)
        return await asyncio.to_thread(story, place.plane, namespace)


@dataclass(frozen=True, slots=True)
class Ran:
    """What the daemon did for one batch."""

    story: Story
    requests: float
    """Per job."""
    jobs: list[Document]
    """The Jobs that it asked for."""


def _run(there: KubePlace, wanted: dict[str, Any]) -> Ran:
    """What the daemon, up for a while, did for one batch."""
    there.start()
    time.sleep(2)  # the start's own passes are over
    account = account_of(there.namespace)
    before = story(there.plane, there.namespace).by(account)
    there.drop(wanted)
    _quietly("the end", lambda: there.parent(wanted["name"]).get("batch_status") == "finished")
    time.sleep(1)  # the last time to live is being set
    told = story(there.plane, there.namespace)
    return Ran(told, per_job(before, told.by(account), len(wanted["tasks"]["list"])), the_same(there))


def _quietly(what: str, look: Callable[[], bool]) -> None:
    """Wait for it, and look seldom: what asks must not be what is measured."""
    until = time.monotonic() + PATIENCE
    while not look():
        assert time.monotonic() < until, f"never came to be: {what}"
        time.sleep(SELDOM)


async def _ran(place: Place, wanted: dict[str, Any]) -> Ran:
    with kube_place(place) as there:
        return await asyncio.to_thread(_run, there, wanted)


async def refill(place: Place) -> list[Figure]:
    """Jobs that end one after the other: what a single end costs."""
    n, at_once = 80, 4

    def env(number: int) -> dict[str, str]:
        return {"RUN_SECONDS": f"{0.7 + number % 7 * 0.1:.1f}"}

    ours = await _ran(place, spec("refill", {f"t{k}": env(k) for k in range(n)}, at_once))
    raw = await _bare_story(place, lambda hands: on_pods(hands, ours.jobs, at_once))
    mine, theirs = ours.story.refills(at_once), raw.refills(at_once)
    what = "cluster: end → replacement acknowledged"
    return [
        Figure(f"{what}, p50", _ms(percentile(mine, 50)), "ms", _ms(percentile(theirs, 50)), "≤ 3×"),
        Figure(f"{what}, p99", _ms(percentile(mine, 99)), "ms", _ms(percentile(theirs, 99)), "≤ 10×"),
        Figure(f"{what}, mean", _ms(statistics.mean(mine)), "ms", _ms(statistics.mean(theirs))),
    ]


async def utilisation(place: Place) -> list[Figure]:
    """186 jobs of 2 s, 50 at a time: 8.0 s if starting cost nothing."""
    n, at_once, env = 186, 50, {"RUN_SECONDS": "2"}
    ran = await _ran(place, spec("slots", {f"t{k}": env for k in range(n)}, at_once))
    ours, raw = ran.story, ran.jobs
    pods = await _bare_story(place, lambda hands: on_pods(hands, raw, at_once))
    whole = await _bare_story(place, lambda hands: indexed(hands, n, at_once, env))
    conditions = await _bare_story(place, lambda hands: on_conditions(hands, raw, at_once))
    what = "cluster: 186 jobs of 2 s, 50 at a time (ideal 8.0 s)"
    return [
        Figure(f"{what}, beside the bare pod-watch loop", ours.span, "s", pods.span, "≤ 1.04×"),
        Figure("… beside an Indexed Job", ours.span, "s", whole.span, "< 1×"),
        Figure("… beside a loop on Job conditions", ours.span, "s", conditions.span, "< 1×"),
        Figure("… API requests per job, in a rush", ran.requests, "requests", None, "≤ 4"),
    ]


async def _submitted(place: Place, there: KubePlace, n: int) -> float:
    """Jobs a second of a full slot set, from the resume to the last acknowledgement."""
    wanted = spec("full", {f"t{k}": {"END": "never"} for k in range(n)}, n, paused=True)

    def is_paused() -> bool:
        return bool(there.parent("full").get("batch_status") == "paused")

    def all_asked() -> bool:
        return len(story(there.plane, there.namespace).creates) >= n

    await asyncio.to_thread(there.start)
    there.drop(wanted)
    await asyncio.to_thread(_quietly, "the batch is there, paused", is_paused)
    await asyncio.sleep(2)
    store = await open_store(place.uri, there.database, timedelta(minutes=1))
    try:
        batch = await store.batch_named(there.namespace, "full")
        assert batch is not None
        await resume(People(store, SystemClock()), Caller(batch.user), batch)
    finally:
        await store.close()
    await asyncio.sleep(2)
    await asyncio.to_thread(_quietly, "all are submitted", all_asked)
    begin: datetime = there.parent("full")["settings"]["paused"]["at"]
    return n / (story(there.plane, there.namespace).creates[-1] - begin).total_seconds()


async def submission(place: Place) -> list[Figure]:
    """A resumed batch fills 50 places; raw: 16 hands that only create."""
    n = 50
    with kube_place(place) as there:
        ours = await _submitted(place, there, n)
        wanted = await asyncio.to_thread(the_same, there)
    rates: list[float] = []

    async def loop(hands: Bare) -> None:
        rates.append(await creates(hands, wanted))

    await _bare_story(place, loop)
    return [Figure("cluster: a full slot set of 50 submitted", ours, "jobs/s", rates[0], "≥ 0.5×")]


async def requests(place: Place) -> list[Figure]:
    """What a job costs the API server over its whole life, one that succeeds and one that fails."""
    figures = []
    # Ten first attempts that fail alike hold a batch.
    for what, end, n, goal in (
        ("succeeds", "exit-0", 60, "≤ 3, + 1 log tail"),
        ("fails", "exit-3", 9, "≤ 8"),
    ):
        wanted = spec("asked", {f"t{k}": {"RUN_SECONDS": "1", "END": end} for k in range(n)}, 10)
        with kube_place(place) as there:
            ran = await asyncio.to_thread(_run, there, wanted)
        figures.append(
            Figure(f"cluster: API requests per job that {what}", ran.requests, "requests", None, goal)
        )
        for (verb, resource), count in sorted(ran.story.by(account_of(there.namespace)).items()):
            if resource != "leases":
                figures.append(Figure(f"… {verb} {resource}, from the start on", count / n, "requests"))
    return figures


def _taken_over(there: KubePlace) -> float:
    """Seconds from the leader's death to the first create of the standby that is acknowledged."""
    first = there.start()
    second = there.start(wait=False)
    there.until("the standby is ready", lambda: "standing by" in second.get("/readyz")[1])
    there.drop(spec("relay", {f"t{k}": {"RUN_SECONDS": "0.5"} for k in range(400)}, 4))
    there.until("some have ended", lambda: len(there.jobs("relay", status="completed")) >= 4)
    killed = datetime.now(UTC)
    first.kill()
    settled = killed + timedelta(seconds=MOMENT)

    def later() -> list[datetime]:
        return [at for at in story(there.plane, there.namespace).creates if at > settled]

    there.until("a create by the standby", later)
    return (later()[0] - killed).total_seconds()


async def takeover(place: Place) -> list[Figure]:
    """``kill -9`` of the leader in the middle of a batch, for two durations of the Lease."""
    figures = []
    asked = [
        (3, {"duration": "3s", "renew": "2s", "retry": "300ms"}, 5),
        (15, LEASE, 3 if place.full else 1),
    ]
    for duration, lease, times in asked:
        taken = []
        for _ in range(times):
            with kube_place(place, kubernetes={**LIMITLESS, "lease": lease}) as there:
                taken.append(await asyncio.to_thread(_taken_over, there))
        what = f"cluster: kill -9 → the standby's first create, Lease of {duration} s, {times} times"
        goal = f"≤ {duration + 5} s"
        figures += [
            Figure(f"{what}, least", min(taken), "s", duration, goal),
            Figure("… median", statistics.median(taken), "s", duration, goal),
            Figure("… most", max(taken), "s", duration, goal),
        ]
    return figures


def _calls(there: KubePlace, seconds: float) -> tuple[float, float]:
    """API calls a second, and those for the Lease, while 50 jobs run and nothing changes."""
    there.start()
    there.drop(spec("still", {f"t{k}": {"END": "never"} for k in range(50)}, 50))
    there.until("all run", lambda: len(there.jobs("still", status="running")) == 50)
    time.sleep(5)
    account = account_of(there.namespace)
    before = story(there.plane, there.namespace).by(account)
    time.sleep(seconds)
    after = story(there.plane, there.namespace).by(account)
    leases = sum(after[key] - before.get(key, 0) for key in after if key[1] == "leases")
    return (sum(after.values()) - sum(before.values())) / seconds, leases / seconds


async def idle(place: Place) -> list[Figure]:
    """A daemon whose 50 jobs all run: full passes, watches and the Lease go on."""
    with kube_place(place) as there:
        calls, leases = await asyncio.to_thread(_calls, there, 45)
    return [
        Figure(
            "cluster: API calls a second while 50 jobs run and nothing changes", calls, "calls/s", None, "< 2"
        ),
        Figure("… of them for the Lease", leases, "calls/s"),
    ]


def _ms(seconds: float) -> float:
    return seconds * 1000
