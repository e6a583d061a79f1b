"""Batch specs for tests, as data, and what the oracle must know of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from controller.core.durations import parse_duration
from controller.core.model import Verdict
from tests.oracle.state import Budget

QUICK = [
    {
        "on": {"verdict": "mount-failure"},
        "limit": 3,
        "backoff": {"base": "100ms", "factor": 2, "max": "1s"},
    }
]
"""The built-in rule for mount failures, three retries with a doubling wait, at a test's pace."""
DO = ["sh", "-c", 'eval "$DO"']
"""A job that does what its task's parameter says."""


def batch(name: str, tasks: Mapping[str, str] | int, most: int = 5, **more: Any) -> dict[str, Any]:
    """A spec. ``tasks``: what each does, by id, or how many that do nothing. ``more``: fields of the spec;
    those of ``job`` are added to it."""
    does = {str(n): "true" for n in range(1, tasks + 1)} if isinstance(tasks, int) else tasks
    job = {"image": "none", "command": DO, **more.pop("job", {})}
    return {
        "apiVersion": "batchkeeper/v1",
        "kind": "Batch",
        "name": name,
        "maxConcurrent": most,
        "tasks": {"list": [{"id": task, "DO": do} for task, do in does.items()]},
        "retry": QUICK,
        "job": job,
        **more,
    }


def budgets(spec: Mapping[str, Any]) -> dict[Verdict, Budget]:
    """What the spec's rules change about the built-in budgets, in the oracle's words."""
    found = {}
    for rule in spec.get("retry", ()):
        off = rule.get("backoff", {})
        base, longest = (parse_duration(off.get(key, "60s")) for key in ("base", "max"))
        found[Verdict(rule["on"]["verdict"])] = Budget(
            rule.get("limit", 1), base.total_seconds(), off.get("factor", 2), longest.total_seconds()
        )
    return found
