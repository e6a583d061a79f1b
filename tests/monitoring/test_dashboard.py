"""The dashboard is what the code makes and is whole; after a real run each of its queries has an answer."""

from __future__ import annotations

import json
import math
import re
from itertools import combinations
from typing import Any

import pytest

from tests.e2e.waiting import wait_for
from tests.monitoring.alerting import BASE, RUNBOOKS
from tests.monitoring.dashboard import DASHBOARD, dashboard, text
from tests.monitoring.expressions import mistakes
from tests.monitoring.panels import WIDTH, Json
from tests.monitoring.prometheus import Prometheus, Series
from tests.monitoring.story import Told

BOARD = dashboard()
EVERY: list[Json] = BOARD["panels"]
PANELS = [panel for panel in EVERY if panel["type"] != "row"]
QUERIES = [(panel["title"], target) for panel in PANELS for target in panel["targets"]]
GIVEN = {"$__rate_interval": "10s", "$__range": "1h", "$namespace": ".*", "$job": ".*", "$batch": ".*"}
"""What Grafana puts in the place of its variables."""
SUBJECTS = (
    "active_jobs max_concurrent waiting_jobs foreign_active_jobs jobs_finished slot_refill retries repaired"
    " reaped cluster_request store_op leader cache_age reconcile_seconds invariant_violations submissions"
).split()
"""What must be seen on it."""


def asked(expression: str) -> str:
    """The query as Grafana sends it."""
    for name, value in GIVEN.items():
        expression = expression.replace(name, value)
    return expression


def test_the_file_is_what_the_code_makes() -> None:
    """`python -m tests.monitoring.dashboard` writes it anew."""
    assert DASHBOARD.read_text(encoding="utf-8") == text()


def test_it_can_be_found_and_chosen() -> None:
    """A fixed uid, tags, a variable for datasource, installation and batch, which all queries heed."""
    assert BOARD["uid"] == "batchkeeper"
    assert "batchkeeper" in BOARD["tags"]
    variables = [variable["name"] for variable in BOARD["templating"]["list"]]
    assert variables == ["datasource", "namespace", "job", "batch"]
    used = set(re.findall(r"\$(\w+)", json.dumps([target["expr"] for _, target in QUERIES])))
    assert used == {name.removeprefix("$") for name in GIVEN}
    for panel in PANELS:
        assert panel["datasource"]["uid"] == "${datasource}"
    for title, target in QUERIES:
        ours = re.findall(r"\b(?:batchkeeper|process)_\w+(\{[^}]*\})?", target["expr"])
        assert all('job=~"$job"' in selector for selector in ours), title


def test_no_two_panels_share_a_place() -> None:
    """Each has an id and a place of its own, within the grid; the top row begins with the leader."""
    assert len({panel["id"] for panel in EVERY}) == len(EVERY)
    places = [panel["gridPos"] for panel in EVERY]
    for one, other in combinations(places, 2):
        apart = (
            one["x"] + one["w"] <= other["x"]
            or other["x"] + other["w"] <= one["x"]
            or one["y"] + one["h"] <= other["y"]
            or other["y"] + other["h"] <= one["y"]
        )
        assert apart, (one, other)
    assert max(place["x"] + place["w"] for place in places) == WIDTH
    assert [panel["title"] for panel in EVERY[:2]] == ["Is all well?", "Leader"]
    assert sum(panel["gridPos"]["w"] for panel in EVERY[1:9]) == WIDTH


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: str(panel["title"]))
def test_a_panel_explains_itself(panel: Json) -> None:
    """A title, a sentence, a unit, thresholds; its runbook's page exists; its metrics and labels exist."""
    defaults = panel["fieldConfig"]["defaults"]
    assert len(panel["description"]) > 20
    assert defaults["unit"]
    assert defaults["thresholds"]["steps"][0]["value"] is None
    for link in panel.get("links", ()):
        assert (RUNBOOKS / link["url"].removeprefix(BASE)).exists()
    for target in panel["targets"]:
        assert not list(mistakes(target["expr"]))


def test_everything_that_must_be_seen_is_there() -> None:
    """What operators were promised."""
    shown = " ".join(target["expr"] for _, target in QUERIES)
    assert not [subject for subject in SUBJECTS if f"batchkeeper_{subject}" not in shown]
    alerts = {page.stem for page in RUNBOOKS.glob("*.md")} - {"README"}
    links = [link["url"] for panel in PANELS for link in panel.get("links", ())]
    assert {link.removeprefix(BASE).removesuffix(".md") for link in links} == alerts


@pytest.mark.parametrize(
    ("title", "target"), QUERIES, ids=[f"{title}-{target['refId']}" for title, target in QUERIES]
)
def test_every_query_has_an_answer(run: Told, title: str, target: Json) -> None:
    """After a run in which everything happened, a real Prometheus has numbers for it, not only series."""
    expression = asked(target["expr"])
    wait_for(f"an answer to {expression}", lambda: numbers(run.prometheus, expression, target["instant"]), 20)


def numbers(server: Prometheus, expression: str, instant: bool) -> list[float]:
    """What it answers that is a number."""
    found: list[Series] = server.ask(expression) if instant else server.over_time(expression)
    values: Any = [value for one in found for _, value in one.samples]
    return [value for value in values if math.isfinite(value)]
