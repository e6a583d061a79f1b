"""The Grafana dashboard of the chart, as code: ``python -m tests.monitoring.dashboard`` writes it anew.

The top row says at a glance whether all is well; below it, from the work to the machinery: batches, places
and passes, retries, the cluster and the store, the controller itself.
"""

from __future__ import annotations

import json
from pathlib import Path

from tests.monitoring.alerting import BASE, ROOT
from tests.monitoring.panels import BLUE, SOURCE, Json, laid_out
from tests.monitoring.rows import (
    US,
    all_is_well,
    batches,
    cluster_and_store,
    controller,
    places_and_passes,
    retries,
)

DASHBOARD = ROOT / "deploy" / "helm" / "files" / "dashboard.json"


def variables() -> list[Json]:
    """What is chosen at the top: the datasource, the installation, the batches."""
    info = "batchkeeper_build_info"
    return [
        {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus"},
        _of_label("namespace", "Namespace", f"label_values({info}, namespace)"),
        _of_label("job", "Installation", f'label_values({info}{{namespace=~"$namespace"}}, job)'),
        _of_label("batch", "Batch", f"label_values(batchkeeper_active_jobs{{{US}}}, batch)"),
    ]


def _of_label(name: str, label: str, asked: str) -> Json:
    """All of them at first; without the label, as outside a cluster, `.*` matches what has none."""
    return {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": SOURCE,
        "definition": asked,
        "query": {"query": asked, "refId": name},
        "refresh": 2,
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"selected": True, "text": ["All"], "value": ["$__all"]},
    }


def dashboard() -> Json:
    """All of it."""
    changes = {
        "name": "Changes of leader",
        "datasource": SOURCE,
        "enable": True,
        "iconColor": BLUE,
        "expr": f"changes(batchkeeper_leader{{{US}}}[1m]) > 0",
        "titleFormat": "leader changes",
        "textFormat": "{{instance}}",
    }
    return {
        "uid": "batchkeeper",
        "title": "Batchkeeper",
        "description": "Batches of jobs, and the controller that keeps them going. Top row: is all well?",
        "tags": ["batchkeeper", "batch", "kubernetes"],
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "timezone": "browser",
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "links": [{"title": "Runbooks", "type": "link", "url": f"{BASE}README.md", "targetBlank": True}],
        "annotations": {"list": [changes]},
        "templating": {"list": variables()},
        "panels": laid_out(
            [
                ("Is all well?", all_is_well()),
                ("Batches", batches()),
                ("Places and passes", places_and_passes()),
                ("Retries, repair, reaper", retries()),
                ("The cluster and the store", cluster_and_store()),
                ("The controller", controller()),
            ]
        ),
    }


def text() -> str:
    """As the file has it."""
    return json.dumps(dashboard(), indent=1, ensure_ascii=False) + "\n"


def write(path: Path = DASHBOARD) -> None:
    """Write the file anew."""
    path.write_text(text(), encoding="utf-8")


if __name__ == "__main__":
    write()
