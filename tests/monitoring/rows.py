"""The rows of the dashboard: what they ask Prometheus, and how they show it. ``dashboard`` frames them."""

from __future__ import annotations

from typing import Any

from tests.monitoring.panels import (
    AMBER,
    BLUE,
    GREEN,
    RED,
    ZERO_IS_GOOD,
    Json,
    bars,
    dashed,
    lines,
    query,
    stat,
    table,
    timeline,
)

US = 'namespace=~"$namespace",job=~"$job"'
"""The installations that are looked at."""
BATCH = f'{US},batch=~"$batch"'
INSTALLATION = "namespace, job"
EACH = f"{INSTALLATION}, batch"
"""What tells batches apart: those of two installations may have one name."""
NAMED = "{{batch}} {{namespace}} {{job}}"
RATE = "$__rate_interval"


def gauge(name: str, labels: str = US, by: str = "") -> str:
    """A gauge of the leader's; for a moment around a change of leader two replicas may tell it."""
    return f"max by ({by}) (batchkeeper_{name}{{{labels}}})" if by else f"max(batchkeeper_{name}{{{labels}}})"


def total(name: str, by: str = INSTALLATION) -> str:
    """A gauge of every installation's leader, summed."""
    return f"sum({gauge(name, by=by)})"


def per_minute(name: str, by: str, labels: str = US) -> str:
    """How often a minute a counter rises."""
    return f"60 * sum by ({by}) (rate(batchkeeper_{name}_total{{{labels}}}[{RATE}]))"


def per_second(name: str, by: str, labels: str = US) -> str:
    """How often a second something that a histogram times is called."""
    return f"sum by ({by}) (rate(batchkeeper_{name}_count{{{labels}}}[{RATE}]))"


def rise(name: str, by: str = "", labels: str = US) -> str:
    """How far a counter rose in the time that is shown."""
    grouped = f"sum by ({by})" if by else "sum"
    return f"{grouped} (increase(batchkeeper_{name}_total{{{labels}}}[$__range]))"


def quantile(share: float, name: str, by: str = "", labels: str = US) -> str:
    """The time within which this share of them was over."""
    grouped = f"le, {by}" if by else "le"
    rate = f"rate(batchkeeper_{name}_bucket{{{labels}}}[{RATE}])"
    return f"histogram_quantile({share}, sum by ({grouped}) ({rate}))"


def three(name: str, by: str = "") -> list[Json]:
    """Median, 95 and 99 of a hundred."""
    whose = f"{{{{{by}}}}} " if by else ""
    return [query(quantile(share, name, by), f"{whose}p{share * 100:.0f}") for share in (0.5, 0.95, 0.99)]


def all_is_well() -> list[Json]:
    """The top row."""
    one_leads: Any = [{"type": "value", "options": {"0": {"text": "nobody"}, "1": {"text": "one"}}}]
    lead = f"sum by ({INSTALLATION}) (batchkeeper_leader{{{US}}})"
    active, most = total("active_jobs", EACH), total("max_concurrent", EACH)
    good = rise("jobs_finished", labels=f'{BATCH},verdict="succeeded"')
    return [
        stat(
            "Leader",
            "How many replicas lead: of several installations, where it is not one. Nobody: nothing moves.",
            f"(max({lead}) > 1) or min({lead})",
            thresholds=((None, RED), (1, GREEN), (2, RED)),
            mappings=one_leads,
            runbook="no-leader",
        ),
        stat(
            "Alerts",
            "Alerts of ours that are firing. Prometheus' page of alerts, or the Alertmanager, names them.",
            'count(ALERTS{alertname=~"Batchkeeper.+",alertstate="firing"}) or vector(0)',
            thresholds=((None, GREEN), (1, AMBER), (3, RED)),
        ),
        stat(
            "Broken rules",
            "Safety rules that were found broken in the time shown. Never anything but 0.",
            f"ceil({rise('invariant_violations')})",
            thresholds=ZERO_IS_GOOD,
            runbook="invariant-violation",
        ),
        stat(
            "Places taken",
            "Active jobs of all open batches, as a share of what their maxConcurrent allows in sum.",
            f"({active} / ({most} > 0)) or vector(0)",
            unit="percentunit",
            thresholds=((None, BLUE), (0.5, GREEN), (1.0001, RED)),
            graph="area",
            runbook="over-cap",
        ),
        stat(
            "In line",
            "Jobs that wait for a place, of all open batches.",
            total("waiting_jobs", EACH),
            thresholds=((None, BLUE),),
            graph="area",
            runbook="queue-not-draining",
        ),
        stat(
            "Succeeded",
            "Of the jobs that ended in the time shown, the share that succeeded.",
            f"{good} / ({rise('jobs_finished', labels=BATCH)} > 0)",
            unit="percentunit",
            thresholds=((None, RED), (0.7, AMBER), (0.9, GREEN)),
        ),
        stat(
            "Sight",
            "For how long the namespace that is missed most was not seen. Nothing starts in it meanwhile.",
            gauge("cache_age_seconds"),
            unit="s",
            thresholds=((None, GREEN), (60, AMBER), (120, RED)),
            runbook="stale-cache",
        ),
        stat(
            "Store",
            "Calls to MongoDB that found nobody, in the last five minutes.",
            f'sum(increase(batchkeeper_store_op_seconds_count{{{US},op="unavailable"}}[5m]))',
            thresholds=ZERO_IS_GOOD,
            runbook="store-down",
        ),
    ]


