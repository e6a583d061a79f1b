"""A load as a daemon meets it for weeks: batch after batch, failures, retries, readers that come and go.

Called by ``memory``. Everything that piles up outside the daemon is taken away again: spec files go some
batches after they were dropped, and the cluster's objects by their time to live.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from tests.e2e.place import CLOSED
from tests.kube.place import QUICK, KubePlace, spec

TASKS, AT_ONCE, SPECS_KEPT = 16, 6, 8
ENDS = {3: "exit-2,exit-0", 7: "exit-1", 9: "exit-3", 11: "oom", 13: "exit-2"}
"""How those of a batch's tasks end that fail, by number: a mount failure that heals, one that does not…"""
READS = (
    "/readyz",
    "/metrics",
    "/api/v1/whoami",
    "/api/v1/batches?limit=50",
    "/api/v1/batches/{batch}",
    "/api/v1/batches/{batch}/charts",
    "/api/v1/jobs?batch={batch}&sort=finished&descending=true",
    "/api/v1/jobs/{job}",
    "/api/v1/jobs/{job}/explain",
    "/api/v1/jobs/{job}/log",
    "/api/v1/batches/{batch}-is-not-there",
    "/",
)
BROKEN = "apiVersion: batchkeeper/v1\nkind: Batch\nname: broken\ntasks: [*none\n"


@dataclass
class Pace:
    """How often, in seconds."""

    batch: float = 45
    read: float = 2
    listener: float = 8
    disturbance: float = 40


@dataclass
class Load:
    """The load on one daemon. ``random`` is the only source of chance."""

    place: KubePlace
    url: str
    token: str
    random: random.Random
    pace: Pace = field(default_factory=Pace)
    done: Counter[str] = field(default_factory=Counter)
    """What was done so far, by name; ``answers 5xx`` should stay at 0."""
    listening: int = 0
    _numbers: itertools.count[int] = field(default_factory=itertools.count)

    def closed(self) -> int:
        """How many batches have come to their end, by the store."""
        return self.place.db["jobs"].count_documents(
            {"batch_job": True, "batch_status": {"$in": list(CLOSED)}}
        )

    async def run(self, seconds: float) -> None:
        """Go on for so long."""
        headers = {"Authorization": f"Bearer {self.token}"}
        async with aiohttp.ClientSession(self.url, headers=headers) as session, asyncio.TaskGroup() as group:
            going = [
                group.create_task(self._every(pace, what))
                for pace, what in (
                    (lambda: self.pace.batch, self._drop),
                    (lambda: self.pace.read, lambda: self._read(session)),
                    (lambda: self.pace.disturbance, lambda: self._disturb(session)),
                )
            ]
            going.append(group.create_task(self._listeners(session)))
            await asyncio.sleep(seconds)
            for task in going:
                task.cancel()

    async def _every(self, pace: Callable[[], float], what: Callable[[], Coroutine[Any, Any, None]]) -> None:
        while True:
            try:
                await what()
            except (aiohttp.ClientError, TimeoutError) as error:
                self.done[f"failed: {type(error).__name__}"] += 1
            await asyncio.sleep(pace() * self.random.uniform(0.5, 1.5))

    async def _drop(self) -> None:
        number = next(self._numbers)
        tasks = {
            f"t{k}": {"RUN_SECONDS": f"{self.random.uniform(1, 4):.1f}", "END": ENDS.get(k, "exit-0")}
            for k in range(TASKS)
        }
        self.place.drop(spec(f"load-{number}", tasks, AT_ONCE, retry=QUICK))
        for old in self.place.specs.glob(f"load-{number - SPECS_KEPT}.json*"):
            old.unlink()
        self.done["batches"] += 1

    async def _get(self, session: aiohttp.ClientSession, path: str) -> Any:
        async with session.get(path, timeout=aiohttp.ClientTimeout(30)) as answer:
            self.done[f"answers {answer.status // 100}xx"] += 1
            text = await answer.read()
            return await answer.json() if answer.ok and answer.content_type.endswith("json") else text

    async def _some(self, session: aiohttp.ClientSession, query: str = "") -> tuple[str, str]:
        """One of the newest batches, and the id of one of its jobs; empty where there is none."""
        found = (await self._get(session, "/api/v1/batches?limit=6"))["items"]
        if not found:
            return "", ""
        batch = self.random.choice(found)["batch"].partition("/")[2]
        jobs = (await self._get(session, f"/api/v1/jobs?batch={batch}{query}"))["items"]
        return batch, self.random.choice(jobs)["id"] if jobs else ""

    async def _read(self, session: aiohttp.ClientSession) -> None:
        batch, job = await self._some(session)
        if job:
            await self._get(session, self.random.choice(READS).format(batch=batch, job=job))

    async def _disturb(self, session: aiohttp.ClientSession) -> None:
        """A retry by hand, a cancel, a bound that is changed, or a file that is no spec."""
        what = self.random.choice(("retry", "retry", "scale", "cancel", "broken"))
        if what == "broken":
            file = self.place.specs / "broken.yaml"
            file.write_text(BROKEN, encoding="utf-8")
            await asyncio.sleep(10)
            for left in self.place.specs.glob("broken.yaml*"):
                left.unlink()
        else:
            batch, job = await self._some(session, "&status=error" if what == "retry" else "")
            path, body = {
                "retry": (f"/api/v1/jobs/{job}/retry", {"as_admin": True}),
                "scale": (f"/api/v1/batches/{batch}/scale", {"max_concurrent": 5, "as_admin": True}),
                "cancel": (f"/api/v1/jobs/{job}/cancel", {"as_admin": True}),
            }[what]
            if not job:
                return
            async with session.post(path, json=body) as answer:
                self.done[f"answers {answer.status // 100}xx"] += 1
                await answer.read()
        self.done[what] += 1

    async def _listeners(self, session: aiohttp.ClientSession) -> None:
        async with asyncio.TaskGroup() as group:
            while True:
                group.create_task(self._listen(session, self.random.uniform(2, 60)))
                await asyncio.sleep(self.pace.listener * self.random.uniform(0.5, 1.5))

    async def _listen(self, session: aiohttp.ClientSession, seconds: float) -> None:
        """Hear what changes, and hang up in the middle of it."""
        self.listening += 1
        try:
            async with asyncio.timeout(seconds), session.get("/api/v1/events") as answer:
                async for _ in answer.content.iter_any():
                    self.done["events heard"] += 1
        except (TimeoutError, aiohttp.ClientError):
            pass
        finally:
            self.listening -= 1
            self.done["listeners"] += 1


async def quiet(place: KubePlace, seconds: float) -> bool:
    """Wait until every batch has come to its end, at most so long; whether they have."""

    def open_ones() -> int:
        return place.db["jobs"].count_documents({"batch_job": True, "batch_status": {"$nin": list(CLOSED)}})

    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while await asyncio.to_thread(open_ones):
                await asyncio.sleep(1)
            return True
    return False
