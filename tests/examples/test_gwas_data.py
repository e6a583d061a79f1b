"""The example's committed files are exactly what its scripts write."""

import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from examples.gwas import make_data

GWAS = Path(make_data.__file__).parent


def test_the_data_set_is_what_its_script_writes(tmp_path: Path) -> None:
    """Running make_data.py again gives the committed files, byte for byte, and no others."""
    make_data.make_data(tmp_path)
    written = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    committed = {path.name: path.read_bytes() for path in (GWAS / "data").iterdir()}
    assert written.keys() == committed.keys()
    assert [name for name in written if written[name] != committed[name]] == []


def test_the_expectation_is_what_its_script_writes(tmp_path: Path) -> None:
    """A change of faults, limits or planted traits can't leave expected.yaml behind."""
    target = tmp_path / "expected.yaml"
    subprocess.run([sys.executable, str(GWAS / "make_expected.py"), str(target)], check=True)
    assert target.read_text(encoding="utf-8") == (GWAS / "expected.yaml").read_text(encoding="utf-8")


def test_the_data_set_stays_small() -> None:
    """A clone must not pay for the example."""
    assert sum(path.stat().st_size for path in (GWAS / "data").iterdir()) < 1_500_000


def test_every_trait_of_the_spec_has_its_column() -> None:
    """The spec's range is the phenotype table's columns, all of them."""
    with (GWAS / "data" / "phenotypes.csv").open(encoding="utf-8") as file:
        header = file.readline().rstrip("\n").split(",")
    spec = YAML(typ="safe", pure=True).load(GWAS / "traits.yaml")
    assert spec["tasks"]["range"] == {"name": "TRAIT_INDEX", "from": 2, "to": len(header)}
    assert header == ["Taxa", *make_data.trait_names()]


def test_no_two_faults_meet_in_one_task() -> None:
    """Each planted fault shows one path through the retries, so none may hide another."""
    faults = YAML(typ="safe", pure=True).load(GWAS / "faults.yaml")
    broken = {int(task) for task in faults["mountFailures"]["gwas-trait"]}
    others = {make_data.TEXT_TRAIT, make_data.CONSTANT_TRAIT, make_data.PERMUTED_TRAIT}
    assert len(others) == 3
    assert not broken & others
    assert broken | others <= set(range(2, 188))


@pytest.mark.parametrize(
    ("total", "number"),
    [("found", 186), ("succeeded", 183), ("succeeded_after_retry", 10), ("failed", 3), ("skipped", 2)],
)
def test_the_expected_totals_are_those_of_the_story(total: str, number: int) -> None:
    """The numbers that the documentation tells are those of the committed expectation."""
    assert YAML(typ="safe").load(GWAS / "expected.yaml")["totals"][total] == number
