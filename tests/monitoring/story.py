"""One run in which everything happens that a metric tells of, while a real Prometheus scrapes the daemon."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import cast

from controller.adapters.mongo_meta import PASSES
from controller.adapters.system_clock import SystemClock
from controller.core.model import Status
from controller.people import People
from controller.ports import Store, Unavailable
from controller.requests import cancel_jobs
from controller.retrying import retry
from tests.e2e.asking import Crashing, desk
from tests.e2e.forge import Forge
from tests.e2e.place import Place
from tests.e2e.process import Daemon
from tests.e2e.specs import batch
from tests.monitoring.prometheus import Prometheus, prometheus

ONCE = '[ "$BATCHKEEPER_ATTEMPT" -ge 1 ] || exit 2'
MOST = {"good": 3, "wide": 8, "flaky": 3, "stopped": 1, "late": 1}
"""The batches, and how many jobs of each may be active."""


@dataclass
class Told:
    """What happened, and who can be asked about it."""

    place: Place
    daemon: Daemon
    prometheus: Prometheus


@contextmanager
def told(place: Place) -> Iterator[Told]:
    """The run, from an empty place to the end of every batch; then both servers may be asked."""
    place.know(limits={Status.CREATED: timedelta(0), Status.QUEUED: timedelta(0)})
    with prometheus(place.root / "prometheus") as server:
        daemon = place.start()
        daemon.ready()
        server.scrape(one=daemon.url)
        asyncio.run(_everything_happens(place, daemon))
        yield Told(place, daemon, server)


async def _everything_happens(place: Place, daemon: Daemon) -> None:
    """Several batches at once: jobs fail, are retried, cancelled, reaped, repaired; a spec is refused."""
    place.drop(batch("late", {"created": "true"}, most=1, paused=True))
    place.drop(batch("good", dict.fromkeys("abcdefgh", "sleep 0.3"), most=3))
    place.drop(batch("wide", 20, most=8))
    flaky = {"once": ONCE, "twice": ONCE, "never": "exit 2", "wrong": "exit 1", "broken": "exit 7"}
    place.drop(batch("flaky", flaky, most=3))
    place.drop(batch("stopped", {"a": "exec sleep 300"}, most=1))
    (place.specs / "bad.json").write_text('{"kind": "Batch", "name": "bad", "tusks": 3}', encoding="utf-8")
    place.is_("stopped-a", "running")
    async with desk(place) as at:
        (cancelled,) = await cancel_jobs(at.people, at.owner, [place.id("stopped-a")], "no longer wanted")
        place.over("flaky")
        (retried,) = await at.retry("flaky-broken")
        assert not cancelled.error + retried.error
        dying = People(cast(Store, Crashing(at.store, "list_children")), SystemClock())
        with suppress(Unavailable):  # it dies before the second step: the daemon's repair goes on from there
            await retry(dying, at.owner, [place.id("flaky-wrong")])
        place.until("the repair", lambda: place.job("flaky-wrong-r1").get("retry_toggle"))
        await _stuck(place, daemon, Forge(place, at.store))
    place.over("flaky", "good", "wide", "stopped")


async def _stuck(place: Place, daemon: Daemon, forge: Forge) -> None:
    """A job was created over an hour ago, and its create got no answer."""
    place.until("its record", lambda: len(place.statuses("late")) == 1)
    place.until("others were looked for", lambda: not place.gate("late").get("hold"))
    place.until("a good pass", lambda: place.db["meta"].find_one({"_id": f"{PASSES}default"}))
    with daemon.frozen():
        await forge.created("late-created", slot=0, since=timedelta(hours=1, minutes=1))
    place.is_("late-created", "terminated")
    place.over("late")
