"""From bytes to ``BatchSpec``: read, check everything, tell everything.

Synchronous, and pure apart from the csv file that a spec may name. The daemon and the commands call it
through ``worker``, which bounds its time and memory.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import regex
from pydantic import TypeAdapter, ValidationError

from controller.core.problem import Problem
from controller.core.settings import rules_of
from controller.core.spec import BatchSpec, Task
from controller.ports import NamedFile
from controller.specfile import models, tasks
from controller.specfile.checks import check
from controller.specfile.complaints import complain, is_of_another_kind, of_another_kind
from controller.specfile.convert import document, job_input
from controller.specfile.csvfile import Table, fetched, handed, located, parsed
from controller.specfile.json_reading import read_json
from controller.specfile.nodes import Fields, Items, Node, dotted, plain_data
from controller.specfile.problems import Problems
from controller.specfile.text import MAX_SPEC_BYTES, Unreadable, decoded
from controller.specfile.yaml_reading import read_yaml

_SECTIONS: dict[str, TypeAdapter[Any]] = {
    "tasks": TypeAdapter(models.Tasks),
    "job": TypeAdapter(models.Job),
    "retry": TypeAdapter(list[models.Retry]),
}


@dataclass(frozen=True, slots=True)
class SpecDefaults:
    """What holds where a spec says nothing. ``user``: whose the file is."""

    max_concurrent: int = 50
    namespace: str = "default"
    user: str = ""
    workdir: str = ""
    """Folder at which a relative ``local.workdir`` starts; empty: the spec's own."""


@dataclass(frozen=True, slots=True)
class ReadSpec:
    """What became of a spec's bytes: either ``spec`` is set, or ``problems`` has at least one."""

    spec: BatchSpec | None
    problems: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()
    csv: str = ""
    """The path, as written, of the csv file that it names, readable or not: when that file changes, the
    spec's content has.
    """
    lines: Mapping[str, int] = field(default_factory=dict)
    """The line of each field outside ``tasks``, by its path."""

    def placed(self, problems: Iterable[Problem]) -> tuple[Problem, ...]:
        """Problems that were found later, by the policy say, with the file and line of their field."""
        return tuple(replace(problem, line=self._line(problem.field)) for problem in problems)

    def _line(self, path: str) -> int:
        while path and path not in self.lines:
            path = path.rpartition("[" if path.endswith("]") else ".")[0]
        return self.lines.get(path, 0)


def read_spec(
    content: bytes,
    *,
    name: str,
    folder: Path,
    root: Path,
    defaults: SpecDefaults,
    beside: Mapping[str, NamedFile] | None = None,
    on_csv: Callable[[], None] = lambda: None,
) -> ReadSpec:
    """Read a spec; all its problems at once, except that a syntax error stands alone.

    ``name``: the file's, shown in messages; ``.json`` is read as JSON, all else as YAML. ``folder``:
    where its relative paths start; ``root``: the watched folder, out of which nothing is read.
    ``beside``: the files that came with it, of which alone its csv may be one; None: it lies in ``folder``.
    ``on_csv`` is called before a csv file is read, which takes longer. Raises nothing but what means a
    bug: ``MemoryError`` for want of memory excepted.
    """
    problems = Problems(name)
    try:
        node = _nodes(content, name, problems)
    except Unreadable as error:
        problems.whole(str(error), error.line)
        return ReadSpec(None, problems.found)
    problems.root = node
    data = plain_data(node)
    if is_of_another_kind(data):
        problems.whole(of_another_kind(data), 1)
        return ReadSpec(None, problems.found)
    parts = _validated(data, problems)
    check(data, problems)
    source, table = _table(parts.get("tasks"), folder, root, beside, problems, on_csv)
    expanded = _expanded(parts, data, table, problems)
    _warn(parts, expanded, problems)
    result = ReadSpec(None, problems.found, problems.warned, source, _lines(node))
    if result.problems:
        return result
    spec = _spec(parts, expanded, table, folder, defaults)
    return replace(result, spec=replace(spec, hash=content_hash(content, table.content if table else None)))


def content_hash(spec: bytes, csv: bytes | None) -> str:
    """SHA-256 (hex) over the spec's and the csv's bytes, each after its length (8 bytes, big-endian)."""
    digest = hashlib.sha256()
    for part in (spec,) if csv is None else (spec, csv):
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.hexdigest()


