"""Every alert fires when it should, names only what there is, and has a page that helps whoever is called."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import typer.main

from controller.cli.tree import app
from tests.monitoring.alerting import ALERTS, BASE, RULES, RUNBOOKS, Alert, alerts
from tests.monitoring.expressions import declared, mistakes
from tests.monitoring.prometheus import program

EVERY = alerts()
PAGES = sorted(path for path in RUNBOOKS.glob("*.md") if path.name != "README.md")
HEADINGS = ["What it means.", "Look.", "Do.", "Harmless when"]
PAGED = {"over-cap", "invariant-violation", "two-leaders", "no-leader", "stalled-reconcile", "store-down"}
"""What somebody is woken for: work stands still everywhere, or a safety rule is broken."""


def named(alert: Alert) -> str:
    """How a test of this alert is called."""
    return alert.page


@pytest.mark.parametrize("alert", EVERY, ids=named)
def test_it_fires_when_it_should_and_ends(alert: Alert) -> None:
    """Prometheus' own rule tests: fires, does not fire just below, and resolves."""
    ran = subprocess.run(
        [program("promtool"), "test", "rules", str(RULES / f"{alert.page}.yaml")],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_prometheus_takes_the_file() -> None:
    """Its expressions and templates are right as far as Prometheus can tell."""
    ran = subprocess.run(
        [program("promtool"), "check", "rules", "--lint=all", "--lint-fatal", str(ALERTS)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.mark.parametrize("alert", EVERY, ids=named)
def test_it_names_what_there_is(alert: Alert) -> None:
    """Metrics and labels of the expression are declared; a renamed one would never fire again."""
    assert not list(mistakes(alert.expr))


@pytest.mark.parametrize("alert", EVERY, ids=named)
def test_it_tells_what_is_needed_at_night(alert: Alert) -> None:
    """A severity, one line, an explanation, and the address of a page that the chart can put in place."""
    assert alert.labels["severity"] == ("critical" if alert.page in PAGED else "warning")
    assert set(alert.annotations) == {"summary", "description", "runbook_url"}
    assert len(alert.annotations["summary"]) < 100
    assert alert.annotations["runbook_url"] == f"{BASE}{alert.page}.md"


def test_every_alert_has_its_page_and_its_unit_test() -> None:
    """And every page and every unit test has its alert."""
    pages = sorted(alert.page for alert in EVERY)
    assert [path.stem for path in PAGES] == pages
    assert sorted(path.stem for path in RULES.glob("*.yaml")) == pages
    row = r"^\| (\w+) \| \[([\w-]+)\]\(\2\.md\) \| (\w+) \|$"
    listed = re.findall(row, _read(RUNBOOKS / "README.md"), re.M)
    assert listed == [(alert.name, alert.page, alert.labels["severity"]) for alert in EVERY]


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.stem))
def test_a_page_has_what_is_looked_for(page: Path) -> None:
    """The alert's name, four parts in the same order, metrics that exist, commands that exist."""
    text = _read(page)
    (alert,) = [alert for alert in EVERY if alert.page == page.stem]
    assert text.startswith(f"# {alert.name}\n")
    assert [found for found in re.findall(r"^\*\*([^*]+)\*\*", text, re.M) if found in HEADINGS] == HEADINGS
    assert not set(re.findall(r"\bbatchkeeper_\w+", text)) - set(declared())
    assert not list(_unknown_commands(text))


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def _unknown_commands(text: str) -> list[str]:
    """Commands and options of ours in a page that the command line does not have."""
    root: Any = typer.main.get_command(app)
    unknown = []
    for line in re.findall(r"`batchkeeper ([^`]+)`", text):
        command = root.commands.get(line.split()[0])
        known = {option for each in command.params for option in each.opts} if command else set()
        if command is None or set(re.findall(r"(?<!\S)--?[a-z][a-z-]*", line)) - known:
            unknown.append(line)
    return unknown
