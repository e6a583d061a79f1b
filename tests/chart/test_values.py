"""A value that is misspelt, missing or of the wrong kind is refused in one line that says what to do."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.chart.helm import CHART, TRIAL, Helm
from tests.chart.schema import SCHEMA as SCHEMA_FILE
from tests.chart.schema import rendered

SCHEMA = json.loads(SCHEMA_FILE.read_text(encoding="utf-8"))
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
    "two mongodbs": (
        {"mongodb": {"secret": {"name": "records"}}},
        "mongodb.secret.name and mongodb.trial.enabled name two places for the records: keep one",
    ),
    "no cluster": ({"config": {"cluster": {"kind": "local"}}}, "config.cluster.kind: a pod runs jobs on its"),
    "no account": (
        {"serviceAccount": {"create": False}},
        "serviceAccount.name: name the account, or let serviceAccount.create be true",
    ),
    "namespace": ({"config": {"namespace": "x"}}, "config.namespace is not for values: set workNamesp"),
    "namespaces": (
        {"config": {"policy": {"namespaces": []}}},
        "config.policy.namespaces is not for values: set",
    ),
    "uri": ({"config": {"store": {"uri": "mongodb://x"}}}, "put it into a Secret and name that in mongodb.s"),
    "webhook": ({"config": {"notifications": {"url": "https://x"}}}, "it is a secret: mount it by extraVol"),
    "token file": (
        {"config": {"auth": {"static": {"file": "/x"}}}},
        "config.auth.static is not for values: set",
    ),
    "kubeconfig": ({"config": {"kubernetes": {"kubeconfig": "/x"}}}, "the pod has a service account"),
    "no key of the daemon's": (
        {"config": {"reconcile": {"intervall": "5s"}}},
        "at '/config/reconcile': additional properties 'intervall' not allowed",
    ),
    "no key of a rule's": (
        {"config": {"specs": {"owners": [{"namespace": "x", "usr": "ada"}]}}},
        "at '/config/specs/owners/0': additional properties 'usr' not allowed",
    ),
    "no word of the daemon's": (
        {"config": {"auth": {"token_review": {"enabled": False}}}},
        "at '/config/auth/token_review/enabled': value must be one of 'auto', 'off'",
    ),
    "nobody's port": ({"config": {"http": {"host": "127.0.0.1"}}}, "config.http.host is 127.0.0.1, where no"),
    "any port": ({"config": {"http": {"port": 0}}}, "config.http.port is 0, any free one, which no probe"),
    "a claim to read": (
        {"specs": {"enabled": True, "accessMode": "ReadOnlyMany"}},
        "specs.accessMode is ReadOnlyMany, and no status can be written there: set specs.readOnly=true",
    ),
    "no port": (
        {"config": {"http": {"enabled": False}}},
        "config.http.enabled is not for values: leave it out",
    ),
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
            if key == "config":  # made of the daemon's settings, whose defaults are not the chart's
                continue
            yield from objects(inner, (value or {}).get(key), f"{where}.{key}".lstrip("."))


def test_the_schema_is_closed_and_complete() -> None:
    """It names every value that there is, and no other; what it leaves open is Kubernetes' own."""
    for where, schema, value in objects(SCHEMA, VALUES):
        assert schema["additionalProperties"] is False, where
        if where.endswith("resources") or "items" in where:
            continue
        assert set(schema["properties"]) - {"global"} == set(value), where


REFUSED_KEYS = (
    ("store", "uri"),
    ("store", "mongod"),
    ("specs", "folder"),
    ("policy", "namespaces"),
    ("kubernetes", "kubeconfig"),
    ("kubernetes", "context"),
    ("notifications", "url"),
    ("http", "enabled"),
    ("http", "host"),
    ("auth", "static"),
)
"""What the chart writes itself, or refuses as it is shipped."""


def test_the_daemons_own_keys_are_in_the_schema() -> None:
    """Those of its settings, as they are now."""
    text = SCHEMA_FILE.read_text(encoding="utf-8")
    assert rendered(text) == text, "python -m tests.chart.schema writes it anew"
    assert "reconcile" in SCHEMA["properties"]["config"]["properties"]


def test_all_that_the_daemon_takes_is_taken(helm: Helm) -> None:
    """The configuration that is shipped, with every key that there is but those of the chart, passes."""
    config = YAML(typ="safe", pure=True).load(CHART.parents[1] / "config.yaml")
    for mine in ("namespace", "state_dir", "local"):
        del config[mine]
    for section, key in REFUSED_KEYS:
        del config[section][key]
    config["cluster"]["kind"] = "kubernetes"
    said = helm.try_template(TRIAL, config=config)
    assert said.code == 0, said.error


def test_helm_reads_the_schema(helm: Helm) -> None:
    """The values as they come are good: only what has no default is missing."""
    said = helm.call("lint", str(CHART))
    assert said.code == 0, said.error
