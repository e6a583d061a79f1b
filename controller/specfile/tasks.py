"""From ``tasks`` to core's tasks: range, list, matrix or csv, in the order written, every id checked.

A task's id is its range value, its ``id``, or else a hash of its parameters. Sizes are decided before
anything is built.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from itertools import product
from typing import NamedTuple

from controller.core.naming import MAX_JOB_NAME, is_label, looks_like_retry
from controller.core.spec import Task
from controller.specfile.csvfile import Table
from controller.specfile.models import Csv, Range, Tasks
from controller.specfile.nodes import Path, line_of
from controller.specfile.problems import Problems, shown
from controller.specfile.scalars import LONGEST_TEXT, env_name
from controller.specfile.secrecy import ADVICE, names_secret, token_in

MAX_TASKS = 100_000
MAX_PARAMETERS = 64 * 2**20
"""Characters of all parameters of all tasks together: each task's are kept with its records."""
ID = "id"
"""The key of a list item, or the column, that holds the id and is no parameter."""
_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False)


class Place(NamedTuple):
    """Where a task stands, for messages: its field, and its line and file where the field can't tell."""

    path: Path
    line: int = 0
    file: str = ""


Raw = tuple[str | None, dict[str, str], Place]
"""A task before it has its number: its id as written, its parameters, where it stands."""


def hashed_id(parameters: Mapping[str, str]) -> str:
    """The first 12 hex digits of the SHA-256 of the parameters as canonical JSON.

    Canonical: UTF-8, keys sorted, no spaces, nothing escaped that need not be.
    """
    return hashlib.sha256(_CANONICAL.encode(parameters).encode()).hexdigest()[:12]


def expand(tasks: Tasks, batch: str, table: Table | None, problems: Problems) -> tuple[Task, ...]:
    """All tasks, in order. What is wrong with them is noted; the result is then of no use."""
    if tasks.range is not None:
        return _of_range(tasks.range, batch, problems)
    if tasks.items is not None:
        return _checked(_of_list(tasks.items, problems), batch, problems)
    if tasks.matrix is not None:
        return _checked(_of_matrix(tasks.matrix, problems), batch, problems)
    if tasks.csv is not None and table is not None:
        return _checked(_of_csv(tasks.csv, table, problems), batch, problems)
    return ()


def _of_range(span: Range, batch: str, problems: Problems) -> tuple[Task, ...]:
    path = ("tasks", "range")
    count = span.to - span.first + 1
    if count < 1:
        problems.add((*path, "to"), f"{span.to} is less than from ({span.first}): swap them")
    elif _too_many(count, path, problems):
        return ()
    elif complaint := _bad_id(str(span.to), batch):
        problems.add((*path, "to"), complaint)
    return tuple(
        Task(str(value), index, {span.name: str(value)})
        for index, value in enumerate(range(span.first, span.to + 1))
    )


def _of_list(items: list[dict[str, str]], problems: Problems) -> Iterator[Raw]:
    if _too_many(len(items), ("tasks", "list"), problems):
        return
    for number, item in enumerate(items):
        parameters = {name: value for name, value in item.items() if name != ID}
        for name in parameters:
            _check_name(name, ("tasks", "list", number, name), problems)
        yield item.get(ID), parameters, Place(("tasks", "list", number))


def _of_matrix(matrix: Mapping[str, list[str]], problems: Problems) -> Iterator[Raw]:
    path = ("tasks", "matrix")
    if ID in matrix:
        problems.add((*path, ID), "can't be a parameter: ids of a matrix are made from its values")
    for name in matrix:
        _check_name(name, (*path, name), problems)
    twice = [_check_values(name, values, problems) for name, values in matrix.items()]
    if any(twice) or _too_many(math.prod(len(values) for values in matrix.values()), path, problems):
        return
    for values in product(*matrix.values()):
        yield None, dict(zip(matrix, values, strict=True)), Place(path)


def _check_values(name: str, values: list[str], problems: Problems) -> bool:
    """Whether a value stands twice: its tasks could not be told apart."""
    seen: set[str] = set()
    for number, value in enumerate(values):
        if value in seen:
            problems.add(("tasks", "matrix", name, number), f"{shown(value)} stands twice: remove one")
        seen.add(value)
    return len(seen) < len(values)


