"""Every metric there is, declared once. The only importer of prometheus_client.

Methods are named after what happened. No label carries a task, a job, a file or a user, and batches
share a bounded number of labels (`labels`), so the number of series is bounded whatever runs.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.exposition import choose_encoder
from prometheus_client.process_collector import ProcessCollector

from controller import __version__
from controller.core.model import ACTIVE, Batch, Status, Verdict
from controller.ports import CreateResult, Invariant
from controller.telemetry.labels import OTHER, LabelBook, RequestBook

_PREFIX = "batchkeeper"
_FAST = (0.001, 0.005, 0.025, 0.1, 0.5, 2.5)
"""Seconds: calls to the store. Few buckets, for each call has them all; one of 10 s counts as unavailable."""
_REQUEST = (0.01, 0.05, 0.25, 1, 10)
"""Seconds: requests to the cluster, of which there are many kinds."""
_SLOW = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
"""Seconds: passes, and places that wait for the next job."""

UNAVAILABLE = "unavailable"
"""The value of ``op`` under which a call counts that found no store, whichever call it was."""
WATCHED = ("jobs", "pods")
"""The resources of which there are watches."""
OUTCOMES = (*(result.value for result in CreateResult), "refused", "throttled", "unknown")
"""What may become of a submission."""
PASSES = ("full", "batch")
"""Passes that move batches: over everything, and of one batch after an event."""
_STOPPED = frozenset({Verdict.CANCELLED, Verdict.REAPED})
ENDS = tuple(
    (
        Status.COMPLETED
        if verdict is Verdict.SUCCEEDED
        else Status.TERMINATED
        if verdict in _STOPPED
        else Status.ERROR,
        verdict,
    )
    for verdict in Verdict
)
"""How jobs end: each verdict with its status."""

# Each counter and histogram doubles its series with `_created` otherwise, and nobody reads those.
disable_created_metrics()  # type: ignore[no-untyped-call]


@dataclass(frozen=True, slots=True)
class Declared:
    """One metric as it is declared: its name in queries, its type, its labels and what it means."""

    name: str
    type: str
    labels: tuple[str, ...]
    meaning: str


class Metrics:
    """The metrics of one process, in one registry."""

    def __init__(self, registry: CollectorRegistry | None = None, labels: LabelBook | None = None) -> None:
        self._registry = registry = registry or CollectorRegistry()
        self._labels = labels or LabelBook()
        self._requests = RequestBook()
        self._leading: bool | None = None

        self.declared: list[Declared] = []
        """Every metric there is, for the documents and their tests."""

        def declare(name: str, kind: str, meaning: str, labels: tuple[str, ...]) -> None:
            self.declared.append(Declared(f"{_PREFIX}_{name}", kind, labels, meaning))

        def gauge(name: str, help: str, *labels: str) -> Gauge:  # noqa: A002
            declare(name, "gauge", help, labels)
            return Gauge(name, help, labels, namespace=_PREFIX, registry=registry)

        def counter(name: str, help: str, *labels: str) -> Counter:  # noqa: A002
            declare(f"{name}_total", "counter", help, labels)
            return Counter(name, help, labels, namespace=_PREFIX, registry=registry)

        def histogram(name: str, help: str, buckets: tuple[float, ...], *labels: str) -> Histogram:  # noqa: A002
            declare(name, "histogram", help, labels)
            return Histogram(name, help, labels, namespace=_PREFIX, registry=registry, buckets=buckets)

        self._batch_gauges = {
            "active_jobs": gauge("active_jobs", "Created, queued and running jobs of the batch.", "batch"),
            "max_concurrent": gauge("max_concurrent", "What bounds the batch's active jobs.", "batch"),
            "waiting_jobs": gauge("waiting_jobs", "Jobs in line for a place.", "batch"),
            "foreign_active_jobs": gauge(
                "foreign_active_jobs",
                "Others' active jobs under the batch's prefix, counted in its bound.",
                "batch",
            ),
        }
        self._batch_values: dict[str, dict[str, float]] = {name: {} for name in self._batch_gauges}
        self._jobs_finished = counter(
            "jobs_finished", "Jobs that came to their end.", "batch", "status", "verdict"
        )
        self._retries = counter(
            "retries",
            "Retries by what they were to mend: recorded by a rule; succeeded or failed, whoever asked.",
            "verdict",
            "outcome",
        )
        self._incomplete = gauge("retry_lifecycle_incomplete", "Retries whose lifecycle is not finished.")
        self._oldest_incomplete = gauge(
            "oldest_incomplete_retry_seconds", "Age of the oldest of those; 0: none."
        )
        self._reaped = counter(
            "reaped", "Jobs ended because they got stuck, by the state they were in.", "state"
        )
        self._repaired = counter("repaired", "Steps of interrupted retries that repair finished.", "step")
        self._slot_refill = histogram(
            "slot_refill_seconds", "From a job's end to the acceptance of the next one in its place.", _SLOW
        )
        self._submissions = counter("submissions", "Jobs sent to the cluster, by its answer.", "outcome")
        self._reconcile = counter(
            "reconcile", "Passes over the unfinished batches, by how they ended.", "kind", "result"
        )
        self._reconcile_seconds = histogram("reconcile_seconds", "How long such a pass took.", _SLOW, "kind")
        self._reconcile_errors = counter(
            "reconcile_errors", "Passes and single items that failed unforeseen."
        )
        self._cache_age = gauge("cache_age_seconds", "Age of what is known of the cluster.", "resource")
        self._watch_restarts = counter("watch_restarts", "Watches begun anew.", "resource", "reason")
        self._unknown_outcome = counter("unknown_outcome", "Writes without a definite answer.", "call")
        self._specs = counter("specs", "Specs read, by what became of them.", "result")
        self._quarantined_specs = gauge("quarantined_specs", "Specs that are refused as they are now.")
        self._leader = gauge("leader", "1: this process leads.")
        self._leader_transitions = counter(
            "leader_transitions", "Times this process began or ceased to lead."
        )
        self._violations = counter(
            "invariant_violations",
            "Broken safety rules: each one is a bug or somebody else's hand.",
            "invariant",
        )
        self._notifications = counter(
            "notifications",
            "Deliveries of what people are told, by the way and by how they ended.",
            "channel",
            "outcome",
        )
        self._store_op = histogram("store_op_seconds", "Calls to the store.", _FAST, "op")
        self._cluster_request = histogram(
            "cluster_request_seconds", "Requests to the cluster.", _REQUEST, "verb", "resource", "code"
        )
        self._config_ok = gauge(
            "config_last_reload_successful", "1: the last reading of the configuration was good."
        )
        gauge("build_info", "1, with the version that runs.", "version").labels(__version__).set(1)
        self._begin_at_zero()
        ProcessCollector(registry=registry)

    def _begin_at_zero(self) -> None:
        """A counter that comes with its first event has not risen, for Prometheus: alerts would miss it."""
        for state in sorted(ACTIVE):
            self._reaped.labels(state.value)
        for outcome in OUTCOMES:
            self._submissions.labels(outcome)
        for invariant in Invariant:
            self._violations.labels(invariant.value)
        for verdict in Verdict:
            for outcome in ("recorded", "succeeded", "failed"):
                self._retries.labels(verdict.value, outcome)
        for resource in WATCHED:
            for reason in ("expired", "refused", "unavailable"):
                self._watch_restarts.labels(resource, reason)
        self._repaired.labels("toggle")
        self._unknown_outcome.labels("create")
        for kind in PASSES:
            self._reconcile.labels(kind, "ok")
        self._store_op.labels(UNAVAILABLE)

    # -- batches

    def batch_gauge(self, name: str, batch_id: str, value: float) -> None:
        """One of ``active_jobs``, ``max_concurrent``, ``waiting_jobs``, ``foreign_active_jobs`` of a batch.

        Batches that share ``other`` are summed.
        """
        values = self._batch_values[name]
        self._batch_gauges[name].labels(self._labels.of(batch_id)).inc(value - values.get(batch_id, 0.0))
        values[batch_id] = value

    def batch_seen(self, batch_id: str, namespace: str, name: str) -> None:
        """Something of this batch is about to be counted: from now on it has its label."""
        if self._labels.knows(batch_id):
            return
        label = self._labels.see(batch_id, namespace, name)
        for gauge, batch_gauge in self._batch_gauges.items():
            if label != OTHER and (value := self._batch_values[gauge].get(batch_id, 0.0)):
                batch_gauge.labels(OTHER).dec(value)  # it was told before the batch was seen
                batch_gauge.labels(label).inc(value)
        for status, verdict in ENDS:
            self._jobs_finished.labels(label, status.value, verdict.value)

    def unfinished_batches(self, batches: Iterable[Batch], now: float) -> None:
        """All unfinished batches, told at each pass: who has a label, and who ended. ``now``: monotonic."""
        ids = set()
        for batch in batches:
            self.batch_seen(batch.id, batch.namespace, batch.name)
            ids.add(batch.id)
        ended, let_go = self._labels.keep(ids, now)
        for name, gauge in self._batch_gauges.items():
            known = {
                each: value for each, value in self._batch_values[name].items() if self._labels.knows(each)
            }
            self._batch_values[name] = known | dict.fromkeys(ended & known.keys(), 0.0)
            gauge.clear()
            for batch_id, value in self._batch_values[name].items():
                gauge.labels(self._labels.of(batch_id)).inc(value)
        for label in let_go:
            self._jobs_finished.remove_by_labels({"batch": label})

    def job_finished(self, batch_id: str, status: str, verdict: str) -> None:
        """A job's terminal record was written."""
        self._jobs_finished.labels(self._labels.of(batch_id), status, verdict).inc()

    # -- retries, repair, reapers

    def retried(self, verdict: str, outcome: str) -> None:
        """A retry of what ended with this verdict was recorded by a rule, or ran and succeeded or failed."""
        self._retries.labels(verdict, outcome).inc()

    def incomplete_retries(self, count: int, oldest: timedelta = timedelta()) -> None:
        """What the repair pass found unfinished."""
        self._incomplete.set(count)
        self._oldest_incomplete.set(oldest.total_seconds() if count else 0)

    def repaired(self, step: str, count: int = 1) -> None:
        """Repair finished that many lifecycles at this step."""
        self._repaired.labels(step).inc(count)

    def reaped(self, state: str) -> None:
        """A job that was stuck in this state was stopped for it."""
        self._reaped.labels(state).inc()

    # -- passes and submissions

    def submitted(self, outcome: str) -> None:
        """The cluster answered a create, or did not."""
        self._submissions.labels(outcome).inc()

    def slot_refilled(self, seconds: float) -> None:
        """A place that had become free was taken again."""
        self._slot_refill.observe(seconds)

    def reconciled(self, kind: str, result: str, seconds: float) -> None:
        """A pass of one of ``PASSES`` ended."""
        self._reconcile.labels(kind, result).inc()
        self._reconcile_seconds.labels(kind).observe(seconds)

    def pass_failed(self) -> None:
        """A pass, or one item of it, raised something unforeseen."""
        self._reconcile_errors.inc()

    def unknown_outcome(self, call: str) -> None:
        """A write to the cluster has no definite answer."""
        self._unknown_outcome.labels(call).inc()

    def invariant_violated(self, invariant: str) -> None:
        """A safety rule was found broken."""
        self._violations.labels(invariant).inc()

    # -- what it sees and who it is

    def spec_read(self, result: str) -> None:
        """A spec was accepted, changed, refused or found unchanged."""
        self._specs.labels(result).inc()

    def quarantined(self, count: int) -> None:
        """That many specs are refused as they are now."""
        self._quarantined_specs.set(count)

    def cache_age(self, resource: str, seconds: float) -> None:
        """How old the last complete list of a resource is."""
        self._cache_age.labels(resource).set(seconds)

    def watch_restarted(self, resource: str, reason: str) -> None:
        """A watch ended and was begun anew."""
        self._watch_restarts.labels(resource, reason).inc()

    def leads(self, leading: bool) -> None:
        """This process leads, or does not; a change is counted.

        What only a leader knows goes with the lead: it would stand still here while another one moves it.
        """
        if leading != bool(self._leading):
            self._leader_transitions.inc()
        self._leading = leading
        self._leader.set(leading)
        if not leading:
            self._cache_age.clear()
            self._quarantined_specs.set(0)
            for name, batch_gauge in self._batch_gauges.items():
                self._batch_values[name].clear()
                batch_gauge.clear()

    def told(self, channel: str, outcome: str) -> None:
        """A delivery by this way was made, failed, was refused or was given up."""
        self._notifications.labels(channel, outcome).inc()

    def store_called(self, op: str, seconds: float) -> None:
        """A call to the store was answered; one that was not counts under ``unavailable``."""
        self._store_op.labels(op).observe(seconds)

    def cluster_requested(self, verb: str, resource: str, code: str, seconds: float) -> None:
        """A request to the cluster was answered, or given up."""
        self._cluster_request.labels(*self._requests.label(verb, resource, code)).observe(seconds)

    def config_read(self, good: bool) -> None:
        """The configuration was read."""
        self._config_ok.set(good)

    def exposition(self, accept: str = "") -> tuple[bytes, str]:
        """All metrics as text, and its content type, in the format that the reader accepts."""
        encode, content_type = choose_encoder(accept)
        return encode(self._registry), content_type
