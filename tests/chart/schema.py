"""The part of values.schema.json that is the daemon's own configuration, made of its settings.

So a key that the daemon would refuse is refused by Helm already, before anything is installed. Values are
left to the daemon. ``python -m tests.chart.schema`` writes it anew.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel

from controller.config import Settings
from tests.chart.helm import CHART

SCHEMA = CHART / "values.schema.json"


def section(model: type[BaseModel]) -> dict[str, Any]:
    """A section is closed; one whose keys are all left out may be null."""
    keys = {name: key(field.annotation) for name, field in model.model_fields.items()}
    return {"type": ["object", "null"], "additionalProperties": False, "properties": keys}


def key(annotation: Any) -> dict[str, Any] | bool:
    """What may stand at a key: a section, a list of them, one of some words; else the daemon decides."""
    models = [one for one in _types(annotation) if isinstance(one, type) and issubclass(one, BaseModel)]
    if models and get_origin(annotation) is None:
        return section(models[0])
    if models:
        return {"type": ["array", "null"], "items": section(models[0])}
    if get_origin(annotation) is Literal:
        return {"enum": list(get_args(annotation))}
    return True


def _types(annotation: Any) -> Iterator[Any]:
    yield annotation
    for inner in get_args(annotation):
        yield from _types(inner)


def rendered(text: str) -> str:
    """The schema with its generated part as the settings are now."""
    schema = json.loads(text)
    told = section(Settings)
    schema["properties"]["config"] = {**told, "type": "object"}
    return json.dumps(schema, indent=2) + "\n"


if __name__ == "__main__":
    SCHEMA.write_text(rendered(SCHEMA.read_text(encoding="utf-8")), encoding="utf-8")
