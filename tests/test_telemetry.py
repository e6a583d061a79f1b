"""What is told: one JSON object or one line per event, no secret in either, and a bounded set of metrics."""

import io
import json
import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from controller.core.model import Batch, BatchStatus, JobInput, Resources
from controller.telemetry import Metrics, get_logger, set_up_logs
from controller.telemetry.labels import OTHER, LabelBook
from controller.telemetry.redaction import redacted

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    """Leaves the process's logging as it was."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def logged(text: str) -> list[dict[str, Any]]:
    """The events in a JSON log."""
    return [json.loads(line) for line in text.splitlines()]


# ---------------------------------------------------------------------------------------------- logs


def test_json_logs_are_one_object_a_line() -> None:
    """Each event is one line with its time in UTC, level, name, logger and facts, in that order."""
    stream = io.StringIO()
    set_up_logs("json", "info", stream)
    get_logger("controller.x").info("job ended", batch="traits", attempt=2, took=timedelta(seconds=90))
    (event,) = logged(stream.getvalue())
    assert list(event) == ["timestamp", "level", "event", "logger", "batch", "attempt", "took"]
    assert event["timestamp"].endswith("Z")
    assert event | {"timestamp": ""} == {
        "timestamp": "",
        "level": "info",
        "event": "job ended",
        "logger": "controller.x",
        "batch": "traits",
        "attempt": 2,
        "took": "1m30s",
    }


def test_auto_is_json_without_a_terminal_and_coloured_text_on_one() -> None:
    """`auto` looks at the stream; a file named as text gets no colours."""

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    pipe, terminal, file = io.StringIO(), Terminal(), io.StringIO()
    for style, stream in (("auto", pipe), ("auto", terminal), ("text", file)):
        set_up_logs(style, "info", stream)
        get_logger("x").info("hello", batch="b")
    assert logged(pipe.getvalue())[0]["event"] == "hello"
    assert "\x1b[" in terminal.getvalue()
    assert re.search(r"\[info +\] hello +\[x\] batch=b$", file.getvalue().strip())


def test_the_last_set_up_holds_and_events_come_once() -> None:
    """Setting up twice does not log twice."""
    first, second = io.StringIO(), io.StringIO()
    set_up_logs("json", "info", first)
    set_up_logs("json", "info", second)
    get_logger("x").warning("once")
    assert first.getvalue() == ""
    assert len(logged(second.getvalue())) == 1


def test_levels() -> None:
    """Below the level nothing is shown; the libraries' details are never shown."""
    stream = io.StringIO()
    set_up_logs("json", "warning", stream)
    get_logger("x").info("quiet")
    get_logger("x").warning("loud")
    set_up_logs("json", "debug", stream)
    get_logger("x").debug("detail")
    logging.getLogger("pymongo.command").debug("a whole record")
    assert [event["event"] for event in logged(stream.getvalue())] == ["loud", "detail"]


def test_other_loggers_come_out_in_the_same_form() -> None:
    """What a library logs is an event like ours, its credentials hidden too."""
    stream = io.StringIO()
    set_up_logs("json", "info", stream)
    logging.getLogger("uvicorn.error").warning("no answer from %s", "mongodb://ada:pw@db/x")
    (event,) = logged(stream.getvalue())
    assert event["event"] == "no answer from mongodb://***@db/x"
    assert event["logger"] == "uvicorn.error"


@pytest.mark.parametrize("style", ["json", "text"])
def test_tracebacks_are_kept_and_hold_no_credentials(style: str) -> None:
    """An exception's text passes the same filter as everything else."""
    stream = io.StringIO()
    set_up_logs(style, "info", stream)
    try:
        raise ConnectionError("cannot reach mongodb://ada:hunter2@db:27017")
    except ConnectionError:
        get_logger("x").exception("store failed", env={"TOKEN_A": "hunter2"}, password="hunter2")
    assert "ConnectionError: cannot reach mongodb://***@db:27017" in stream.getvalue()
    assert "TOKEN_A" in stream.getvalue()
    assert "hunter2" not in stream.getvalue()


# ----------------------------------------------------------------------------------------- redaction


