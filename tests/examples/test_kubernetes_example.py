"""The example for a cluster: its configuration loads, and its spec is what that allows."""

from __future__ import annotations

from pathlib import Path

from controller.config import load
from controller.config.policy import policy_of
from controller.core.policy import breaches
from controller.reading import read_spec_file

FOLDER = Path(__file__).parents[2] / "examples" / "kubernetes"


async def test_the_spec_is_what_the_configuration_allows() -> None:
    """186 traits, 50 at a time, with an owner that the map names."""
    settings = load(FOLDER / "config.yaml")
    reading = await read_spec_file(settings, FOLDER / "traits.yaml", user="local:somebody")
    assert reading.problems == ()
    assert reading.spec is not None
    assert (len(reading.spec.tasks), reading.spec.max_concurrent) == (186, 50)
    assert reading.spec.owner == "gwas-team"
    assert breaches(reading.spec, policy_of(settings)) == ()
