"""Turns what pydantic found into problems for people: the field, its line, what to write instead."""

from __future__ import annotations

from collections.abc import Mapping

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

_HERE = {
    "mountPath": "here it is path",
    "args": "arguments stand in command, after the program",
    "entrypoint": "here it is command",
    "environment": "here it is env, as env: {NAME: value}",
    "resources.limits": "write cpu, memory and gpu in its place",
    "resources.requests": "write cpu, memory and gpu in its place",
    "activeDeadlineSeconds": "here it is job.deadline, as deadline: 24h",
    "backoffLimit": "retries have rules here: see retry",
    "restartPolicy": "retries have rules here: see retry",
    "parallelism": "here it is maxConcurrent",
    "containers": "a job is one container: write image, command, env in its place",
    "template": "a job is one container: write image, command, env in its place",
    "array": "write range: {name: INDEX, from: 2, to: 187}",
    "step": "write the numbers out, as matrix: {INDEX: [1, 3, 5]}",
    "withItems": "write list: [{id: a, NAME: value}]",
    "volumes": "here they are mounts",
    "volumeMounts": "here they are mounts",
}
"""What people write who know Kubernetes, Docker, Slurm or Argo, and what it is called in a spec."""


def complain(error: ValidationError, problems: Problems) -> None:
    """Note everything that a validation of the whole spec found."""
    for details in error.errors(include_url=False, include_input=False):
        path: Path = tuple(step for step in details["loc"] if step != "[key]")
        problems.add(path, _message(details, path))


def is_of_another_kind(data: Mapping[str, object]) -> bool:
    """Whether this is somebody else's file: a manifest, a values file. Comparing fields would say nothing."""
    ours = {"tasks", "job"} & data.keys()
    foreign = data.keys() - set(known_keys(()))
    return not ours and bool(foreign) and not str(data.get("apiVersion", "")).startswith("batchkeeper/")


def of_another_kind(data: Mapping[str, object]) -> str:
    """The one line for such a file."""
    named = [f"{key}: {data[key]}" for key in ("apiVersion", "kind") if isinstance(data.get(key), str)]
    seen = shown(", ".join(named) or ", ".join(sorted(data)))
    return f"{seen} is no batch spec: one begins with apiVersion: batchkeeper/v1 and has name, tasks and job"


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
    if "\u00a0" in key:
        return "unknown key: it has a no-break space (U+00A0): write plain spaces"
    if advice := _HERE.get(".".join(map(str, path[-2:]))) or _HERE.get(key):
        return f"unknown key; {advice}"
    elsewhere = paths_of(key)
    if not nearest(key, known) and elsewhere:
        where = elsewhere[0] if "." in elsewhere[0] else f"{elsewhere[0]} at the top"
        return f"unknown key here; did you mean {where}?"
    return unknown_key(key, known) if len(key) <= 60 else f"unknown key {shown(key)}"
