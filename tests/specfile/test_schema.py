"""The JSON schema: what editors are told agrees with what the reader accepts."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from controller.core.model import Verdict
from controller.specfile import json_schema
from tests.specfile.corpus import cases
from tests.specfile.reading import read
from tests.specfile.test_meaning import FULL

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = json_schema()
_TYPES: dict[str, Any] = {
    "object": dict,
    "array": list,
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "null": type(None),
}


def faults(value: Any, schema: dict[str, Any]) -> Iterator[str]:
    """What is wrong with a value: as much of JSON Schema as ours uses; an unknown keyword fails."""
    if reference := schema.get("$ref"):
        schema = {
            **SCHEMA["$defs"][reference.rpartition("/")[2]],
            **{k: v for k, v in schema.items() if k != "$ref"},
        }
    for keyword, rule in schema.items():
        if keyword not in _IGNORED and not _CHECKS[keyword](value, rule, schema):
            yield f"{keyword}: {value!r}"
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from faults(inner, schema.get("properties", {}).get(key) or _extra(schema))
    if isinstance(value, list):
        for item in value:
            yield from faults(item, schema.get("items", {}))


def _extra(schema: dict[str, Any]) -> dict[str, Any]:
    more = schema.get("additionalProperties", {})
    return more if isinstance(more, dict) else {}


def _is(value: Any, kind: str) -> bool:
    return isinstance(value, _TYPES[kind]) and (kind == "boolean" or not isinstance(value, bool))


_IGNORED = {"$schema", "$id", "$defs", "title", "description", "default", "examples", "properties", "items"}
_CHECKS: dict[str, Any] = {
    "type": lambda value, rule, _: any(
        _is(value, kind) for kind in ([rule] if isinstance(rule, str) else rule)
    ),
    "const": lambda value, rule, _: value == rule,
    "enum": lambda value, rule, _: value in rule,
    "pattern": lambda value, rule, _: not isinstance(value, str) or bool(re.search(rule, value)),
    "minimum": lambda value, rule, _: not isinstance(value, (int, float)) or value >= rule,
    "maximum": lambda value, rule, _: not isinstance(value, (int, float)) or value <= rule,
    "minLength": lambda value, rule, _: not isinstance(value, str) or len(value) >= rule,
    "maxLength": lambda value, rule, _: not isinstance(value, str) or len(value) <= rule,
    "minItems": lambda value, rule, _: not isinstance(value, list) or len(value) >= rule,
    "minProperties": lambda value, rule, _: not isinstance(value, dict) or len(value) >= rule,
    "required": lambda value, rule, _: not isinstance(value, dict) or all(key in value for key in rule),
    "propertyNames": lambda value, rule, _: (
        not isinstance(value, dict) or all(not list(faults(key, rule)) for key in value)
    ),
    "additionalProperties": lambda value, rule, schema: (
        rule is not False or not isinstance(value, dict) or set(value) <= set(schema["properties"])
    ),
    "anyOf": lambda value, rule, _: any(not list(faults(value, option)) for option in rule),
    "oneOf": lambda value, rule, _: sum(not list(faults(value, option)) for option in rule) == 1,
}


def as_editors_see(text: str) -> Any:
    """YAML with its types, as an editor checks it."""
    return YAML(typ="safe", pure=True).load(text)


def parts() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every mapping of the schema by its name."""
    yield "Batch", SCHEMA
    yield from SCHEMA["$defs"].items()


def test_everything_is_described_and_closed() -> None:
    """No mapping takes unknown keys, and no field is without a description."""
    for name, part in parts():
        assert part["description"], name
        if part["type"] == "object":
            assert part["additionalProperties"] is False, name
        for key, field in part.get("properties", {}).items():
            assert field.get("description") or "$ref" in field, f"{name}.{key}"


def test_it_is_plain_json() -> None:
    """It can be written to a file, and each call gives a copy of one's own."""
    assert json.loads(json.dumps(SCHEMA)) == SCHEMA
    json_schema()["properties"].clear()
    assert json_schema() == SCHEMA


def test_its_own_example_is_right() -> None:
    """The example in the schema is valid by the schema and by the reader."""
    (example,) = SCHEMA["examples"]
    assert list(faults(example, SCHEMA)) == []
    assert read(json.dumps(example), name="a.json").problems == ()


def test_defaults_are_valid_and_written_as_people_write() -> None:
    """A default in the schema is a value that one may write."""
    for name, part in parts():
        for key, field in part.get("properties", {}).items():
            if "default" in field:
                assert list(faults(field["default"], field)) == [], f"{name}.{key}"


@pytest.mark.parametrize("path", ["gwas/traits.yaml"])
def test_examples(path: str) -> None:
    """What we ship is green in an editor."""
    assert list(faults(as_editors_see((ROOT / "examples" / path).read_text()), SCHEMA)) == []


def test_a_full_spec() -> None:
    """Every field of the contract passes."""
    assert list(faults(as_editors_see(FULL), SCHEMA)) == []


@pytest.mark.parametrize(
    "rule", ["{verdict: lost}", "{verdict: [lost, unknown]}", "{exitCodes: 2}", "{reasons: [Evicted]}"]
)
def test_one_or_many(rule: str) -> None:
    """A single value and a list are both green."""
    document = as_editors_see(FULL)
    document["retry"] = [{"on": as_editors_see(rule)}]
    assert list(faults(document, SCHEMA)) == []


def test_editors_find_most_mistakes() -> None:
    """Unknown and missing keys of the bad specs are red in an editor, too."""
    for case in cases():
        if case.kind in ("unknown", "missing"):
            assert list(faults(as_editors_see(case.content.decode()), SCHEMA)), str(case)


def test_verdicts_that_rules_may_name() -> None:
    """Those that the reader refuses are not offered."""
    options = SCHEMA["$defs"]["On"]["properties"]["verdict"]["anyOf"]
    offered = set(options[-1]["enum"])
    refused = {Verdict.SUCCEEDED, Verdict.CANCELLED, Verdict.REAPED, Verdict.CONFIGURATION_ERROR}
    assert offered == set(Verdict) - refused