def batches() -> list[Json]:
    """The work."""
    cap = lines(
        "Active jobs and their bound",
        "Created, queued and running jobs of each batch, and its maxConcurrent (dashed).",
        query(gauge("active_jobs", BATCH, EACH), NAMED),
        query(gauge("max_concurrent", BATCH, EACH), f"{NAMED} bound"),
        runbook="over-cap",
    )
    return [
        dashed(cap, "/ bound$/"),
        lines(
            "In line",
            "Jobs of each batch that wait for a place, or for the end of a back-off.",
            query(gauge("waiting_jobs", BATCH, EACH), NAMED),
            stack=True,
            runbook="queue-not-draining",
        ),
        lines(
            "Throughput",
            "Jobs that came to their end, a minute, by verdict.",
            query(per_minute("jobs_finished", "verdict", BATCH), "{{verdict}}"),
            stack=True,
            unit="opm",
            runbook="mount-failure-rate",
        ),
        bars(
            "Verdicts",
            "How the jobs ended that ended in the time shown.",
            query(f"{rise('jobs_finished', 'verdict', BATCH)} > 0", "{{verdict}}", instant=True),
            size=(6, 8),
            decimals=0,
        ),
        lines(
            "Jobs of others",
            "Active objects of others under a batch's names: they take places of its bound.",
            query(gauge("foreign_active_jobs", BATCH, EACH), NAMED),
            size=(6, 8),
        ),
        table(
            "Batches now",
            "Every batch that is open, or ended within the hour. `other` are those beyond the first forty.",
            [
                ("in line", gauge("waiting_jobs", BATCH, EACH)),
                ("active", gauge("active_jobs", BATCH, EACH)),
                ("bound", gauge("max_concurrent", BATCH, EACH)),
                ("ended", f"sum by ({EACH}) (batchkeeper_jobs_finished_total{{{BATCH}}})"),
            ],
            size=(24, 7),
        ),
    ]


def places_and_passes() -> list[Json]:
    """How quickly it works."""
    return [
        lines(
            "A free place is taken again within",
            "From a job's end to the acceptance of the next in its place, while somebody due waits for it.",
            *three("slot_refill_seconds"),
            unit="s",
            thresholds=((None, GREEN), (15, RED)),
            size=(8, 8),
        ),
        lines(
            "Duration of a pass",
            "full: over everything, on its interval; batch: of one batch after an event.",
            *three("reconcile_seconds", "kind"),
            unit="s",
            size=(8, 8),
            runbook="stalled-reconcile",
        ),
        lines(
            "Passes by result",
            "A minute. Anything but ok: nothing was decided; no line: no pass of that kind comes to its end.",
            query(per_minute("reconcile", "kind, result"), "{{kind}} {{result}}"),
            unit="opm",
            size=(8, 8),
            runbook="stalled-reconcile",
        ),
        lines(
            "Submissions by answer",
            "Jobs sent to the cluster, a minute. unknown: no answer, the place is kept until it is known.",
            query(per_minute("submissions", "outcome"), "{{outcome}}"),
            stack=True,
            unit="opm",
        ),
        lines(
            "Specs",
            "What became of specs that were read, a minute; and how many are refused as they are now.",
            query(per_minute("specs", "result"), "{{result}}"),
            query(total("quarantined_specs"), "refused now"),
            runbook="spec-quarantined",
        ),
    ]


