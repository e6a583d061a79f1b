"""docs/metrics.md is what the code declares; ``python -m tests.monitoring.test_document`` writes it anew."""

from __future__ import annotations

import re

from prometheus_client.parser import text_string_to_metric_families

from controller.telemetry import Metrics
from controller.telemetry.metrics import Declared
from tests.monitoring.alerting import ROOT
from tests.telemetry.test_metrics import CONTRACT, after_everything_happened

DOCUMENT = ROOT / "docs" / "metrics.md"
_TABLE = re.compile(r"(<!-- table: metrics -->\n).*?(<!-- /table -->)", re.DOTALL)
_UNITS = {
    "jobs": "active_jobs max_concurrent waiting_jobs foreign_active_jobs jobs_finished reaped submissions",
    "retries": "retries retry_lifecycle_incomplete",
    "steps": "repaired",
    "passes": "reconcile",
    "failures": "reconcile_errors",
    "watches": "watch_restarts",
    "writes": "unknown_outcome",
    "specs": "specs quarantined_specs",
    "deliveries": "notifications",
    "changes": "leader_transitions",
    "violations": "invariant_violations",
    "0 or 1": "leader config_last_reload_successful",
    "1": "build_info",
}
"""What a metric's number counts; those that end in `_seconds` say it themselves."""


def unit(metric: Declared) -> str:
    """What its number counts."""
    name = metric.name.removeprefix("batchkeeper_").removesuffix("_total")
    if name.endswith("_seconds"):
        return "seconds"
    (found,) = [unit for unit, names in _UNITS.items() if name in names.split()]
    return found


def table() -> str:
    """Every metric, in the order of the code."""
    lines = ["| metric | type | labels | unit | meaning |", "|---|---|---|---|---|"]
    for metric in Metrics().declared:
        labels = " ".join(f"`{label}`" for label in metric.labels) or "–"
        lines.append(f"| `{metric.name}` | {metric.type} | {labels} | {unit(metric)} | {metric.meaning} |")
    return "\n".join(lines) + "\n"


def rendered(text: str) -> str:
    """The document with its table as the code is now."""
    return _TABLE.sub(lambda found: found[1] + table() + found[2], text)


def test_the_table_is_what_the_code_declares() -> None:
    """Name, type, labels, unit and meaning of every metric."""
    text = DOCUMENT.read_text(encoding="utf-8")
    assert rendered(text) == text, "python -m tests.monitoring.test_document writes it anew"


def test_what_is_declared_is_what_is_exposed() -> None:
    """No metric but the process's own escapes the table, and none of the contract is missing."""
    told = text_string_to_metric_families(after_everything_happened().exposition()[0].decode())
    exposed = {(family.name, family.type) for family in told if family.name.startswith("batchkeeper_")}
    declared = {(metric.name.removesuffix("_total"), metric.type) for metric in Metrics().declared}
    assert exposed == declared
    names = {f"batchkeeper_{name.removesuffix('_count')}" for name in CONTRACT}
    assert {metric.name for metric in Metrics().declared} == names


def test_every_label_has_its_values() -> None:
    """Each label of the table stands in the list of what its values are."""
    labels = {label for metric in Metrics().declared for label in metric.labels}
    row = r"^\| `(\w+)` \| (?!gauge|counter|histogram)"
    listed = re.findall(row, DOCUMENT.read_text("utf-8"), re.MULTILINE)
    assert set(listed) == labels


if __name__ == "__main__":
    DOCUMENT.write_text(rendered(DOCUMENT.read_text(encoding="utf-8")), encoding="utf-8")
