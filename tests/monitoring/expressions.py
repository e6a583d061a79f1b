"""Which metrics and labels a PromQL expression names, compared with those that are declared."""

from __future__ import annotations

import re
from collections.abc import Iterator

from controller.telemetry import Metrics

_SELECTOR = re.compile(r"\b(batchkeeper_\w+)(?:\{([^}]*)\})?")
_MATCHER = re.compile(r"(\w+)\s*(?:=~|!~|!=|=)")
_GROUPING = re.compile(r"\b(?:by|without|on|ignoring)\s*\(([^)]*)\)")
OF_THE_SCRAPE = {"namespace", "job", "instance", "le"}
"""Labels that Prometheus gives each series, and a histogram its buckets."""


def declared() -> dict[str, set[str]]:
    """The labels of every series' name, those of histograms included."""
    found: dict[str, set[str]] = {}
    for metric in Metrics().declared:
        ends = ("_bucket", "_count", "_sum") if metric.type == "histogram" else ("",)
        found |= {metric.name + end: set(metric.labels) for end in ends}
    return found


def mistakes(expression: str) -> Iterator[str]:
    """What it names that there is not."""
    known = declared()
    labels: set[str] = set()
    for name, matchers in _SELECTOR.findall(expression):
        if name not in known:
            yield f"no metric is called {name}"
            continue
        labels |= known[name]
        for label in _MATCHER.findall(re.sub(r'"[^"]*"', '""', matchers)):
            if label not in known[name] | OF_THE_SCRAPE:
                yield f"{name} has no label {label}"
    for group in _GROUPING.findall(expression):
        for label in filter(None, (word.strip() for word in group.split(","))):
            if label not in labels | OF_THE_SCRAPE:
                yield f"nothing here has a label {label}"
