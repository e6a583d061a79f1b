"""What a spec would do, before anything is done: for ``plan``."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.text import Text

from controller.cli.output import clean
from controller.cli.tables import amounts, pairs, section, table
from controller.plan_document import SHOWN_NAMES
from controller.shapes import Document


def plan_screen(plan: Document) -> RenderableType:
    """The plan for people."""
    rules = table("RULE", "ON", "RETRIES", "AFTER", "GROWS", right=("RETRIES",))
    for rule in plan["retryRules"]:
        grows = ", ".join(f"{name} {grow}" for name, grow in rule["resources"].items())
        rules.add_row(clean(rule["name"]), clean(rule["on"]), _retries(rule), _after(rule), clean(grows))
    return Group(
        Text.assemble((clean(plan["batch"]), "bold"), "  nothing is started"),
        pairs(_facts(plan)),
        section(
            f"Retry rules, the first that matches; {plan['maxAutoRetries']} automatic retries in sum", rules
        ),
        Text("exit code 1, a configuration error, is never retried automatically", style="dim"),
    )


def _facts(plan: Document) -> Iterator[tuple[str, str]]:
    yield "tasks", f"{plan['tasks']}, at most {plan['maxConcurrent']} active at once"
    yield "jobs", _range(plan)
    yield "each", amounts(plan["perJob"])
    yield "at the peak", amounts(plan["peak"])
    yield "runs", " ".join(plan["runsHere"]) or "what its image runs"
    yield "deadline", plan["deadline"] or "none"
    yield "owner", plan["owner"]
    if plan["paused"]:
        yield "paused", "yes: 'batchkeeper resume' lets it begin"
    if ignored := plan["ignoredHere"]:
        yield "ignored here", f"{', '.join(ignored)}: this machine has no such thing"


def _range(plan: Document) -> str:
    first, last = plan["firstJobs"], plan["lastJobs"]
    if plan["tasks"] <= 2 * SHOWN_NAMES:
        return ", ".join(dict.fromkeys([*first, *last]))
    return f"{', '.join(first)} … {', '.join(last)}"


def _retries(rule: Document) -> str:
    return "by hand" if rule["when"] == "manual" else str(rule["limit"])


def _after(rule: Document) -> str:
    backoff = rule["backoff"]
    waits = f"{backoff['base']} ×{backoff['factor']:g}, ≤ {backoff['max']}"
    return waits + (", at the batch's end" if rule["when"] == "batch-end" else "")
