"""How long a free place waits for the next job: only while somebody who is due stands in line for it."""

from __future__ import annotations

from prometheus_client import CollectorRegistry

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
