"""A value that is misspelt, missing or of the wrong kind is refused in one line that says what to do."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.chart.helm import CHART, TRIAL, Helm

SCHEMA = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
VALUES: dict[str, Any] = YAML(typ="safe", pure=True).load(CHART / "values.yaml")

REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "misspelt": ({"replicaz": 3}, "additional properties 'replicaz' not allowed"),
    "misspelt below": ({"image": {"repo": "x"}}, "at '/image': additional properties 'repo' not allowed"),
    "no number": ({"replicas": "two"}, "at '/replicas': got string, want integer"),
    "none of it": ({"replicas": 0}, "at '/replicas': minimum: got 0, want 1"),
    "no digest": ({"image": {"digest": "latest"}}, "at '/image/digest': 'latest' does not match pattern"),
    "no image": ({"image": {"repository": ""}}, "image.repository: name the image that you built"),
    "no mongodb": (
        {"mongodb": {"trial": {"enabled": False}}},
        "mongodb: say where the records are: mongodb.secret.name",
    ),
    "no cluster": ({"config": {"cluster": {"kind": "local"}}}, "config.cluster.kind: a pod runs jobs on its"),
    "no account": (
        {"serviceAccount": {"create": False}},
        "serviceAccount.name: name the account, or let serviceAccount.create be true",
    ),
    "namespace": ({"config": {"namespace": "x"}}, "config.namespace is written by the chart: set workNamesp"),
    "namespaces": ({"config": {"policy": {"namespaces": []}}}, "config.policy.namespaces is written by the"),
    "uri": ({"config": {"store": {"uri": "mongodb://x"}}}, "put it into a Secret and name that in mongodb.s"),
    "token file": ({"config": {"auth": {"static": {"file": "/x"}}}}, "config.auth.static is written by the"),
    "kubeconfig": ({"config": {"kubernetes": {"kubeconfig": "/x"}}}, "the pod has a service account"),
    "no port": ({"config": {"http": {"enabled": False}}}, "config.http.enabled is written by the chart"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused(helm: Helm, case: str) -> None:
    """Before anything is installed, with the value's name."""
    values, why = REFUSED[case]
    said = helm.try_template(TRIAL, **values)
    assert said.code != 0
    assert why in said.error


def objects(schema: dict[str, Any], value: Any, where: str = "") -> Iterator[tuple[str, dict[str, Any], Any]]:
    """Every value that is a group of values, with its part of the schema."""
    if schema.get("type") == "object" and "properties" in schema:
        yield where, schema, value
        for key, inner in schema["properties"].items():
            yield from objects(inner, (value or {}).get(key), f"{where}.{key}".lstrip("."))


def test_the_schema_is_closed_and_complete() -> None:
    """It names every value that there is, and no other; what it leaves open is Kubernetes' own."""
    for where, schema, value in objects(SCHEMA, VALUES):
        if where.startswith("config"):
            continue
        assert schema["additionalProperties"] is False, where
        if where.endswith("resources") or "items" in where:
            continue
        assert set(schema["properties"]) - {"global"} == set(value), where


def test_helm_reads_the_schema(helm: Helm) -> None:
    """The values as they come are good: only what has no default is missing."""
    said = helm.call("lint", str(CHART))
    assert said.code == 0, said.error
