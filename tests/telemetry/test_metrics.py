"""Metrics: those of the contract, moved by what happened, with a bounded number of labels."""

import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import cast

from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from controller.app import Running, tell_gauges
from controller.core.model import Batch, BatchStatus, Verdict
from controller.ports import Invariant
from controller.seeing import Seeing
from controller.telemetry import Metrics
from controller.telemetry.labels import OTHER, LabelBook

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)

CONTRACT = {
    "active_jobs": {"batch"},
    "max_concurrent": {"batch"},
    "waiting_jobs": {"batch"},
    "foreign_active_jobs": {"batch"},
    "jobs_finished_total": {"batch", "status", "verdict"},
    "retries_total": {"verdict", "outcome"},
    "retry_lifecycle_incomplete": set(),
    "oldest_incomplete_retry_seconds": set(),
    "reaped_total": {"state"},
    "repaired_total": {"step"},
    "slot_refill_seconds_count": set(),
    "submissions_total": {"outcome"},
    "reconcile_total": {"kind", "result"},
    "reconcile_seconds_count": {"kind"},
    "reconcile_errors_total": set(),
    "cache_age_seconds": {"resource"},
    "watch_restarts_total": {"resource", "reason"},
    "unknown_outcome_total": {"call"},
    "specs_total": {"result"},
    "quarantined_specs": set(),
    "leader": set(),
    "leader_transitions_total": set(),
    "invariant_violations_total": {"invariant"},
    "notifications_total": {"channel", "outcome"},
    "store_op_seconds_count": {"op"},
    "cluster_request_seconds_count": {"verb", "resource", "code"},
    "build_info": {"version"},
    "config_last_reload_successful": set(),
}


@dataclass(frozen=True)
class Sample:
    """One series: its labels and value."""

    labels: dict[str, str]
    value: float


def samples(metrics: Metrics) -> dict[str, list[Sample]]:
    """Every series of ours, by name without the prefix."""
    text, content_type = metrics.exposition()
    assert content_type.startswith("text/plain")
    found: dict[str, list[Sample]] = {}
    for family in text_string_to_metric_families(text.decode()):
        for sample in family.samples:
            name = sample.name.removeprefix("batchkeeper_")
            assert name != sample.name or name.startswith("process_")
            if name != sample.name:
                found.setdefault(name, []).append(Sample(sample.labels, sample.value))
    return found


def moved(series: list[Sample]) -> list[Sample]:
    """Those that have counted something."""
    return [sample for sample in series if sample.value]


def by_batch(metrics: Metrics, name: str = "active_jobs") -> dict[str, float]:
    """One metric's value by the batch's label, whatever its other labels are."""
    found: dict[str, float] = {}
    for sample in samples(metrics).get(name, []):
        found[sample.labels["batch"]] = found.get(sample.labels["batch"], 0) + sample.value
    return found


def batch(number: int, *, namespace: str = "default", name: str = "") -> Batch:
    """An unfinished batch."""
    return Batch(
        id=f"id-{namespace}-{number}",
        namespace=namespace,
        name=name or f"b{number}",
        user="ada",
        status=BatchStatus.RUNNING,
        spec={},
        spec_hash="",
        source="",
        settings={},
        tasks=1,
        inserted=NOW,
        updated=NOW,
    )


def after_everything_happened() -> Metrics:
    """Metrics of which each method was called once."""
    metrics = Metrics(CollectorRegistry())
    metrics.unfinished_batches([batch(1)], 0)
    for gauge in ("active_jobs", "max_concurrent", "waiting_jobs", "foreign_active_jobs"):
        metrics.batch_gauge(gauge, "id-default-1", 7)
    metrics.job_finished("id-default-1", "error", "mount-failure")
    metrics.retried("mount-failure", "succeeded")
    metrics.incomplete_retries(2, timedelta(seconds=5))
    metrics.repaired("toggle", 3)
    metrics.reaped("created")
    metrics.submitted("created")
    metrics.slot_refilled(0.2)
    metrics.reconciled("full", "ok", 0.1)
    metrics.pass_failed()
    metrics.unknown_outcome("create")
    metrics.invariant_violated("slot")
    metrics.told("event", "delivered")
    metrics.spec_read("accepted")
    metrics.quarantined(1)
    metrics.cache_age("jobs", 3)
    metrics.watch_restarted("jobs", "expired")
    metrics.leads(True)
    metrics.store_called("claim", 0.001)
    metrics.cluster_requested("create", "jobs", "201", 0.01)
    metrics.config_read(True)
    return metrics


def test_the_metrics_are_those_of_the_contract() -> None:
    """Each has its name and its labels, and there are no others."""
    found = {name: set(series[0].labels) for name, series in samples(after_everything_happened()).items()}
    for name in [name for name in found if name.endswith(("_bucket", "_sum"))]:
        assert re.sub(r"_(bucket|sum)$", "_count", name) in CONTRACT
        del found[name]
    assert found == CONTRACT


