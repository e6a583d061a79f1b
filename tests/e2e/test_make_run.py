"""The path of ``make run``: the example sweep, reduced to the traits that make it interesting."""

from __future__ import annotations

import asyncio
import importlib
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from ruamel.yaml import YAML

from controller.adapters.mongod import acquire
from tests.e2e.history import most_at_once, starts
from tests.e2e.place import Place
from tests.e2e.process import ROOT, run

EXAMPLE = ROOT / "examples" / "gwas"
FAULTY = (19, 37, 44, 58, 76, 101, 112, 133)
"""Mounts that fail once, once, twice, for ever and twice; two configuration errors; one short of memory."""
TRAITS = tuple(sorted({*FAULTY, *range(2, 18)}))


@pytest.fixture(scope="module")
def expectation() -> Iterator[ModuleType]:
    """The example's own module that works out how the sweep must end."""
    sys.path.insert(0, str(EXAMPLE))
    try:
        yield importlib.import_module("make_expected")
    finally:
        sys.path.remove(str(EXAMPLE))


def read(path: Path) -> Any:
    """A YAML file."""
    return YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))


def write(path: Path, document: Any) -> None:
    """Write a YAML file."""
    with path.open("w", encoding="utf-8") as file:
        YAML(typ="safe", pure=True).dump(document, file)


def reduced(folder: Path) -> dict[str, Any]:
    """A copy of the example in this folder, with fewer traits; its spec."""
    for name in ("config.yaml", "faults.yaml", "scan.py"):
        shutil.copy(EXAMPLE / name, folder / name)
    shutil.copytree(EXAMPLE / "data", folder / "data")
    spec: dict[str, Any] = read(EXAMPLE / "traits.yaml")
    spec["tasks"] = {"list": [{"id": str(trait), "TRAIT_INDEX": str(trait)} for trait in TRAITS]}
    write(folder / "traits.yaml", spec)
    return spec


def expected(make: ModuleType, spec: dict[str, Any]) -> dict[str, Any]:
    """How these traits must end, from what was planted in them."""
    whole = {**spec, "tasks": {"range": {"from": min(TRAITS), "to": max(TRAITS)}}}
    ends = make.expected_ends(whole, make.load("faults.yaml"))
    mine = {str(trait): ends[str(trait)] for trait in TRAITS}
    sums = make.totals(mine.values())
    return {
        "batch": spec["name"],
        "result": make.result(sums),
        "totals": sums,
        "tasks": {task: vars(end) for task, end in mine.items()},
    }


def test_the_example_ends_as_expected_task_by_task(root: Path, expectation: ModuleType) -> None:
    """``run --expect`` exits with 0 when the report equals the expectation; with 1, and one line for each
    difference, when it does not; and the oracle finds nothing wrong with the run."""
    spec = reduced(root)
    wanted = expected(expectation, spec)
    write(root / "expected.yaml", wanted)
    hold = asyncio.run(acquire(root / "state"))
    try:
        place = Place(root, hold.uri, "batchkeeper", keep=True)
        place.expect(spec)
        try:
            _runs_as_expected(place)
            _differs(place, wanted)
            place.close()
        finally:
            place.tidy()
    finally:
        asyncio.run(hold.release())


COMMAND = ("run", "traits.yaml", "--config", "config.yaml", "--expect")


def _runs_as_expected(place: Place) -> None:
    ran = run(place.root, *COMMAND, "expected.yaml", timeout=170)
    assert ran.code == 0, ran.out + ran.err
    assert f"{len(TRAITS)} tasks" in ran.err
    assert set(starts(place.history()).values()) == {1}
    assert most_at_once(place.history(), lambda name: True) <= 8
    scans = {path.name for path in (place.root / "out").iterdir()}
    assert scans == {f"trait_{trait}.csv" for trait in TRAITS if trait not in (44, 101, 133)}


def _differs(place: Place, wanted: dict[str, Any]) -> None:
    """The run is over, so that the same command tells its report again, and compares it."""
    other = {**wanted, "tasks": {**wanted["tasks"]}}
    other["tasks"]["2"] = {"status": "error", "verdict": "mount-failure", "attempts": 4}
    other["tasks"]["101"] = {**wanted["tasks"]["101"], "attempts": 2}
    write(place.root / "other.yaml", other)
    ran = run(place.root, *COMMAND, "other.yaml", timeout=100)
    assert ran.code == 1
    lines = [line for line in ran.err.splitlines() if "not as expected" in line]
    assert [line for line in lines if " 2" in line]
    assert [line for line in lines if "101" in line]
    assert not [line for line in lines if " 3" in line and "101" not in line]
    assert len(starts(place.history())) == len(place.jobs("gwas-trait"))
