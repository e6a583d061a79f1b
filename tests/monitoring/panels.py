"""The few words in which the dashboard is written: Grafana's panels as plain data, laid out on its grid."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tests.monitoring.alerting import BASE

Json = dict[str, Any]

SOURCE: Json = {"type": "prometheus", "uid": "${datasource}"}
WIDTH = 24
"""Columns of Grafana's grid."""
GREEN, AMBER, RED, BLUE = "green", "orange", "red", "blue"
ZERO_IS_GOOD: tuple[tuple[float | None, str], ...] = ((None, GREEN), (1, RED))


def query(expr: str, legend: str = "", *, instant: bool = False, table: bool = False) -> Json:
    """One query of a panel; its letter is given when the panel is made."""
    return {
        "datasource": SOURCE,
        "editorMode": "code",
        "expr": expr,
        "legendFormat": legend or "__auto",
        "instant": instant,
        "range": not instant,
        "format": "table" if table else "time_series",
    }


def panel(
    kind: str,
    title: str,
    description: str,
    queries: Sequence[Json],
    *,
    unit: str = "short",
    size: tuple[int, int] = (12, 8),
    runbook: str = "",
    custom: Json | None = None,
    thresholds: Sequence[tuple[float | None, str]] = ((None, GREEN),),
    options: Json | None = None,
    **defaults: Any,
) -> Json:
    """A panel of any kind; place and id are given when the dashboard is laid out."""
    steps = [{"value": value, "color": color} for value, color in thresholds]
    links = [{"title": f"Runbook: {runbook}", "url": f"{BASE}{runbook}.md", "targetBlank": True}]
    return {
        "type": kind,
        "title": title,
        "description": description,
        "datasource": SOURCE,
        "targets": [{"refId": chr(ord("A") + n), **one} for n, one in enumerate(queries)],
        "gridPos": {"w": size[0], "h": size[1]},
        "fieldConfig": {
            "defaults": {
                "unit": unit,
                "color": {"mode": "thresholds" if len(steps) > 1 else "palette-classic"},
                "thresholds": {"mode": "absolute", "steps": steps},
                "custom": custom or {},
                **defaults,
            },
            "overrides": [],
        },
        "options": options or {},
        **({"links": links} if runbook else {}),
    }


def stat(title: str, description: str, expr: str, **more: Any) -> Json:
    """One number, coloured by what it means: the top row."""
    options = {
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "colorMode": "background",
        "graphMode": more.pop("graph", "none"),
        "textMode": "value",
        "justifyMode": "center",
    }
    return panel("stat", title, description, [query(expr)], size=(3, 4), options=options, **more)


def lines(title: str, description: str, *queries: Json, stack: bool = False, **more: Any) -> Json:
    """Lines over time; stacked where their sum means something."""
    custom = {
        "drawStyle": "line",
        "lineWidth": 1,
        "fillOpacity": 30 if stack else 8,
        "showPoints": "never",
        "spanNulls": False,
        "stacking": {"mode": "normal" if stack else "none", "group": "A"},
        "axisSoftMin": 0,
    }
    options = {
        "legend": {"displayMode": "table", "placement": "right", "calcs": ["lastNotNull", "max"]},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
    return panel("timeseries", title, description, queries, custom=custom, options=options, **more)


def bars(title: str, description: str, one: Json, **more: Any) -> Json:
    """One bar for each label, over the whole time that is shown."""
    options = {
        "orientation": "horizontal",
        "displayMode": "basic",
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
    }
    return panel("bargauge", title, description, [one], options=options, min=0, **more)


def timeline(title: str, description: str, one: Json, **more: Any) -> Json:
    """States over time, one row for each label."""
    options = {"showValue": "never", "mergeValues": True, "rowHeight": 0.8}
    return panel("state-timeline", title, description, [one], options=options, **more)


def table(title: str, description: str, columns: Sequence[tuple[str, str]], **more: Any) -> Json:
    """One row for each batch: the columns are instant queries, joined by their labels."""
    made = panel(
        "table",
        title,
        description,
        [query(expr, instant=True, table=True) for _, expr in columns],
        options={"showHeader": True, "sortBy": [{"displayName": columns[0][0], "desc": True}]},
        **more,
    )
    names = {f"Value #{chr(ord('A') + n)}": name for n, (name, _) in enumerate(columns)}
    names["job"] = "installation"
    made["transformations"] = [
        {"id": "merge", "options": {}},
        {"id": "organize", "options": {"excludeByName": {"Time": True}, "renameByName": names}},
    ]
    return made


def dashed(made: Json, pattern: str) -> Json:
    """The same panel; lines whose names match are a dashed bound without a filling."""
    look = {"lineStyle": {"fill": "dash", "dash": [8, 6]}, "fillOpacity": 0, "lineWidth": 2}
    properties = [{"id": f"custom.{name}", "value": value} for name, value in look.items()]
    made["fieldConfig"]["overrides"].append(
        {"matcher": {"id": "byRegexp", "options": pattern}, "properties": properties}
    )
    return made


def laid_out(rows: Sequence[tuple[str, Sequence[Json]]]) -> list[Json]:
    """Rows with their titles, panels from left to right, each with its place and its id."""
    placed: list[Json] = []
    y = 0
    for title, panels in rows:
        place = {"x": 0, "y": y, "w": WIDTH, "h": 1}
        placed.append({"type": "row", "title": title, "collapsed": False, "panels": [], "gridPos": place})
        x, y, height = 0, y + 1, 0
        for one in panels:
            size = one["gridPos"]
            if x + size["w"] > WIDTH:
                x, y, height = 0, y + height, 0
            placed.append({**one, "gridPos": {"x": x, "y": y, **size}})
            x, height = x + size["w"], max(height, size["h"])
        y += height
    return [{"id": number, **one} for number, one in enumerate(placed, start=1)]
