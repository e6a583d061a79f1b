"""docs/spec.md tells the truth: its specs are valid, its tables name every field with its real default."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from controller.core.durations import format_duration
from controller.core.model import Verdict
from controller.core.rules import BUILTIN
from controller.specfile import json_schema, tasks
from controller.specfile.csvfile import MAX_COLUMNS
from controller.specfile.scalars import LONGEST_PATTERN, LONGEST_TEXT
from controller.specfile.yaml_reading import MAX_DEPTH, MAX_VALUES
from tests.specfile.reading import good

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "spec.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)
SCHEMA = json_schema()
ROWS = {
    name: (default.strip(), meaning)
    for names, default, meaning in re.findall(r"^\| (`.*?) \| (.*?) \| (.*?) \|$", TEXT, re.MULTILINE)
    for name in re.findall(r"`([\w.]+)`", names)
}


def fields(name: str) -> dict[str, Any]:
    """The fields of a mapping of the schema."""
    part = SCHEMA if name == "Batch" else SCHEMA["$defs"][name]
    return dict(part["properties"])


def all_fields() -> Iterator[tuple[str, str, Any]]:
    """Every field as the tables name it: mapping, name, schema."""
    inner = {"Resources": "resources.", "Local": "local.", "On": "on.", "Backoff": "backoff."}
    skip = {"resources", "local", "on", "backoff"}
    for part in ("Batch", "Job", "Mount", "Csv", "Retry", *inner):
        for field, schema in fields(part).items():
            if field not in skip:
                yield part, inner.get(part, "") + field, schema


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block[:30])
def test_its_specs_are_valid(block: str, tmp_path: Path) -> None:
    """Every YAML block is a spec, or the part of one that it shows."""
    (tmp_path / "traits.csv").write_text("trait_index,TRAIT\n2,Fe\n")
    assert good(block.removesuffix("\n"), tmp_path).tasks


def test_every_field_is_there() -> None:
    """A field that nobody documented does not exist for its users."""
    named = set(ROWS)
    missing = [f"{part}.{name}" for part, name, _ in all_fields() if name not in named]
    assert missing == []


DEFAULTS = {name: schema.get("default") for _, name, schema in all_fields()}


@pytest.mark.parametrize("name", DEFAULTS)
def test_defaults(name: str) -> None:
    """A default in a table is the one that holds."""
    written, default = ROWS[name][0], DEFAULTS[name]
    if default is None:
        assert not re.match(r"`(\d|true|false)", written)
    else:
        shown = f"{default:g}" if isinstance(default, float) else str(default)
        assert written.startswith(f"`{shown.lower() if isinstance(default, bool) else shown}`")


def test_required_fields() -> None:
    """What the tables call required is what the reader requires."""
    required = {
        name
        for part, prefix in (("Batch", ""), ("Job", ""), ("Mount", ""), ("Csv", ""))
        for name in (SCHEMA if part == "Batch" else SCHEMA["$defs"][part])["required"]
    }
    assert {name for name, (default, _) in ROWS.items() if default == "required"} == required


def test_verdicts() -> None:
    """The verdicts of a rule are all there."""
    offered = SCHEMA["$defs"]["On"]["properties"]["verdict"]["anyOf"][-1]["enum"]
    assert " ".join(offered) in ROWS["on.verdict"][1]
    for verdict in set(Verdict) - set(offered):
        assert f"`{verdict}`" in TEXT


def test_built_in_rules() -> None:
    """The table of built-in rules is that of the engine."""
    for rule in BUILTIN:
        (line,) = [
            line
            for line in TEXT.splitlines()
            if line.startswith("| `") and f"`{rule.match.verdicts[0]}`" in line
        ]
        assert f"| {rule.limit} " in line
        assert f"{round(rule.backoff.base.total_seconds())} s" in line
        if rule.limit > 1:
            assert f"×{rule.backoff.factor:g}, at most 5 min" in line
            assert format_duration(rule.backoff.max) == "5m"


def test_limits() -> None:
    """Numbers in the text are the reader's own."""
    for told in (
        f"at most {tasks.MAX_TASKS:,} tasks",
        f"{MAX_COLUMNS} columns",
        f"{LONGEST_TEXT // 1024} Ki characters",
        f"{tasks.MAX_PARAMETERS // 2**20} Mi",
        f"{MAX_DEPTH} levels",
        f"{MAX_VALUES:,} keys and values",
        f"at most {LONGEST_PATTERN} characters",
    ):
        assert told in TEXT