def test_what_happened_is_what_is_shown() -> None:
    """Each method moves its own metric by what it was told."""
    shown = samples(after_everything_happened())
    assert moved(shown["jobs_finished_total"]) == [
        Sample({"batch": "b1", "status": "error", "verdict": "mount-failure"}, 1)
    ]
    assert shown["repaired_total"] == [Sample({"step": "toggle"}, 3)]
    assert shown["oldest_incomplete_retry_seconds"] == [Sample({}, 5)]
    assert shown["leader"] == [Sample({}, 1)]
    assert shown["slot_refill_seconds_sum"] == [Sample({}, 0.2)]


def test_nothing_incomplete_has_no_age() -> None:
    """When all retries are complete the oldest's age is 0, whatever it was."""
    metrics = Metrics()
    metrics.incomplete_retries(1, timedelta(seconds=9))
    metrics.incomplete_retries(0, timedelta(seconds=9))
    assert samples(metrics)["oldest_incomplete_retry_seconds"] == [Sample({}, 0)]


def test_what_an_alert_watches_is_there_before_it_happens() -> None:
    """A counter that appears with its first event has no rise: the first violation would page nobody."""
    shown = samples(Metrics())
    assert {sample.labels["invariant"] for sample in shown["invariant_violations_total"]} == set(Invariant)
    assert {sample.labels["state"] for sample in shown["reaped_total"]} == {"created", "queued", "running"}
    passes = {(sample.labels["kind"], sample.labels["result"]) for sample in shown["reconcile_total"]}
    assert passes == {("full", "ok"), ("batch", "ok")}
    assert {sample.labels["op"] for sample in shown["store_op_seconds_count"]} == {"unavailable"}
    counts = [name for name in shown if name.endswith(("_total", "_count"))]
    assert not moved([sample for name in counts for sample in shown[name]])


def test_a_batch_s_ends_are_there_before_the_first() -> None:
    """Fifty mount failures between two scrapes are a rise of fifty, not a series that begins at fifty."""
    metrics = Metrics()
    metrics.unfinished_batches([batch(1)], 0)
    ends = {(s.labels["status"], s.labels["verdict"]) for s in samples(metrics)["jobs_finished_total"]}
    assert len(ends) == len(Verdict)
    assert {("completed", "succeeded"), ("error", "mount-failure"), ("terminated", "reaped")} < ends


def test_a_standby_tells_nothing_that_only_a_leader_knows() -> None:
    """With the lead go its gauges: they would stand still here while somebody else moves them."""
    metrics = after_everything_happened()
    metrics.leads(False)
    shown = samples(metrics)
    assert "cache_age_seconds" not in shown
    assert "active_jobs" not in shown
    assert shown["quarantined_specs"] == [Sample({}, 0)]
    assert shown["leader"] == [Sample({}, 0)]
    metrics.leads(True)
    metrics.unfinished_batches([batch(1)], 10)
    metrics.batch_gauge("active_jobs", batch(1).id, 2)
    assert by_batch(metrics) == {"b1": 2}


def test_leading_counts_changes_only() -> None:
    """Standing by from the start is no transition; winning and losing the lead is one each."""
    metrics = Metrics()
    for leading in (False, False, True, True, False):
        metrics.leads(leading)
    assert samples(metrics)["leader_transitions_total"] == [Sample({}, 2)]
    assert samples(metrics)["leader"] == [Sample({}, 0)]


def test_batches_beyond_the_limit_share_one_label() -> None:
    """The first have their own label, the rest are summed under `other`."""
    metrics = Metrics(labels=LabelBook(limit=2))
    metrics.unfinished_batches([batch(n) for n in range(5)], 0)
    for n in range(5):
        metrics.batch_gauge("active_jobs", batch(n).id, 10 + n)
        metrics.job_finished(batch(n).id, "completed", "succeeded")
    assert by_batch(metrics) == {"b0": 10, "b1": 11, OTHER: 12 + 13 + 14}
    metrics.batch_gauge("active_jobs", batch(3).id, 0)
    assert by_batch(metrics)[OTHER] == 12 + 14
    assert by_batch(metrics, "jobs_finished_total") == {"b0": 1, "b1": 1, OTHER: 3}


