"""docs/stores.md says what the code does: its limits, its settings, the names that it shows."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from controller.adapters import spec_bucket_client, spec_rounds
from controller.adapters.spec_directory_names import status_path
from controller.config import Settings
from controller.config.specs import Specs

TEXT = (Path(__file__).parents[1] / "docs" / "stores.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_examples_are_settings(example: str) -> None:
    """Each can be put into config.yaml as it stands."""
    specs = Specs.model_validate(YAML(typ="safe").load(example)["specs"])
    assert specs != Settings().specs


def test_the_limits_are_the_codes() -> None:
    """With the units in which people think."""
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
