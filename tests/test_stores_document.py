"""docs/stores.md says what the code does: its limits, its settings, the names that it shows."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from controller.adapters import spec_bucket_client, spec_configmap, spec_configmap_status, spec_rounds
from controller.adapters.kube_access import EVENT_RULES, SPEC_RULES
from controller.adapters.spec_directory_names import status_path
from controller.config import Settings
from controller.config.specs import ConfigMaps, Specs

TEXT = (Path(__file__).parents[1] / "docs" / "stores.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_examples_are_settings(example: str) -> None:
    """Each can be put into config.yaml as it stands."""
    specs = Specs.model_validate(YAML(typ="safe").load(example)["specs"])
    assert specs != Settings().specs


def test_the_limits_are_the_codes() -> None:
    """With the units in which people think."""
    in_maps = dict(
        re.findall(r"^\| (a spec in a.*|all of .*|the annotation) \| (\d+ \w+) \|", TEXT, re.MULTILINE)
    )
    assert in_maps == {
        "a spec in a ConfigMap": f"{spec_rounds.SPEC_LIMIT // 1024} KiB",
        "all of them together": f"{spec_configmap.MAX_BYTES // 2**20} MiB",
        "the annotation": f"{spec_configmap_status.LIMIT // 1024} KiB",
    }
    limits = dict(
        re.findall(r"^\| (a spec|a csv|objects below the prefix) \| ([\d,]+(?: \w+)?) \|", TEXT, re.M)
    )
    assert limits == {
        "a spec": f"{spec_rounds.SPEC_LIMIT // 1024} KiB",
        "a csv": f"{spec_rounds.BESIDE_LIMIT // 2**20} MiB",
        "objects below the prefix": f"{spec_bucket_client.MAX_OBJECTS:,}",
    }
    assert f"one request for each {spec_bucket_client.PAGE:,} objects" in TEXT


def test_the_names_are_the_codes() -> None:
    """Where a status stands, and how deep specs are looked for."""
    assert f"object `{status_path('specs/team/sweep.yaml')}`" in TEXT
    assert spec_rounds.is_watched("1/2/3/a.yaml")
    assert not spec_rounds.is_watched("1/2/3/4/a.yaml")
    assert "three levels deeper" in TEXT


def test_the_events_are_the_codes() -> None:
    """Every reason, with its type."""
    told = dict(re.findall(r"^\| `(\w+)` \| (Normal|Warning) \|", TEXT, re.MULTILINE))
    assert told == {
        reason.value: "Warning" if reason in spec_configmap_status.WARNINGS else "Normal"
        for reason in spec_configmap_status.SpecReason
    }


def test_the_rights_are_the_codes() -> None:
    """Every verb that the daemon asks for."""
    told = re.findall(r"^\| `(\w+)` (?:([\w.]+)/)?(\w+) \|", TEXT, re.MULTILINE)
    asked = [
        (verb, right.group, right.resource) for right in (*SPEC_RULES, *EVENT_RULES) for verb in right.verbs
    ]
    assert [(verb, group, resource) for verb, group, resource in told] == asked


def test_the_label_and_the_annotation_are_the_codes() -> None:
    """What people type."""
    label = ConfigMaps().selector
    assert TEXT.count(label) == 2
    assert f"`{spec_configmap_status.ANNOTATION}`" in TEXT
    assert spec_configmap_status.ANNOTATION.replace(".", "\\.", 1) in TEXT
