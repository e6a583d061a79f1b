"""Whatever the bytes: no crash, no endless wait, a problem with its place or a sound batch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from controller.core.naming import looks_like_retry
from controller.core.settings import rules_of, settings_of
from controller.specfile import changed_fields
from tests.specfile.reading import read
from tests.specfile.soundness import sound, sound_tasks

HERE = Path("/nowhere")
labels = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,8}[a-z0-9])?", fullmatch=True)
names = st.from_regex(r"[A-Z_][A-Z0-9_]{0,8}", fullmatch=True).map(lambda name: f"V{name}")
texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)
"""Values; in JSON, where every character can be written."""
durations = st.integers(1, 10**6).map(lambda seconds: f"{seconds}s")


@settings(max_examples=300)
@given(st.binary(max_size=300))
def test_any_bytes(content: bytes) -> None:
    """Random bytes are refused with a reason, as YAML and as JSON."""
    sound(read(content, HERE))
    sound(read(content, HERE, "a.json"))


@settings(max_examples=200)
@given(st.text("{}[]:,-&*!|>?#%@`'\"\\ \n\tab01.", max_size=80))
def test_any_punctuation(text: str) -> None:
    """What YAML is made of, in any order, as a whole file and as a value."""
    sound(read(text, HERE))
    sound(read(f"job: {text}\nname: a", HERE))
    sound(read(text, HERE, "a.json"))


@settings(max_examples=200)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    ),
    st.sampled_from(["name", "tasks", "job", "retry", "maxConcurrent", "paused", "owner", "adopt"]),
)
def test_any_data_in_any_field(value: Any, field: str) -> None:
    """Any JSON value in the place of any field is accepted or told, with a line."""
    spec = {**json.loads(json.dumps(_BASE)), field: value}
    result = read(json.dumps(spec), HERE, "a.json")
    sound(result)
    assert all(problem.line for problem in result.problems)


_BASE: dict[str, Any] = {
    "apiVersion": "batchkeeper/v1",
    "kind": "Batch",
    "name": "b",
    "tasks": {"range": {"name": "I", "from": 1, "to": 2}},
    "job": {"image": "a"},
}

tasks = st.one_of(
    st.tuples(st.integers(0, 10**9), st.integers(0, 30)).map(
        lambda pair: {"range": {"name": "I", "from": pair[0], "to": pair[0] + pair[1]}}
    ),
    st.dictionaries(
        labels.filter(lambda text: not looks_like_retry(text)),
        st.dictionaries(names, texts, max_size=2),
        min_size=1,
    ).map(lambda items: {"list": [{"id": key, **parameters} for key, parameters in items.items()]}),
    st.dictionaries(names, st.lists(texts, min_size=1, max_size=4, unique=True), min_size=1, max_size=3).map(
        lambda matrix: {"matrix": matrix}
    ),
)
rules = st.fixed_dictionaries(
    {
        "on": st.fixed_dictionaries(
            {"exitCodes": st.lists(st.integers(2, 255), min_size=1, max_size=3)},
            optional={
                "verdict": st.sampled_from(["lost", "unknown", "out-of-memory"]),
                "logs": st.just("a|b"),
                "reasons": st.lists(labels, min_size=1, max_size=2),
            },
        )
    },
    optional={
        "limit": st.integers(0, 9),
        "when": st.sampled_from(["now", "batch-end", "manual"]),
        "backoff": durations.map(lambda base: {"base": base, "max": "30d", "factor": 1.5}),
        "resources": st.just({"cpu": {"factor": 2, "max": "64"}}),
    },
)
specs = st.fixed_dictionaries(
    {
        **{key: st.just(_BASE[key]) for key in ("apiVersion", "kind")},
        "name": st.from_regex(r"[a-z0-9]([-a-z0-9]{0,18}[a-z0-9])?", fullmatch=True),
        "tasks": tasks,
        "job": st.fixed_dictionaries(
            {"image": st.just("ghcr.io/a/b:1")},
            optional={
                "command": st.lists(texts, max_size=3),
                "env": st.dictionaries(names, texts, max_size=3),
                "resources": st.fixed_dictionaries(
                    {},
                    optional={
                        "cpu": st.integers(1, 64),
                        "memory": st.integers(0, 2**40),
                        "gpu": st.integers(0, 8),
                    },
                ),
                "deadline": durations,
                "mounts": st.just([{"path": "/a", "emptyDir": True}, {"path": "/b", "pvc": "c"}]),
            },
        ),
    },
    optional={
        "maxConcurrent": st.integers(1, 1000),
        "priority": st.integers(-9, 9),
        "paused": st.booleans(),
        "owner": labels,
        "retry": st.lists(rules, max_size=3),
    },
)


@settings(max_examples=80, suppress_health_check=[HealthCheck.too_slow])
@given(specs)
def test_valid_specs(spec: dict[str, Any]) -> None:
    """Every valid spec is read, says what was written, and equals itself when written out again."""
    result = read(json.dumps(spec, ensure_ascii=False), HERE, "a.json")
    assert result.problems == ()
    assert result.spec is not None
    sound_tasks(result.spec)
    document = json.loads(json.dumps(result.spec.document))
    assert rules_of(settings_of(result.spec)["retry"]) == result.spec.retry
    assert result.spec.job.env == spec["job"].get("env", {})
    again = read(json.dumps(document), HERE, "a.json").spec
    assert again is not None
    assert changed_fields(result.spec.document, again.document) == ({}, [])
    assert again.tasks == result.spec.tasks
    assert again.job == result.spec.job


@settings(max_examples=150)
@given(tasks)
def test_expansion(written: dict[str, Any]) -> None:
    """As many tasks as were written, in their order, with their parameters."""
    spec = read(json.dumps({**_BASE, "tasks": written}), HERE, "a.json").spec
    assert spec is not None
    ((kind, source),) = written.items()
    parameters = [dict(task.parameters) for task in spec.tasks]
    if kind == "range":
        assert parameters == [{"I": str(n)} for n in range(source["from"], source["to"] + 1)]
    elif kind == "list":
        assert [{"id": task.id, **task.parameters} for task in spec.tasks] == source
    else:
        positions = [[source[name].index(values[name]) for name in source] for values in parameters]
        assert positions == sorted(positions)
        assert len(positions) > 0
        assert all(list(values) == list(source) for values in parameters)