def retries() -> list[Json]:
    """What automation mends, and what it ends."""
    ran = rise("retries", "verdict", f'{US},outcome=~"succeeded|failed"')
    good = rise("retries", "verdict", f'{US},outcome="succeeded"')
    return [
        lines(
            "Retries",
            "Recorded by a rule; succeeded or failed, whoever asked; a minute.",
            query(per_minute("retries", "outcome"), "{{outcome}}"),
            unit="opm",
        ),
        bars(
            "Success of retries by what they were to mend",
            "Of the retries that ran in the time shown, the share that succeeded. Low: the rule only costs.",
            query(f"{good} / ({ran} > 0)", "{{verdict}}", instant=True),
            unit="percentunit",
            max=1,
            thresholds=((None, RED), (0.3, AMBER), (0.7, GREEN)),
        ),
        lines(
            "Retries whose lifecycle is open",
            "How many are not listed by batch and root yet, and the age of the oldest in seconds.",
            query(total("retry_lifecycle_incomplete"), "open"),
            query(gauge("oldest_incomplete_retry_seconds"), "age of the oldest, s"),
            size=(8, 8),
            runbook="retry-lifecycle-stuck",
        ),
        lines(
            "Repair",
            "Steps of interrupted retries that repair finished, a minute.",
            query(per_minute("repaired", "step"), "{{step}}"),
            unit="opm",
            size=(8, 8),
            runbook="retry-lifecycle-stuck",
        ),
        lines(
            "Reaper",
            "Jobs ended for being stuck, a minute, by the state they were stuck in.",
            query(per_minute("reaped", "state"), "{{state}}"),
            unit="opm",
            size=(8, 8),
            runbook="reaper-acting",
        ),
    ]


def cluster_and_store() -> list[Json]:
    """What it depends on."""
    return [
        lines(
            "Requests to the cluster: 95 of 100 are answered within",
            "By verb; what takes longer than the time limit counts as no answer.",
            query(quantile(0.95, "cluster_request_seconds", "verb"), "{{verb}}"),
            unit="s",
            runbook="api-errors",
        ),
        lines(
            "Requests to the cluster by answer",
            "A second. 404 and 409 are answers like others; 5xx, 401, 403, 429 and none are trouble.",
            query(per_second("cluster_request_seconds", "code"), "{{code}}"),
            stack=True,
            unit="reqps",
            runbook="api-errors",
        ),
        lines(
            "Calls to the store: 95 of 100 are answered within",
            "By call. unavailable: how long it took to find that nobody is there.",
            query(quantile(0.95, "store_op_seconds", "op"), "{{op}}"),
            unit="s",
            runbook="store-down",
        ),
        lines(
            "Calls to the store",
            "A second, by call: what the passes and the API ask MongoDB for.",
            query(per_second("store_op_seconds", "op"), "{{op}}"),
            stack=True,
            unit="reqps",
            runbook="store-down",
        ),
        lines(
            "Watches begun anew",
            "A minute, by resource and reason. expired is ordinary; refused and unavailable are not.",
            query(per_minute("watch_restarts", "resource, reason"), "{{resource}} {{reason}}"),
            unit="opm",
            runbook="api-errors",
        ),
        lines(
            "Writes without an answer",
            "A minute. Each keeps its place until it is known what became of it.",
            query(per_minute("unknown_outcome", "call"), "{{call}}"),
            unit="opm",
            runbook="api-errors",
        ),
    ]


def controller() -> list[Json]:
    """The process itself."""
    leads: Any = [
        {
            "type": "value",
            "options": {
                "0": {"text": "stands by", "color": BLUE},
                "1": {"text": "leads", "color": GREEN},
            },
        }
    ]
    return [
        timeline(
            "Who leads",
            "Each replica over time.",
            query(f"batchkeeper_leader{{{US}}}", "{{instance}}"),
            size=(8, 6),
            mappings=leads,
            runbook="two-leaders",
        ),
        lines(
            "Passes and items that failed unforeseen",
            "Each has a traceback in the log, and is a bug.",
            query(f"60 * sum(rate(batchkeeper_reconcile_errors_total{{{US}}}[{RATE}]))", "failed"),
            unit="opm",
            size=(8, 6),
            runbook="stalled-reconcile",
        ),
        lines(
            "Configuration",
            "1: the last reading of the configuration was good. 0: the last good one is in force.",
            query(f"batchkeeper_config_last_reload_successful{{{US}}}", "{{instance}}"),
            size=(8, 6),
        ),
        lines(
            "Memory",
            "Resident, by replica.",
            query(f"process_resident_memory_bytes{{{US}}}", "{{instance}}"),
            unit="bytes",
            size=(8, 6),
        ),
        lines(
            "Processor",
            "Cores used, by replica.",
            query(f"rate(process_cpu_seconds_total{{{US}}}[{RATE}])", "{{instance}}"),
            size=(8, 6),
        ),
        lines(
            "Versions",
            "Replicas by version: two during an upgrade.",
            query(f"count by (version) (batchkeeper_build_info{{{US}}})", "{{version}}"),
            size=(8, 6),
            decimals=0,
        ),
    ]
