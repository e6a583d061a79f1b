"""Two installations on one dashboard, as it is at first: what it shows is of both, and of each apart."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from tests.monitoring.panels import Json
from tests.monitoring.prometheus import program
from tests.monitoring.test_dashboard import PANELS, asked

OF_BATCHES = {
    "active_jobs": (3, 5),
    "max_concurrent": (4, 8),
    "waiting_jobs": (10, 20),
    "foreign_active_jobs": (1, 2),
    'jobs_finished_total{status="completed",verdict="succeeded"}': (7, 9),
}
"""What the leader of each installation tells of its batch `traits`."""
OF_ALL = {"retry_lifecycle_incomplete": (1, 2), "quarantined_specs": (3, 4)}
JOBS = ("one", "two")
Samples = Sequence[tuple[str, float]]
"""What a query answers: labels and values."""


def labelled(name: str, **labels: str) -> str:
    """A series, with these labels beside those that its name has already."""
    name, _, given = name.partition("{")
    told = ",".join(f'{label}="{value}"' for label, value in labels.items())
    return f"batchkeeper_{name}{{{told}{',' + given if given else '}'}"


def both(metrics: Mapping[str, tuple[int, int]], **labels: str) -> dict[str, int]:
    """Each metric of both installations, as the replica `a` of each tells it."""
    return {
        labelled(name, namespace="lab", job=job, instance="a", **labels): value
        for name, values in metrics.items()
        for job, value in zip(JOBS, values, strict=True)
    }


def expressions(kind: str, title: str) -> list[str]:
    """What a panel asks, as Grafana sends it."""
    (panel,) = [panel for panel in PANELS if (panel["type"], panel["title"]) == (kind, title)]
    return [asked(target["expr"]) for target in panel["targets"]]


def answered(folder: Path, series: Mapping[str, int], answers: Sequence[tuple[str, Samples]]) -> None:
    """A real Prometheus with these series gives these answers, and no others."""
    document: Json = {
        "evaluation_interval": "30s",
        "tests": [
            {
                "interval": "30s",
                "input_series": [{"series": name, "values": f"{n}x20"} for name, n in series.items()],
                "promql_expr_test": [
                    {
                        "expr": expression,
                        "eval_time": "5m",
                        "exp_samples": [{"labels": labels, "value": value} for labels, value in samples],
                    }
                    for expression, samples in answers
                ],
            }
        ],
    }
    path = folder / "series.yaml"
    path.write_text(json.dumps(document), encoding="utf-8")
    command = [program("promtool"), "test", "rules", str(path)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def of_each(values: tuple[int, int]) -> Samples:
    """One answer of each installation, under its own labels."""
    return [
        (f'{{namespace="lab",job="{job}",batch="traits"}}', value)
        for job, value in zip(JOBS, values, strict=True)
    ]


def test_a_sum_over_batches_is_that_of_both(tmp_path: Path) -> None:
    """Two batches of one name in two installations are two: one of them was left out of every sum."""
    (places,), (line,) = expressions("stat", "Places taken"), expressions("stat", "In line")
    opened, _ = expressions("timeseries", "Retries whose lifecycle is open")
    _, refused = expressions("timeseries", "Specs")
    answers: list[tuple[str, Samples]] = [
        (places, [("{}", 8 / 12)]),
        (line, [("{}", 30)]),
        (opened, [("{}", 3)]),
        (refused, [("{}", 7)]),
    ]
    answered(tmp_path, both(OF_BATCHES, batch="traits") | both(OF_ALL), answers)


def test_each_batch_has_its_own_line_and_row(tmp_path: Path) -> None:
    """Batches of one name are told apart by their installations; a row's columns have the same labels."""
    active, bound = expressions("timeseries", "Active jobs and their bound")
    (line,), (others,) = expressions("timeseries", "In line"), expressions("timeseries", "Jobs of others")
    columns = expressions("table", "Batches now")
    running, most, waiting, foreign, ended = map(of_each, OF_BATCHES.values())
    row = zip(columns, (waiting, running, most, ended), strict=True)
    answers = [(active, running), (bound, most), (line, waiting), (others, foreign), *row]
    answered(tmp_path, both(OF_BATCHES, batch="traits"), answers)


@pytest.mark.parametrize(
    ("leaders", "shown"),
    [((1, 1), 1), ((2, 1), 2), ((1, 0), 0), ((2, 0), 2)],
    ids=["one each", "two of one", "none of one", "two and none"],
)
def test_leaders_are_counted_in_each_installation(
    tmp_path: Path, leaders: tuple[int, int], shown: int
) -> None:
    """One leader of each is one, not two; two of one and none of the other do not even out."""
    series = {
        labelled("leader", namespace="lab", job=job, instance=instance): int(n < leading)
        for job, leading in zip(JOBS, leaders, strict=True)
        for n, instance in enumerate("ab")
    }
    (expression,) = expressions("stat", "Leader")
    answered(tmp_path, series, [(expression, [("{}", shown)])])
