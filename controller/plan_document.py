"""What a spec would do, before anything is done, as plain data: for ``plan``, here and in the API."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from controller.core.durations import format_duration
from controller.core.model import Resources
from controller.core.naming import job_name
from controller.core.quantities import format_cpu, format_memory
from controller.core.retry import BUILTIN
from controller.core.spec import BatchSpec, Escalation, RetryRule
from controller.shapes import resources_document
from controller.this_machine import ignored_here

SHOWN_NAMES = 3
_WRITTEN: dict[str, Callable[[int], str]] = {"cpu": format_cpu, "memory": format_memory, "gpu": str}


def plan_document(cluster: str, spec: BatchSpec) -> dict[str, Any]:
    """The plan for programs. ``cluster``: the configured kind, for what it ignores of the spec."""
    names = job_names(spec)
    return {
        "batch": f"{spec.namespace}/{spec.name}",
        "owner": spec.owner,
        "tasks": len(spec.tasks),
        "maxConcurrent": spec.max_concurrent,
        "firstJobs": names[:SHOWN_NAMES],
        "lastJobs": names[-SHOWN_NAMES:],
        "perJob": resources_document(spec.job.resources),
        "peak": resources_document(peak(spec)),
        "retryRules": [_rule(rule, own=True) for rule in spec.retry]
        + [_rule(rule, own=False) for rule in BUILTIN],
        "maxAutoRetries": spec.max_auto_retries,
        "ignoredHere": ignored_here(cluster, spec.document),
        "runsHere": list(spec.job.local.command or spec.job.command),
        "deadline": format_duration(spec.job.deadline) if spec.job.deadline else None,
        "paused": spec.paused,
    }


def job_names(spec: BatchSpec) -> list[str]:
    """The names of all first attempts, in the order of the spec."""
    return [job_name(spec.name, task.id, 0) for task in spec.tasks]


def peak(spec: BatchSpec) -> Resources:
    """What all jobs that may be active at once request together."""
    one, n = spec.job.resources, min(spec.max_concurrent, len(spec.tasks))
    return Resources(one.cpu * n, one.memory * n, one.gpu * n)


def _rule(rule: RetryRule, *, own: bool) -> dict[str, Any]:
    return {
        "name": rule.name,
        "own": own,
        "on": condition(rule),
        "limit": rule.limit,
        "when": rule.when.value,
        "backoff": {
            "base": format_duration(rule.backoff.base),
            "factor": rule.backoff.factor,
            "max": format_duration(rule.backoff.max),
        },
        "resources": {name: growth(name, grow) for name, grow in rule.resources.items()},
    }


def condition(rule: RetryRule) -> str:
    """What a rule applies to, in words."""
    match = rule.match
    said = [
        " or ".join(verdict.value for verdict in match.verdicts),
        "exit " + " or ".join(map(str, match.exit_codes)) if match.exit_codes else "",
        "reason " + " or ".join(match.reasons) if match.reasons else "",
        f"log matches {match.logs}" if match.logs else "",
    ]
    return " and ".join(filter(None, said))


def growth(name: str, grow: Escalation) -> str:
    """How a resource grows with each retry, in words."""
    most = f" up to {_WRITTEN[name](grow.max)}" if grow.max is not None else ""
    return f"×{grow.factor:g}{most}"
