"""The alerts as data, and where what belongs to each of them is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

ROOT = Path(__file__).parents[2]
ALERTS = ROOT / "deploy" / "helm" / "files" / "alerts.yaml"
RUNBOOKS = ROOT / "docs" / "runbooks"
RULES = Path(__file__).parent / "rules"
BASE = "https://batchkeeper.invalid/runbooks/"
"""What stands for the address of the runbooks until the chart puts the operator's in."""


@dataclass(frozen=True)
class Alert:
    """One alert."""

    name: str
    expr: str
    labels: dict[str, str]
    annotations: dict[str, str]

    @property
    def page(self) -> str:
        """Its runbook's name, which its unit test has, too."""
        return self.annotations["runbook_url"].removeprefix(BASE).removesuffix(".md")


def document() -> Any:
    """The file."""
    return YAML(typ="safe", pure=True).load(ALERTS.read_text(encoding="utf-8"))


def alerts() -> list[Alert]:
    """Every alert, in the file's order."""
    rules = [rule for group in document()["groups"] for rule in group["rules"] if "alert" in rule]
    return [Alert(rule["alert"], rule["expr"], rule["labels"], rule["annotations"]) for rule in rules]
