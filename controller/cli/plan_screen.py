"""What a spec would do, before anything is done: for ``plan``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from controller.cli.output import clean
from controller.cli.tables import amounts, pairs, section, table
from controller.cli.this_machine import ignored_here
from controller.config import Settings
from controller.core.durations import format_duration
from controller.core.model import Resources
from controller.core.naming import job_name
from controller.core.quantities import format_cpu, format_memory
from controller.core.retry import BUILTIN
from controller.core.spec import BatchSpec, Escalation, RetryRule

SHOWN_NAMES = 3
_WRITTEN: dict[str, Callable[[int], str]] = {"cpu": format_cpu, "memory": format_memory, "gpu": str}


def plan_document(settings: Settings, spec: BatchSpec) -> dict[str, Any]:
    """The plan for programs."""
    names = _names(spec)
    return {
        "batch": f"{spec.namespace}/{spec.name}",
        "owner": spec.owner,
        "tasks": len(spec.tasks),
        "maxConcurrent": spec.max_concurrent,
        "firstJobs": names[:SHOWN_NAMES],
        "lastJobs": names[-SHOWN_NAMES:],
        "perJob": _resources(spec.job.resources),
        "peak": _resources(_peak(spec)),
        "retryRules": [_rule(rule, own=True) for rule in spec.retry]
        + [_rule(rule, own=False) for rule in BUILTIN],
        "maxAutoRetries": spec.max_auto_retries,
        "ignoredHere": ignored_here(settings, spec.document),
        "runsHere": list(spec.job.local.command or spec.job.command),
    }


def plan_screen(settings: Settings, spec: BatchSpec) -> RenderableType:
    """The plan for people."""
    rules = table("RULE", "ON", "RETRIES", "AFTER", "GROWS", right=("RETRIES",))
    for rule in (*spec.retry, *BUILTIN):
        rules.add_row(rule.name, clean(_on(rule)), _retries(rule), _after(rule), _grows(rule))
    return Group(
        Text.assemble((f"{spec.namespace}/{spec.name}", "bold"), "  nothing is started"),
        pairs(_facts(settings, spec)),
        section(
            f"Retry rules, the first that matches; {spec.max_auto_retries} automatic retries in sum", rules
        ),
        Text("exit code 1, a configuration error, is never retried automatically", style="dim"),
    )


def _facts(settings: Settings, spec: BatchSpec) -> Iterator[tuple[str, str]]:
    names, job = _names(spec), spec.job
    yield "tasks", f"{len(spec.tasks)}, at most {spec.max_concurrent} active at once"
    yield "jobs", _range(names)
    yield "each", _amounts(job.resources)
    yield "at the peak", _amounts(_peak(spec))
    yield "runs", " ".join(job.local.command or job.command) or "what its image runs"
    yield "deadline", format_duration(job.deadline) if job.deadline else "none"
    yield "owner", spec.owner
    if spec.paused:
        yield "paused", "yes: 'batchkeeper resume' lets it begin"
    if ignored := ignored_here(settings, spec.document):
        yield "ignored here", f"{', '.join(ignored)}: this machine has no such thing"


def _names(spec: BatchSpec) -> list[str]:
    return [job_name(spec.name, task.id, 0) for task in spec.tasks]


def _range(names: Sequence[str]) -> str:
    if len(names) <= 2 * SHOWN_NAMES:
        return ", ".join(names)
    return f"{', '.join(names[:SHOWN_NAMES])} … {', '.join(names[-SHOWN_NAMES:])}"


def _peak(spec: BatchSpec) -> Resources:
    """What all jobs that may be active at once request together."""
    one, n = spec.job.resources, min(spec.max_concurrent, len(spec.tasks))
    return Resources(one.cpu * n, one.memory * n, one.gpu * n)


def _amounts(resources: Resources) -> str:
    return amounts(resources.cpu, resources.memory, resources.gpu)


def _resources(resources: Resources) -> dict[str, Any]:
    return {
        "cpu": format_cpu(resources.cpu),
        "memory": format_memory(resources.memory),
        "gpu": resources.gpu,
    }


def _rule(rule: RetryRule, *, own: bool) -> dict[str, Any]:
    return {
        "name": rule.name,
        "own": own,
        "on": _on(rule),
        "limit": rule.limit,
        "when": rule.when.value,
        "backoff": {
            "base": format_duration(rule.backoff.base),
            "factor": rule.backoff.factor,
            "max": format_duration(rule.backoff.max),
        },
        "resources": {name: _growth(name, grow) for name, grow in rule.resources.items()},
    }


def _on(rule: RetryRule) -> str:
    match = rule.match
    said = [
        " or ".join(verdict.value for verdict in match.verdicts),
        "exit " + " or ".join(map(str, match.exit_codes)) if match.exit_codes else "",
        "reason " + " or ".join(match.reasons) if match.reasons else "",
        f"log matches {match.logs}" if match.logs else "",
    ]
    return " and ".join(filter(None, said))


def _retries(rule: RetryRule) -> str:
    return "by hand" if rule.when.value == "manual" else str(rule.limit)


def _after(rule: RetryRule) -> str:
    backoff = rule.backoff
    waits = f"{format_duration(backoff.base)} ×{backoff.factor:g}, ≤ {format_duration(backoff.max)}"
    return waits + (", at the batch's end" if rule.when.value == "batch-end" else "")


def _grows(rule: RetryRule) -> str:
    return ", ".join(f"{name} {_growth(name, grow)}" for name, grow in rule.resources.items())


def _growth(name: str, grow: Escalation) -> str:
    most = f" up to {_WRITTEN[name](grow.max)}" if grow.max is not None else ""
    return f"×{grow.factor:g}{most}"
