"""Ten thousand batches stay under two thousand series, whatever else happens to a controller."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import timedelta
from inspect import iscoroutinefunction
from itertools import product
from types import SimpleNamespace
from typing import cast

import pytest
from prometheus_client.parser import text_string_to_metric_families

from controller.app import Running, tell_gauges
from controller.core.change import Change
from controller.core.decide import Reason
from controller.core.machine import Event
from controller.core.model import ACTIVE, Attempt, Status, Verdict
from controller.core.notices import Channel
from controller.core.sight import Observation
from controller.intake import Outcome
from controller.ports import Invariant, Store
from controller.seeing import Seeing
from controller.telemetry import Metrics
from controller.telemetry.journal import TelemetryJournal
from controller.telemetry.labels import OTHER, RequestBook
from controller.telemetry.metrics import ENDS, OUTCOMES, PASSES
from tests.contract.store_world import StoreWorld
from tests.contract.test_store_memory import HandClock
from tests.fakes.memory_store import MemoryStore

BATCHES = 10_000
SERIES = 2_000


async def world() -> StoreWorld:
    """A store in memory with ten thousand open batches."""
    clock = HandClock()
    store = MemoryStore(clock, seed=1)

    async def tick() -> None:
        clock.at += timedelta(milliseconds=5)

    world = StoreWorld(store, tick, clock.now())
    for number in range(BATCHES):
        await world.add_batch(f"b{number}")
    return world


async def told(metrics: Metrics, world: StoreWorld, now: float) -> None:
    """The gauges, by the way that a leader tells them."""
    clock = SimpleNamespace(monotonic=lambda: now)
    seen = Observation(now, frozenset({"lab"}))
    engine = SimpleNamespace(store=world.store, clock=clock, epoch=1, seen=seen)
    parts = SimpleNamespace(engine=engine)
    await tell_gauges(cast(Running, SimpleNamespace(parts=parts, seeing=Seeing())), metrics)


def everything_else_happens(metrics: Metrics) -> None:
    """Every call of the store, more kinds of requests than there are, every value of every other label."""
    for op in [name for name in dir(Store) if iscoroutinefunction(getattr(Store, name))]:
        metrics.store_called(op, 0.1)
    for number in range(2_000):
        metrics.cluster_requested(f"verb{number % 8}", f"resource{number % 20}", str(200 + number % 350), 0.1)
    for verdict, outcome in product(Verdict, ("recorded", "succeeded", "failed")):
        metrics.retried(verdict.value, outcome)
    for resource, reason in product(("jobs", "pods"), ("expired", "refused", "unavailable")):
        metrics.watch_restarted(resource, reason)
    for kind, result in product(PASSES, ("ok", "unavailable", "stale-epoch", "failed", "timed-out")):
        metrics.reconciled(kind, result, 0.1)
    for count, values in (
        (metrics.spec_read, (*Outcome, "unavailable")),
        (metrics.submitted, OUTCOMES),
        (metrics.invariant_violated, tuple(Invariant)),
        (metrics.reaped, tuple(ACTIVE)),
        (metrics.unknown_outcome, ("create",)),
        (metrics.repaired, ("toggle", "child-jobs", "retry-ids")),
    ):
        for value in values:
            count(str(value))
    for channel, outcome in product(Channel, ("delivered", "failed", "refused", "given-up")):
        metrics.told(channel.value, outcome)
    metrics.slot_refilled(0.1)


def series(metrics: Metrics) -> Counter[str]:
    """How many series each name has in the exposition."""
    families = text_string_to_metric_families(metrics.exposition()[0].decode())
    return Counter(sample.name for family in families for sample in family.samples)


async def test_ten_thousand_batches_stay_under_two_thousand_series() -> None:
    """All of them open, jobs of each ending in every way, beside the worst of everything else."""
    there, metrics = await world(), Metrics()
    journal = TelemetryJournal(metrics)
    await told(metrics, there, 0.0)
    job = there.attempt(Status.RUNNING)
    for batch in await there.store.batches(closed=False):
        for status, verdict in ENDS[:3]:
            end(journal, replace(job, batch_id=batch.id, name=f"{batch.name}-{job.task_id}"), status, verdict)
    everything_else_happens(metrics)
    found = series(metrics)
    assert found["batchkeeper_active_jobs"] == 41
    assert found["batchkeeper_jobs_finished_total"] == 41 * len(ENDS)
    assert sum(found.values()) < SERIES, found.most_common(12)


def end(journal: TelemetryJournal, job: Attempt, status: Status, verdict: Verdict) -> None:
    """One job comes to its end."""
    after = replace(job, status=status, verdict=verdict)
    journal.moved(job, after, Change(job.id, Event.ENDED, Reason.FINISHED))


@pytest.mark.parametrize("code", ["201", "404", "503", "none", "401", "403", "429"])
def test_kinds_of_requests_beyond_the_limit_keep_what_alerts_look_at(code: str) -> None:
    """A kind that comes late counts by its answer's class, or as trouble does; a known one stays as it is."""
    book = RequestBook(limit=1)
    assert book.label("list", "jobs", "200") == ("list", "jobs", "200")
    late = {"201": "2xx", "404": "4xx", "503": "5xx"}
    assert book.label("get", "pods", code) == (OTHER, OTHER, late.get(code, code))
    assert book.label("list", "jobs", code) == (OTHER, OTHER, late.get(code, code))
    assert book.label("list", "jobs", "200") == ("list", "jobs", "200")
