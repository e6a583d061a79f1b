"""What a spec would do, before anything is done: for ``plan``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Group, RenderableType
from rich.text import Text

from controller.cli.output import clean
from controller.cli.tables import amounts, pairs, section, table
from controller.config import Settings
from controller.core.durations import format_duration
from controller.core.model import Resources
from controller.core.retry import BUILTIN
from controller.core.spec import BatchSpec, RetryRule
from controller.plan_document import SHOWN_NAMES, condition, growth, job_names, peak
from controller.this_machine import ignored_here


def plan_screen(settings: Settings, spec: BatchSpec) -> RenderableType:
    """The plan for people."""
    rules = table("RULE", "ON", "RETRIES", "AFTER", "GROWS", right=("RETRIES",))
    for rule in (*spec.retry, *BUILTIN):
        rules.add_row(rule.name, clean(condition(rule)), _retries(rule), _after(rule), _grows(rule))
    return Group(
        Text.assemble((f"{spec.namespace}/{spec.name}", "bold"), "  nothing is started"),
        pairs(_facts(settings, spec)),
        section(
            f"Retry rules, the first that matches; {spec.max_auto_retries} automatic retries in sum", rules
        ),
        Text("exit code 1, a configuration error, is never retried automatically", style="dim"),
    )


def _facts(settings: Settings, spec: BatchSpec) -> Iterator[tuple[str, str]]:
    names, job = job_names(spec), spec.job
    yield "tasks", f"{len(spec.tasks)}, at most {spec.max_concurrent} active at once"
    yield "jobs", _range(names)
    yield "each", _amounts(job.resources)
    yield "at the peak", _amounts(peak(spec))
    yield "runs", " ".join(job.local.command or job.command) or "what its image runs"
    yield "deadline", format_duration(job.deadline) if job.deadline else "none"
    yield "owner", spec.owner
    if spec.paused:
        yield "paused", "yes: 'batchkeeper resume' lets it begin"
    if ignored := ignored_here(settings.cluster.kind, spec.document):
        yield "ignored here", f"{', '.join(ignored)}: this machine has no such thing"


def _range(names: Sequence[str]) -> str:
    if len(names) <= 2 * SHOWN_NAMES:
        return ", ".join(names)
    return f"{', '.join(names[:SHOWN_NAMES])} … {', '.join(names[-SHOWN_NAMES:])}"


def _amounts(resources: Resources) -> str:
    return amounts(resources.cpu, resources.memory, resources.gpu)


def _retries(rule: RetryRule) -> str:
    return "by hand" if rule.when.value == "manual" else str(rule.limit)


def _after(rule: RetryRule) -> str:
    backoff = rule.backoff
    waits = f"{format_duration(backoff.base)} ×{backoff.factor:g}, ≤ {format_duration(backoff.max)}"
    return waits + (", at the batch's end" if rule.when.value == "batch-end" else "")


def _grows(rule: RetryRule) -> str:
    return ", ".join(f"{name} {growth(name, grow)}" for name, grow in rule.resources.items())
