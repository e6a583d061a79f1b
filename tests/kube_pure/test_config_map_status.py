"""What a ConfigMap tells of its specs: bounded, robust against what others write, and one Event a thing."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from controller.adapters.spec_configmap_status import (
    LIMIT,
    SpecReason,
    annotation_of,
    event_of,
    merged,
    statuses_of,
)
from controller.ports import Subject

AT = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)
SUBJECT = Subject("v1", "ConfigMap", "lab", "sweep", "uid-1")
RUNNING: dict[str, Any] = {"batch": "lab/sweep", "state": "running", "next": "Nothing to do."}


def reason(before: dict[str, Any], now: dict[str, Any]) -> SpecReason | None:
    """The reason of the Event that is made of it."""
    event = event_of(SUBJECT, "a.yaml", before, now, AT)
    return None if event is None else SpecReason(event.reason)


def test_it_is_read_as_it_was_written() -> None:
    """With any character, in its order."""
    statuses = {"a.yaml": {**RUNNING, "failures": [{"message": 'ü "x" \ud800'}]}}
    assert statuses_of(annotation_of(statuses)) == statuses


@pytest.mark.parametrize(
    "annotation", ["", "mine", "[]", "1", '{"a.yaml": 3}', "[" * 100_000, '{"a": NaN', "null"]
)
def test_what_somebody_else_wrote_there_is_no_status(annotation: str) -> None:
    """And does no harm."""
    assert statuses_of(annotation) == {}


def test_too_much_is_cut_to_what_is_most_wanted() -> None:
    """Within the bound, each key says how it fares and what to do; the same statuses are cut the same way."""
    long = {**RUNNING, "failures": [{"message": "x" * 300}] * 10, "refused": ["y" * 300] * 50}
    statuses = {f"{n:02}.yaml": long for n in range(20)}
    annotation = annotation_of(statuses)
    assert len(annotation.encode()) <= LIMIT
    found = statuses_of(annotation)
    assert found.keys() == statuses.keys()
    assert found["00.yaml"] == {**RUNNING, "refused": ["y" * 300]}
    assert annotation_of(statuses) == annotation


def test_far_too_many_are_those_that_fit() -> None:
    """The first keys, whole."""
    statuses = {f"{n:05}.yaml": {**RUNNING, "reason": "ü" * 150} for n in range(1000)}
    annotation = annotation_of(statuses)
    assert len(annotation.encode()) <= LIMIT
    found = json.loads(annotation)
    assert 0 < len(found) < 1000
    assert list(found) == list(statuses)[: len(found)]


def test_what_is_gone_is_told_no_more() -> None:
    """The statuses of keys that are there, in the order of the keys."""
    before = {"gone.yaml": RUNNING, "b.yaml": RUNNING}
    assert list(merged(before, "a.yaml", RUNNING, ["b.yaml", "a.yaml", "new.yaml"])) == ["a.yaml", "b.yaml"]


@pytest.mark.parametrize(
    ("before", "now", "told"),
    [
        ({}, {"state": "reading"}, None),
        ({}, RUNNING, SpecReason.ACCEPTED),
        (RUNNING, {**RUNNING, "state": "paused"}, None),
        (RUNNING, {**RUNNING, "state": "held", "reason": "x"}, None),
        ({**RUNNING, "state": "finished", "result": "partial"}, RUNNING, None),
        ({**RUNNING, "refused": ["image may not change"]}, RUNNING, None),
        (
            {**RUNNING, "state": "finished", "result": "partial"},
            {**RUNNING, "batch": "lab/other"},
            SpecReason.ACCEPTED,
        ),
        ({"state": "refused", "refused": ["no"]}, RUNNING, SpecReason.ACCEPTED),
        ({}, {"state": "refused", "refused": ["no"]}, SpecReason.REFUSED),
        ({"state": "refused", "refused": ["no"]}, {"state": "refused", "refused": ["no"]}, None),
        (
            {"state": "refused", "refused": ["no"]},
            {"state": "refused", "refused": ["yes"]},
            SpecReason.REFUSED,
        ),
        (RUNNING, {**RUNNING, "refused": ["image may not change"]}, SpecReason.REFUSED),
        (RUNNING, {**RUNNING, "state": "finished", "result": "completed"}, SpecReason.COMPLETED),
        (RUNNING, {**RUNNING, "state": "finished", "result": "partial"}, SpecReason.FAILED),
        (RUNNING, {**RUNNING, "state": "cancelled"}, SpecReason.CANCELLED),
    ],
)
def test_what_people_wait_for(before: dict[str, Any], now: dict[str, Any], told: SpecReason | None) -> None:
    """Accepted, refused (also a change), ended; nothing of what lies between."""
    assert reason(before, now) is told


def test_the_same_thing_is_one_event() -> None:
    """Its name is the same each time, another one for another thing, and lawful for the longest of names."""
    long = Subject("v1", "ConfigMap", "lab", "a" * 99 + "." + "b" * 153, "uid-2")
    refused = [{"state": "refused", "refused": [why]} for why in ("no", "no", "yes")]
    names = [event.name for now in refused if (event := event_of(long, "a.yaml", {}, now, AT))]
    assert names[0] == names[1] != names[2]
    assert all(len(name) <= 253 and ".." not in name for name in names)
