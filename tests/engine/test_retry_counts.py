"""What became of retries, in numbers: by what each was to mend, whoever asked for it."""

from __future__ import annotations

from collections import Counter

from prometheus_client import CollectorRegistry

from controller.telemetry import Metrics
from controller.telemetry.journal import TelemetryJournal
from tests.engine.acting import drop
from tests.fakes.memory_objects import End
from tests.simulation.stage import Stage, perform


def counted(registry: CollectorRegistry) -> Counter[tuple[str, str]]:
    """``retries_total`` by verdict and outcome."""
    samples = [sample for family in registry.collect() for sample in family.samples]
    return Counter(
        {
            (sample.labels["verdict"], sample.labels["outcome"]): int(sample.value)
            for sample in samples
            if sample.name == "batchkeeper_retries_total" and sample.value
        }
    )


def test_a_retry_is_counted_under_what_it_was_to_mend() -> None:
    """Those that succeeded were counted under `succeeded`: which failures retrying mends, nobody knew."""
    registry = CollectorRegistry()

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        daemon.engine.journal = TelemetryJournal(Metrics(registry))
        await drop(stage, "scan", 3, 3)
        await stage.passes(daemon, 400)
        await stage.retry("scan-t1")
        await stage.until_over(daemon)

    fails = {name: End(0.0, 1.0, 2) for name in ("scan-t0", "scan-t0-r1", "scan-t2")}
    perform(trace, ends=fails | {"scan-t1": End(0.0, 1.0, 1)})
    assert counted(registry) == {
        ("mount-failure", "recorded"): 3,
        ("mount-failure", "succeeded"): 2,
        ("mount-failure", "failed"): 1,
        ("configuration-error", "succeeded"): 1,
    }