@pytest.mark.parametrize(
    ("key", "value", "shown"),
    [
        ("batch", "traits", "traits"),
        ("n", 3, 3),
        ("ok", True, True),
        ("nothing", None, None),
        ("password", "x", "***"),
        ("db_password", "x", "***"),
        ("accessToken", "x", "***"),
        ("API_KEY", b"x", "***"),
        ("secret", ["x"], "***"),
        ("has_token", True, True),
        ("tokens", 3, 3),
        ("uri", "mongodb://ada:p@ss@db:1/x?y=z", "mongodb://***@db:1/x?y=z"),
        ("message", "asked http://ada:pw@host/ and http://host/", "asked http://***@host/ and http://host/"),
        ("message", "mail ada@example.org", "mail ada@example.org"),
        ("env", {"B": "2", "A": "1"}, ["A", "B"]),
        ("job_env", ["A=1", "B=2"], ["A", "B"]),
        ("env", [{"name": "A", "value": "1"}, {"value": "2"}, 3], ["***", "***", "A"]),
        ("environment", "A=1", "***"),
        ("spec", {"job": {"env": {"A": "1"}, "image": "i"}}, {"job": {"env": ["A"], "image": "i"}}),
        ("data", {"token": "x", "user": ("ada",)}, {"token": "***", "user": ["ada"]}),
        ("took", timedelta(minutes=1), "1m"),
        ("at", NOW, "2026-11-22T12:00:00+00:00"),
        ("empty", {}, {}),
    ],
)
def test_redaction(key: str, value: object, shown: object) -> None:
    """Secrets by key, credentials by form, an env by its names only; everything else as it is."""
    assert redacted(key, value) == shown


def test_records_do_not_show_the_env_inside_them() -> None:
    """A record given as it is shows its fields, and of its env the names."""
    job = JobInput("image", env=MappingProxyType({"PCA": "hunter2"}), resources=Resources(cpu=500))
    shown = redacted("job", job)
    assert shown["env"] == ["PCA"]
    assert shown["resources"]["cpu"] == 500
    assert "hunter2" not in json.dumps(shown)


def test_hostile_values_are_bounded() -> None:
    """A value that contains itself, or is huge, makes a short line."""
    nested: list[object] = []
    nested.append(nested)
    assert len(json.dumps(redacted("x", nested))) < 100
    assert redacted("x", "y" * 100_000).endswith("… (100000 characters)")
    assert len(redacted("x", "y" * 100_000)) < 10_000


# ------------------------------------------------------------------------------------------- metrics

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
    "reconcile_total": {"result"},
    "reconcile_seconds_count": set(),
    "reconcile_errors_total": set(),
    "cache_age_seconds": {"resource"},
    "watch_restarts_total": {"resource", "reason"},
    "unknown_outcome_total": {"call"},
    "specs_total": {"result"},
    "quarantined_specs": set(),
    "leader": set(),
    "leader_transitions_total": set(),
    "invariant_violations_total": {"invariant"},
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


def by_batch(metrics: Metrics, name: str = "active_jobs") -> dict[str, float]:
    """One batch gauge's value by label."""
    return {sample.labels["batch"]: sample.value for sample in samples(metrics).get(name, [])}


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
    metrics.reconciled("ok", 0.1)
    metrics.pass_failed()
    metrics.unknown_outcome("create")
    metrics.invariant_violated("slot")
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
    assert shown["jobs_finished_total"] == [
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
    assert by_batch(metrics, "jobs_finished_total") == {}
    metrics.batch_gauge("active_jobs", batch(2).id, 1)
    assert by_batch(metrics) == {OTHER: 1}, "it came while the label was still held"
    metrics.unfinished_batches([batch(2), batch(3)], 3701)
    metrics.batch_gauge("active_jobs", batch(3).id, 5)
    assert by_batch(metrics) == {OTHER: 1, "b3": 5}


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


def test_nobody_else_declares_a_metric() -> None:
    """Only this package imports prometheus_client, so that the list of metrics is in one place."""
    root = Path(__file__).parents[1] / "controller"
    importers = {
        path.relative_to(root).as_posix()
        for path in root.rglob("*.py")
        if "prometheus_client" in path.read_text(encoding="utf-8")
    }
    assert importers == {"telemetry/metrics.py"}


def test_a_batch_seen_is_a_record_as_the_store_has_it() -> None:
    """The label is the batch's own name, whatever its status."""
    metrics = Metrics()
    metrics.unfinished_batches([replace(batch(1, name="gapit3-trait"), status=BatchStatus.HELD)], 0)
    metrics.batch_gauge("waiting_jobs", "id-default-1", 186)
    assert by_batch(metrics, "waiting_jobs") == {"gapit3-trait": 186}
