"""Expansion: which tasks a spec has, their ids and order, and what is only warned of."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path

import pytest

from controller.core.spec import Task
from controller.specfile import tasks
from controller.specfile.tasks import hashed_id
from tests.specfile.reading import good, read, told

NUMBERS = ",".join(map(str, range(316)))
HEAD = "apiVersion: batchkeeper/v1\nkind: Batch\nname: bad\njob: {image: a}\n"


def test_a_range_has_both_ends() -> None:
    """The number is the id and the parameter."""
    spec = good("tasks: {range: {name: I, from: 0, to: 2}}")
    assert spec.tasks == (Task("0", 0, {"I": "0"}), Task("1", 1, {"I": "1"}), Task("2", 2, {"I": "2"}))


def test_a_list_keeps_its_order() -> None:
    """``id`` is the id and no parameter; without it the id is the hash of the parameters."""
    spec = good("tasks: {list: [{id: b, T: x}, {T: y}, {id: a}]}")
    assert spec.tasks == (
        Task("b", 0, {"T": "x"}),
        Task(hashed_id({"T": "y"}), 1, {"T": "y"}),
        Task("a", 2, {}),
    )


def test_the_hash_is_that_of_canonical_json() -> None:
    """Anybody can compute it: sorted keys, no spaces, UTF-8, first 12 hex digits."""
    expected = hashlib.sha256('{"A":"é","B":"1"}'.encode()).hexdigest()[:12]
    assert hashed_id({"B": "1", "A": "é"}) == expected


def test_a_matrix_is_nested_loops() -> None:
    """In the order written: the last parameter changes fastest."""
    spec = good("tasks: {matrix: {B: [x, y], A: [1, 2]}}")
    assert [dict(task.parameters) for task in spec.tasks] == [
        {"B": "x", "A": "1"},
        {"B": "x", "A": "2"},
        {"B": "y", "A": "1"},
        {"B": "y", "A": "2"},
    ]


def test_a_collision_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two parameter sets with one hash are no two tasks."""
    monkeypatch.setattr(tasks, "hashed_id", lambda parameters: "abcabcabcabc")
    lines = told(HEAD + "tasks:\n  list:\n    - {T: x}\n    - {T: y}")
    assert lines == [
        "spec.yaml:8: tasks.list[1]: the hash of its parameters is another task's too: give it an id "
        "(first on line 7)"
    ]


@pytest.mark.parametrize(
    ("items", "warning"),
    [
        ("{id: a, T: Iron}, {id: b, T: iron}", "task b differs from task a only in case or spaces"),
        ("{id: a, T: iron}, {id: b, T: 'iron '}", "task b differs from task a only in case or spaces"),
        ("{id: a, T: a b}, {id: b, T: a  b}", "task b differs from task a only in case or spaces"),
        ("{id: a, T: x}, {id: b, T: x}", "task b has the same parameters as task a"),
    ],
)
def test_near_duplicates_are_warned_of(items: str, warning: str) -> None:
    """A trait written twice in two ways is probably one trait; it is allowed all the same."""
    result = read(f"{HEAD}tasks:\n  list: [{items}]")
    assert result.spec is not None
    assert [str(line) for line in result.warnings] == [f"spec.yaml:6: tasks.list[1]: {warning}"]


@pytest.mark.parametrize(
    "items", ["{id: a}, {id: b}", "{id: a, T: x}, {id: b, U: x}", "{id: a, T: xy}, {id: b, T: x y}"]
)
def test_different_tasks_are_not_warned_of(items: str) -> None:
    """Without parameters, with other names or other letters they are not alike."""
    assert read(f"{HEAD}tasks:\n  list: [{items}]").warnings == ()


def test_a_parameter_that_replaces_a_variable_is_warned_of() -> None:
    """It wins over ``job.env``, which may not be what was meant."""
    text = "apiVersion: batchkeeper/v1\nkind: Batch\nname: bad\ntasks: {range: {name: I, from: 1, to: 2}}\n"
    result = read(text + "job:\n  image: a\n  env:\n    I: 3")
    assert [str(line) for line in result.warnings] == [
        "spec.yaml:8: job.env.I: a task's parameter of this name replaces the value"
    ]


def test_names_have_room() -> None:
    """A job's name has 57 characters at most, so a long batch name leaves less to its ids."""
    name, task_id = "a" * 40, "b" * 16
    assert good(f"name: {name}\ntasks: {{list: [{{id: {task_id}}}]}}").tasks[0].id == task_id
    (line,) = told(f"{HEAD.replace('bad', name)}tasks: {{list: [{{id: {task_id}c}}]}}")
    assert "with the batch's name before it, 16 fit" in line


@pytest.mark.parametrize(
    "text",
    [
        "tasks: {range: {name: I, from: 0, to: 99999}}",
        f"tasks: {{matrix: {{A: [{NUMBERS}], B: [{NUMBERS}]}}}}",
        "tasks: {csv: {path: big.csv}}",
    ],
    ids=["range", "matrix", "csv"],
)
def test_a_hundred_thousand_tasks(text: str, tmp_path: Path) -> None:
    """The largest batch is read in seconds, in order, every id once."""
    (tmp_path / "big.csv").write_text("T,U\n" + "".join(f"trait {n},{n}\n" for n in range(100_000)))
    began = time.process_time()
    spec = good(text, tmp_path)
    assert time.process_time() - began < 15  # under 3 s on a machine of its own; this only catches a square
    assert len(spec.tasks) == {"m": 316 * 316}.get(text[8], 100_000)
    assert [task.index for task in spec.tasks] == list(range(len(spec.tasks)))
    assert len({task.id for task in spec.tasks}) == len(spec.tasks)


@pytest.mark.parametrize(
    "text",
    ["tasks: {range: {name: I, from: 0, to: 999999999999}}", "tasks: {matrix: {%s}}"],
    ids=["range", "matrix"],
)
def test_an_absurd_size_is_refused_at_once(text: str) -> None:
    """Nothing is built of what is too large: ten to the forty would not fit anywhere."""
    factors = ", ".join(f"P{n}: [{', '.join(map(str, range(10)))}]" for n in range(40))
    began = time.process_time()
    (line,) = told(HEAD + (text % factors if "%s" in text else text))
    assert "tasks: a batch has 100000 at most; split it" in line
    assert time.process_time() - began < 5


def test_all_parameters_together_have_a_limit() -> None:
    """A small file must not become gigabytes of records."""
    values = ",".join(map(str, range(100)))
    (line,) = told(f"{HEAD}tasks: {{matrix: {{A: [{values}], B: [{values}], C: [{'x' * 30_000}]}}}}")
    assert "more than 64 Mi characters of parameters in all" in line
