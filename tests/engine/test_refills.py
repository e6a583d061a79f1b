"""How long a free place waits for the next job: only while somebody who is due stands in line for it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

from prometheus_client import CollectorRegistry

from controller.core.model import Status
from controller.ending import end_all
from controller.ports import Created, NewJob
from controller.telemetry import Metrics
from controller.telemetry.journal import TelemetryJournal
from tests.engine.acting import drop
from tests.fakes.memory_objects import End
from tests.simulation.stage import Stage, perform


def refills(tasks: int, most: int, ends: dict[str, End]) -> tuple[float, float]:
    """How often a place was taken again in such a batch, and the seconds in all."""
    registry = CollectorRegistry()

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        daemon.engine.journal = TelemetryJournal(Metrics(registry))
        await drop(stage, "scan", tasks, most)
        await stage.until_over(daemon)

    perform(trace, ends=ends)
    name = "batchkeeper_slot_refill_seconds"
    return registry.get_sample_value(f"{name}_count") or 0, registry.get_sample_value(f"{name}_sum") or 0


def test_each_place_that_was_waited_for_is_one() -> None:
    """Five tasks in two places: three of them took a place that had become free, in the same pass."""
    count, seconds = refills(5, 2, {})
    assert count == 3
    assert seconds < 1


def test_an_idle_place_is_not_waited_for() -> None:
    """A retry waits out its back-off of half a minute: its place was counted as refilled after that long."""
    assert refills(1, 1, {"scan-t0": End(0.0, 1.0, 2)}) == (0, 0)


def test_what_ended_is_let_go_after_the_next_job_was_asked_for() -> None:
    """Its log and its time to live were asked for beside the create that the free place waits for."""
    asked: list[str] = []

    async def trace(stage: Stage) -> None:
        daemon, cluster = await stage.leader(), stage.world.cluster
        create, expire = cluster.create, cluster.expire

        async def created(job: NewJob) -> Created:
            await asyncio.sleep(2)
            answer = await create(job)
            asked.append(f"created {job.name}")
            return answer

        async def expires(namespace: str, name: str, uid: str, ttl: timedelta) -> None:
            asked.append(f"expires {name}")
            await expire(namespace, name, uid, ttl)

        cluster.create, cluster.expire = created, expires  # type: ignore[method-assign]
        following = asyncio.ensure_future(daemon.follow_events())
        await stage.drop(2, 1)
        for _ in range(10):
            await daemon.full_pass()
            await asyncio.sleep(5)
        await end_all([following])

    perform(trace)
    assert asked[:3] == ["created scan-t0", "created scan-t1", "expires scan-t0"]
    assert "expires scan-t1" in asked


def test_a_pass_that_looks_again_sees_what_it_is_for() -> None:
    """The last list was too old when the end came: the new look forgot the news, and the pass saw nothing."""

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        await stage.drop(1, 1)
        await daemon.full_pass()
        following = asyncio.ensure_future(daemon.follow_events())
        await asyncio.sleep(2)
        assert daemon.engine.seen is not None
        daemon.engine.seen = replace(daemon.engine.seen, asked=-1000.0, asked_in={})
        await asyncio.sleep(4)
        assert stage.job("scan-t0").status is Status.COMPLETED
        await end_all([following])

    perform(trace, ends={"scan-t0": End(0.0, 5.0)})
