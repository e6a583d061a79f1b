"""The engine's journal: what it counts, and under which label."""

from datetime import UTC, datetime

from prometheus_client import CollectorRegistry

from controller.core.change import Change
from controller.core.decide import Reason
from controller.core.machine import Event
from controller.core.model import Attempt, JobInput, Origin, Status, Verdict
from controller.telemetry import Metrics
from controller.telemetry.journal import TelemetryJournal


def attempt(status: Status, verdict: Verdict | None = None) -> Attempt:
    """The first retry of a task of the batch ``sweep``."""
    now = datetime(2026, 1, 1, tzinfo=UTC)
    return Attempt(
        id="b" * 24,
        batch_id="a" * 24,
        namespace="default",
        user="ada",
        task_id="t1",
        index=0,
        attempt=1,
        name="sweep-t1-r1",
        status=status,
        verdict=verdict,
        job_input=JobInput("none"),
        origin=Origin.AUTO,
        inserted=now,
        updated=now,
    )


def test_the_first_end_is_counted_under_its_batch() -> None:
    """A job that ends before any pass told the batches counts as its batch's, not as somebody's."""
    registry = CollectorRegistry()
    journal = TelemetryJournal(Metrics(registry=registry))
    before, after = attempt(Status.RUNNING), attempt(Status.COMPLETED, Verdict.SUCCEEDED)
    journal.moved(before, after, Change(after.id, Event.ENDED, Reason.FINISHED))
    labels = {"batch": "sweep", "status": "completed", "verdict": "succeeded"}
    assert registry.get_sample_value("batchkeeper_jobs_finished_total", labels) == 1


def test_a_recorded_retry_counts_under_the_verdict_it_follows() -> None:
    """Whoever watches mount failures sees how many of them are tried again, beside how those end."""
    registry = CollectorRegistry()
    journal = TelemetryJournal(Metrics(registry=registry))
    journal.retried(attempt(Status.ERROR, Verdict.MOUNT_FAILURE), attempt(Status.WAITING))
    labels = {"verdict": "mount-failure", "outcome": "recorded"}
    assert registry.get_sample_value("batchkeeper_retries_total", labels) == 1


def test_full_passes_count_apart_from_those_of_one_batch() -> None:
    """While full passes are cut off, those after events go on: an alert looks at the full ones alone."""
    registry = CollectorRegistry()
    journal = TelemetryJournal(Metrics(registry=registry))
    passes = (("full", "timed-out"), ("batch", "ok"), ("batch", "ok"), ("repair", "ok"), ("specs", "refused"))
    for kind, result in passes:
        journal.passed(kind, result, 0.1, 0)

    def counted(kind: str, result: str) -> float | None:
        labels = {"kind": kind, "result": result}
        return registry.get_sample_value("batchkeeper_reconcile_total", labels)

    assert counted("full", "ok") == 0
    assert counted("full", "timed-out") == 1
    assert counted("batch", "ok") == 2
    assert counted("repair", "ok") is None
    for kind, passed in (("full", 1), ("batch", 2)):
        assert registry.get_sample_value("batchkeeper_reconcile_seconds_count", {"kind": kind}) == passed
