"""The JSON schema of the batch spec: what editors complete and check, and where errors look up keys."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

from pydantic import BaseModel

from controller.specfile import models
from controller.specfile.models import BatchFile
from controller.specfile.nodes import Path

_EXAMPLE = {
    "apiVersion": "batchkeeper/v1",
    "kind": "Batch",
    "name": "gapit3-trait",
    "maxConcurrent": 50,
    "tasks": {"range": {"name": "TRAIT_INDEX", "from": 2, "to": 187}},
    "job": {
        "image": "ghcr.io/example/gapit3:1.4",
        "command": ["/scripts/entrypoint.sh", "run-single-trait"],
        "resources": {"cpu": 12, "memory": "32Gi"},
    },
    "retry": [{"on": {"exitCodes": [2]}, "limit": 3, "backoff": {"base": "30s"}}],
}


def json_schema() -> dict[str, Any]:
    """The schema (draft 2020-12) as JSON data; closed, every field described. A fresh copy each time."""
    schema = BatchFile.model_json_schema(by_alias=True)
    for name, part in (("BatchFile", schema), *schema["$defs"].items()):
        if "properties" in part:
            _tidy(part, getattr(models, name))
    for field in schema["$defs"]["On"]["properties"].values():
        _allow_single(field)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "https://batchkeeper.io/schema/v1/batch.json",
        **_renamed(schema),
        "title": "Batchkeeper batch spec",
        "examples": [_EXAMPLE],
    }


def _tidy(part: dict[str, Any], model: type[BaseModel]) -> None:
    """Defaults as people write them; none where it stands for "absent", no title that repeats the key."""
    defaults = model.model_construct().model_dump(
        mode="json", by_alias=True, exclude_none=True, warnings=False
    )
    for key, field in part.get("properties", {}).items():
        field.pop("title", None)
        if field.pop("default", None) is not None and defaults.get(key) not in (None, "", [], {}):
            field["default"] = defaults[key]


def _allow_single(field: dict[str, Any]) -> None:
    """Where a list may stand, its only item may stand too."""
    items = [option["items"] for option in field["anyOf"] if "items" in option]
    field["anyOf"] += items


def _renamed(part: Any) -> Any:
    """Bounds that pydantic leaves under its own names, because text is converted before they apply."""
    if isinstance(part, list):
        return [_renamed(item) for item in part]
    if not isinstance(part, dict):
        return part
    names = {"ge": "minimum", "le": "maximum", "min_length": "minItems" if "items" in part else "minLength"}
    return {names.get(key, key): _renamed(inner) for key, inner in part.items()}


@cache
def _cached() -> dict[str, Any]:
    return json_schema()


def known_keys(path: Path) -> list[str]:
    """The keys that the mapping at this path may have; empty where any may stand."""
    return list(_part_at(path).get("properties", ()))


def paths_of(key: str) -> list[str]:
    """Where in a spec a key of this name belongs, as dotted paths."""
    return [path for path in _all_paths(_cached(), "") if path.rpartition(".")[2] == key]


def _part_at(path: Path) -> dict[str, Any]:
    part = _cached()
    for step in path:
        part = _plain(part)
        part = part.get("items", {}) if isinstance(step, int) else part.get("properties", {}).get(step, {})
    return _plain(part)


def _plain(part: dict[str, Any]) -> dict[str, Any]:
    """The schema behind a reference or an optional value."""
    for option in part.get("anyOf", ()):
        if option.get("type") != "null":
            return _plain(option)
    if reference := part.get("$ref"):
        return dict(_cached()["$defs"][reference.rpartition("/")[2]])
    return part


def _all_paths(part: dict[str, Any], above: str) -> Iterator[str]:
    part = _plain(part)
    for key, inner in part.get("properties", {}).items():
        path = f"{above}.{key}" if above else key
        yield path
        yield from _all_paths(inner, path)
    if "items" in part:
        yield from _all_paths(part["items"], f"{above}[]")