def test_a_batch_keeps_its_label_for_an_hour_after_its_end() -> None:
    """At its end its gauges fall to 0; an hour later all its series go and the label is free."""
    metrics = Metrics(labels=LabelBook(limit=1, linger=3600))
    metrics.unfinished_batches([batch(1)], 0)
    metrics.batch_gauge("active_jobs", batch(1).id, 3)
    metrics.job_finished(batch(1).id, "completed", "succeeded")
    metrics.unfinished_batches([], 100)
    assert by_batch(metrics) == {"b1": 0}
    metrics.unfinished_batches([], 3699)
    assert by_batch(metrics, "jobs_finished_total") == {"b1": 1}
    metrics.unfinished_batches([batch(2)], 3700)
    assert by_batch(metrics, "jobs_finished_total") == {OTHER: 0}, "that of the second, which came too soon"
    metrics.batch_gauge("active_jobs", batch(2).id, 1)
    assert by_batch(metrics) == {OTHER: 1}, "it came while the label was still held"
    metrics.unfinished_batches([batch(2), batch(3)], 3701)
    metrics.batch_gauge("active_jobs", batch(3).id, 5)
    assert by_batch(metrics) == {OTHER: 1, "b3": 5}


async def test_a_standby_lets_go_of_what_it_counted() -> None:
    """It counts ends that people ask for: without a pass of its own series and labels stayed for ever."""
    metrics, at = Metrics(labels=LabelBook(limit=1)), [0.0]
    engine = SimpleNamespace(epoch=0, clock=SimpleNamespace(monotonic=lambda: at[0]))
    standby = cast(Running, SimpleNamespace(parts=SimpleNamespace(engine=engine), seeing=Seeing()))
    metrics.leads(False)
    metrics.batch_seen(batch(1).id, "default", "b1")
    metrics.job_finished(batch(1).id, "terminated", "cancelled")
    for at[0] in (15.0, 3600.0):
        await tell_gauges(standby, metrics)
        assert by_batch(metrics, "jobs_finished_total") == {"b1": 1}
    at[0] = 3615.0
    await tell_gauges(standby, metrics)
    assert by_batch(metrics, "jobs_finished_total") == {}
    metrics.leads(True)
    metrics.unfinished_batches([batch(2)], 4000.0)
    assert by_batch(metrics, "jobs_finished_total") == {"b2": 0}, "a label is free for what it leads"


def test_a_batch_that_is_reopened_keeps_its_label() -> None:
    """A retry within the hour finds the batch under the label it had."""
    metrics = Metrics(labels=LabelBook(limit=1))
    for now, batches in ((0, [batch(1)]), (10, []), (3000, [batch(1)]), (9000, [batch(1)])):
        metrics.unfinished_batches(batches, now)
    metrics.batch_gauge("active_jobs", batch(1).id, 1)
    assert by_batch(metrics) == {"b1": 1}


def test_a_gauge_told_before_the_batch_was_seen_moves_to_its_label() -> None:
    """An event may come before the pass that tells of the batch: it counts as `other` until then."""
    metrics = Metrics()
    metrics.batch_gauge("active_jobs", batch(1).id, 3)
    assert by_batch(metrics) == {OTHER: 3}
    metrics.unfinished_batches([batch(1)], 0)
    metrics.batch_gauge("active_jobs", batch(1).id, 4)
    assert by_batch(metrics) == {"b1": 4}


def test_a_gauge_moves_with_the_first_end_of_its_batch() -> None:
    """What was counted as `other` goes to the batch's own label, and is not counted twice."""
    metrics = Metrics()
    metrics.batch_gauge("active_jobs", batch(1).id, 3)
    metrics.batch_seen(batch(1).id, "default", "b1")
    metrics.batch_gauge("active_jobs", batch(1).id, 5)
    assert by_batch(metrics) == {OTHER: 0, "b1": 5}


def test_equal_names_in_two_namespaces_have_two_labels() -> None:
    """The second one's label names its namespace; a batch called `other` is no exception."""
    book = LabelBook()
    assert book.see("1", "a", "traits") == "traits"
    assert book.see("2", "b", "traits") == "b/traits"
    assert book.see("3", "b", OTHER) == "b/other"
    assert book.see("1", "a", "traits") == "traits"


def test_labels_are_bounded_whatever_comes() -> None:
    """A thousand batches at once never hold more than 40 labels and `other`."""
    book = LabelBook()
    seen = {book.see(str(n), "default", f"b{n}") for n in range(1000)}
    assert len(seen) == 41
    book.keep([], 0)
    _, let_go = book.keep([], 3600)
    assert len(let_go) == 40
    assert book.see("new", "default", "b7") == "b7"


def test_the_format_is_the_readers_choice() -> None:
    """A reader that asks for OpenMetrics gets it."""
    text, content_type = Metrics().exposition("application/openmetrics-text; version=1.0.0")
    assert content_type.startswith("application/openmetrics-text")
    assert text.endswith(b"# EOF\n")


def test_a_batch_seen_is_a_record_as_the_store_has_it() -> None:
    """The label is the batch's own name, whatever its status."""
    metrics = Metrics()
    metrics.unfinished_batches([replace(batch(1, name="gapit3-trait"), status=BatchStatus.HELD)], 0)
    metrics.batch_gauge("waiting_jobs", "id-default-1", 186)
    assert by_batch(metrics, "waiting_jobs") == {"gapit3-trait": 186}
