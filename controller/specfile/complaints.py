"""Turns what pydantic found into problems for people: the field, its line, what to write instead."""

from __future__ import annotations

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from controller.specfile.nodes import Path
from controller.specfile.problems import Problems, nearest, shown, unknown_key
from controller.specfile.schema import known_keys, paths_of

_PHRASES = {
    "model_type": "expects fields, as key: value",
    "dict_type": "expects fields, as key: value",
    "list_type": "expects a list, as [a, b]",
    "too_short": "must not be empty",
    "string_too_short": "must not be empty",
    "literal_error": "must be {expected}",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "value_error": "{error}",
}
_REQUIRED = {
    "apiVersion": "write apiVersion: batchkeeper/v1",
    "kind": "write kind: Batch",
    "name": "give the batch a name, as name: gapit3-trait",
    "tasks": "say what to run, as tasks: {range: {name: INDEX, from: 1, to: 10}}",
    "job": "say what each task runs, as job: {image: …, command: […]}",
    "tasks.csv.path": "name the file, as path: traits.csv",
    "job.image": "name the container image, as image: ghcr.io/example/tool:1.0",
    "to": "write the last number, as to: 187",
    "from": "write the first number, as from: 1",
    "factor": "write factor: 2, say",
    "on": "say which failures, as on: {verdict: mount-failure}",
}


def complain(error: ValidationError, problems: Problems) -> None:
    """Note everything that a validation of the whole spec found."""
    for details in error.errors(include_url=False, include_input=False):
        path: Path = tuple(step for step in details["loc"] if step != "[key]")
        problems.add(path, _message(details, path))


def _message(details: ErrorDetails, path: Path) -> str:
    kind = details["type"]
    if kind == "extra_forbidden":
        return _unknown(path)
    if kind == "missing":
        dotted = ".".join(str(step) for step in path)
        advice = _REQUIRED.get(dotted) or _REQUIRED.get(str(path[-1])) or f"write {path[-1]}: …"
        return f"is required: {advice}"
    phrase = _PHRASES.get(kind)
    if phrase is None:
        return details["msg"]
    return phrase.format_map({name: str(value) for name, value in details.get("ctx", {}).items()})


def _unknown(path: Path) -> str:
    key, known = str(path[-1]), known_keys(path[:-1])
    elsewhere = paths_of(key)
    if not nearest(key, known) and elsewhere:
        return f"unknown key here; did you mean {elsewhere[0]}?"
    return unknown_key(key, known) if len(key) <= 60 else f"unknown key {shown(key)}"