def _of_csv(csv: Csv, table: Table, problems: Problems) -> Iterator[Raw]:
    column = csv.id or (ID if ID in table.header else "")
    if column and column not in table.header:
        columns = ", ".join(table.header[:20])
        problems.add(("tasks", "csv", "id"), f"{table.path} has no column {shown(column)}; it has {columns}")
        return
    for name in table.header:
        if names_secret(name):
            problems.add(
                ("tasks", "csv"),
                f"column {shown(name)} looks like a secret: {ADVICE}",
                line=1,
                file=table.path,
            )
    position = table.header.index(column) if column else None
    for line, row in table.rows:
        parameters = dict(zip(table.header, row, strict=True))
        parameters.pop(ID, None)
        given = None if position is None else row[position]
        yield given, parameters, Place(("tasks", "csv"), line, table.path)


def _checked(raw: Iterable[Raw], batch: str, problems: Problems) -> tuple[Task, ...]:
    """Tasks with their ids; ids and parameters that can't be are noted, near-duplicates warned of."""
    found: list[Task] = []
    places: list[Place] = []
    by_id: dict[str, int] = {}
    by_look: dict[tuple[str, ...], int] = {}
    room = MAX_PARAMETERS
    for given, parameters, place in raw:
        room -= sum(map(len, parameters.values()))
        if room < 0:
            most = f"{MAX_PARAMETERS // 2**20} Mi characters of parameters in all"
            problems.add(("tasks",), f"more than {most}: put long values into files, and name those")
            break
        task = Task(hashed_id(parameters) if given is None else given, len(found), parameters)
        found.append(task)
        places.append(place)
        first = by_id.setdefault(task.id, task.index)
        if first < task.index:
            where = f" (first on line {_line(places[first], problems)})"
            _add(problems, place, _twice(task, found[first], given) + where)
        elif complaint := _bad_id(task.id, batch) or _bad_values(parameters):
            _add(problems, place, complaint)
        elif parameters and (alike := by_look.setdefault(_look(parameters), task.index)) < task.index:
            problems.warn(place.path, _near(task, found[alike]), line=place.line, file=place.file)
    return tuple(found)


def _twice(task: Task, first: Task, given: str | None) -> str:
    if given is not None:
        return f"id {shown(task.id)} stands twice: give each task its own"
    if task.parameters == first.parameters:
        return "the same parameters stand twice: remove one, or give each an id"
    return "the hash of its parameters is another task's too: give it an id"


def _bad_id(task_id: str, batch: str) -> str:
    """What is wrong with an id, or empty. Nothing is slugged: the id is what people will look for."""
    room = MAX_JOB_NAME - len(batch) - 1
    if not is_label(task_id):
        rule = "lower-case letters, digits and dashes, no dash at its ends"
        return f"id {shown(task_id)} can't be part of a job's name: {rule}"
    if looks_like_retry(task_id):
        return f"id {shown(task_id)} ends like a retry's name (-r1, -r2 …): choose another ending"
    if len(task_id) > room:
        return (
            f"id {shown(task_id)} has {len(task_id)} characters: with the batch's name before it, {room} fit"
        )
    return ""


def _bad_values(parameters: Mapping[str, str]) -> str:
    together = "\n".join(parameters.values())
    if len(together) <= LONGEST_TEXT and "\0" not in together and not token_in(together):
        return ""  # one look at all of them is several times cheaper than one at each
    for name, value in parameters.items():
        if len(value) > LONGEST_TEXT:
            return f"{name} has {len(value)} characters: {LONGEST_TEXT} at most; put it into a file"
        if "\0" in value:
            return f"{name} contains a NUL: remove it"
        if token_in(value):
            return f"{name} looks like a secret: {ADVICE}"
    return ""


def _check_name(name: str, path: Path, problems: Problems) -> None:
    try:
        env_name(name)
    except ValueError as error:
        problems.add(path, str(error))
    if names_secret(name):
        problems.add(path, f"looks like a secret: {ADVICE}")


def _too_many(count: int, path: Path, problems: Problems) -> bool:
    if count > MAX_TASKS:
        problems.add(path, f"{count} tasks: a batch has {MAX_TASKS} at most; split it")
    return count > MAX_TASKS


def _look(parameters: Mapping[str, str]) -> tuple[str, ...]:
    """The parameters without what people easily get wrong: case and spaces."""
    return tuple(
        [" ".join(parameters[name].split()).casefold() for name in sorted(parameters)] + sorted(parameters)
    )


def _near(task: Task, other: Task) -> str:
    if task.parameters == other.parameters:
        return f"task {task.id} has the same parameters as task {other.id}"
    return f"task {task.id} differs from task {other.id} only in case or spaces"


def _add(problems: Problems, place: Place, message: str) -> None:
    problems.add(place.path, message, line=place.line, file=place.file)


def _line(place: Place, problems: Problems) -> int:
    return place.line or line_of(problems.root, place.path)
