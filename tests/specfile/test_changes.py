"""What may change in a batch that exists, what may not, and the rules read back from its settings."""

from __future__ import annotations

from pathlib import Path

import pytest

from controller.specfile import changed_fields, rules_of, settings_of
from tests.specfile.reading import good

BASE = (
    "name: b\nmaxConcurrent: 5\ntasks: {range: {name: I, from: 1, to: 3}}\n"
    "job: {image: a, env: {A: secretish, B: y}, resources: {memory: 1Gi}}\nretry: [{on: {verdict: lost}}]"
)
ADVICE = "it can't change while the batch exists: put it back, or give the spec another name"


@pytest.mark.parametrize(
    ("old", "new", "changes"),
    [
        ("maxConcurrent: 5", "maxConcurrent: 7", {"maxConcurrent": 7}),
        ("name: b", "name: b\npaused: true\npriority: 3", {"paused": True, "priority": 3}),
        ("memory: 1Gi", "memory: 1024Mi", {}),
        ("[{on: {verdict: lost}}]", "[]", {"retry": []}),
        ("[{on: {verdict: lost}}]", "[{on: {verdict: [lost]}, limit: 1, backoff: {base: 1m}}]", {}),
        ("name: b", "# a comment\nname: b", {}),
    ],
)
def test_what_may_change(old: str, new: str, changes: dict[str, object]) -> None:
    """The four fields, by value: another way of writing the same is no change."""
    assert changed_fields(good(BASE).document, good(BASE.replace(old, new)).document) == (changes, [])


@pytest.mark.parametrize(
    ("old", "new", "lines"),
    [
        ("to: 3", "to: 4", ["tasks.range.to was 3 and is now 4"]),
        ("memory: 1Gi", "memory: 2Gi", ["job.resources.memory was '1Gi' and is now '2Gi'"]),
        ("image: a", "image: b", ["job.image was 'a' and is now 'b'"]),
        ("image: a", "image: a, command: [x]", ["job.command was a list of 0 and is now a list of 1"]),
        ("A: secretish", "A: other", ["job.env.A changed"]),
        (", B: y", "", ["job.env.B changed"]),
        ("image: a", "image: a, deadline: 1h", ["job.deadline was absent and is now '1h'"]),
        ("name: b", "name: b\nmaxAutoRetries: 2", ["maxAutoRetries was 6 and is now 2"]),
        ("name: b", "name: b\nowner: me", ["owner was absent and is now 'me'"]),
        (
            "{range: {name: I, from: 1, to: 3}}",
            "{list: [{id: a}]}",
            [
                "tasks.range was a mapping of 3 and is now absent",
                "tasks.list was absent and is now a list of 1",
            ],
        ),
    ],
)
def test_what_may_not_change(old: str, new: str, lines: list[str]) -> None:
    """Everything else is named with both values, those of the environment excepted."""
    changes, refused = changed_fields(good(BASE).document, good(BASE.replace(old, new)).document)
    assert changes == {}
    assert refused == [f"{line}: {ADVICE}" for line in lines]


def test_a_changed_csv_is_a_change(tmp_path: Path) -> None:
    """Other rows are other tasks, though the spec's own text is the same."""
    text = "tasks: {csv: {path: a.csv}}"
    (tmp_path / "a.csv").write_text("id\na\n")
    before = good(text, tmp_path)
    (tmp_path / "a.csv").write_text("id\na\nb\n")
    after = good(text, tmp_path)
    _, lines = changed_fields(before.document, after.document)
    assert [line.partition(" was ")[0] for line in lines] == ["tasks.csv.sha256", "tasks.csv.rows"]


def test_many_differences_are_counted() -> None:
    """A list that changed everywhere is told in twenty lines and a number."""
    items = ", ".join(f"{{id: t{n}, V: a}}" for n in range(50))
    before, after = (
        good(f"tasks: {{list: [{items}]}}"),
        good(f"tasks: {{list: [{items.replace('V: a', 'V: b')}]}}"),
    )
    _, lines = changed_fields(before.document, after.document)
    assert len(lines) == 21
    assert lines[-1] == "and 30 more differences"


def test_settings() -> None:
    """The four changeable fields as JSON data; the rules read back are the spec's."""
    spec = good(BASE + "\npriority: 2")
    settings = settings_of(spec)
    assert set(settings) == {"maxConcurrent", "paused", "priority", "retry"}
    assert (settings["maxConcurrent"], settings["paused"], settings["priority"]) == (5, False, 2)
    assert rules_of(settings["retry"]) == spec.retry
    assert [rule.name for rule in rules_of(settings["retry"] * 2)] == ["spec[0]", "spec[1]"]