def _nodes(content: bytes, name: str, problems: Problems) -> Fields:
    if len(content) > MAX_SPEC_BYTES:
        raise Unreadable(
            f"has {len(content)} bytes: 256 KiB ({MAX_SPEC_BYTES}) at most; move the tasks into a csv file"
        )
    text = decoded(content)
    node = read_json(text, problems) if name.lower().endswith(".json") else read_yaml(text, problems)
    if node is None:
        raise Unreadable("is empty: begin with apiVersion: batchkeeper/v1")
    if not isinstance(node, Fields):
        raise Unreadable("is not a batch: begin with apiVersion: batchkeeper/v1", node.line)
    return node


def _validated(data: Any, problems: Problems) -> dict[str, Any]:
    """The parts that are right on their own: ``header`` fields as one part, tasks, job, retry."""
    try:
        whole = models.BatchFile.model_validate(data)
    except ValidationError as error:
        complain(error, problems)
        return {name: part for name in _SECTIONS if (part := _section(name, data)) is not None}
    return {"header": whole, "tasks": whole.tasks, "job": whole.job, "retry": whole.retry}


def _section(name: str, data: Mapping[str, Any]) -> Any:
    try:
        return _SECTIONS[name].validate_python(data[name]) if name in data else None
    except ValidationError:
        return None  # complained of already, as part of the whole


def _table(
    section: models.Tasks | None,
    folder: Path,
    root: Path,
    beside: Mapping[str, NamedFile] | None,
    problems: Problems,
    on_csv: Callable[[], None],
) -> tuple[str, Table | None]:
    if section is None or section.csv is None:
        return "", None
    written = section.csv.path
    try:
        target = located(written, folder, root) if beside is None else None
        on_csv()
        content = handed(written, beside or {}) if target is None else fetched(target, written)
    except Unreadable as error:
        problems.add(("tasks", "csv", "path"), str(error))
        return written, None
    return written, parsed(written, content, tasks.MAX_TASKS, problems)


def _expanded(
    parts: Mapping[str, Any], data: Mapping[str, Any], table: Table | None, problems: Problems
) -> tuple[Task, ...]:
    if "tasks" not in parts:
        return ()
    name = data.get("name", "")
    return tasks.expand(parts["tasks"], name if isinstance(name, str) else "", table, problems)


def _warn(parts: Mapping[str, Any], expanded: tuple[Task, ...], problems: Problems) -> None:
    job: models.Job | None = parts.get("job")
    if job is not None:
        names = set().union(*(task.parameters for task in expanded))
        for name in sorted(names & job.env.keys()):
            problems.warn(("job", "env", name), "a task's parameter of this name replaces the value")
    for number, rule in enumerate(parts.get("retry", ())):
        if rule.on.logs is not None and _matches_empty(rule.on.logs):
            problems.warn(("retry", number, "on", "logs"), "matches every log, even an empty one")


def _matches_empty(pattern: str) -> bool:
    try:
        return regex.search(pattern, "", timeout=0.1) is not None
    except TimeoutError:
        return False


def _spec(
    parts: Mapping[str, Any],
    expanded: tuple[Task, ...],
    table: Table | None,
    folder: Path,
    defaults: SpecDefaults,
) -> BatchSpec:
    whole: models.BatchFile = parts["header"]
    written = {name: getattr(whole, name) for name in models.Header.model_fields}
    header = models.Header.model_construct(**written).model_copy(
        update={
            "namespace": whole.namespace or defaults.namespace,
            "max_concurrent": whole.max_concurrent or defaults.max_concurrent,
        }
    )
    canonical = document(header, whole.tasks, whole.job, whole.retry, table)
    return BatchSpec(
        name=header.name,
        namespace=header.namespace or defaults.namespace,
        owner=header.owner or defaults.user,
        max_concurrent=header.max_concurrent or defaults.max_concurrent,
        job=job_input(whole.job, Path(defaults.workdir) if defaults.workdir else folder),
        tasks=expanded,
        priority=header.priority,
        paused=header.paused,
        adopt=header.adopt,
        max_auto_retries=header.max_auto_retries,
        retry=rules_of(canonical["retry"]),
        document=canonical,
    )


def _lines(root: Fields) -> dict[str, int]:
    """Lines by path; the tasks, which may be many, by their section only."""
    lines: dict[str, int] = {}

    def visit(node: Node, path: tuple[str | int, ...]) -> None:
        if isinstance(node, Fields):
            for key, inner in node.values.items():
                lines[dotted((*path, key))] = node.lines[key]
                if key != "tasks" or path:
                    visit(inner, (*path, key))
        elif isinstance(node, Items):
            for number, item in enumerate(node.items):
                lines[dotted((*path, number))] = item.line
                visit(item, (*path, number))

    visit(root, ())
    return lines
