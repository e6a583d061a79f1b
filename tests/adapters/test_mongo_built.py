"""A record is built again exactly when its document is another one."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from bson import CodecOptions, ObjectId, decode, encode
from bson.raw_bson import RawBSONDocument

from controller.adapters import mongo_built
from controller.adapters.mongo_built import Built
from controller.adapters.mongo_documents import attempt_document, decode_attempt
from controller.core.model import Attempt, Evidence, JobInput, Origin, Resources, Status

AT = datetime(2026, 1, 1, tzinfo=UTC)
JOB = Attempt(
    id=str(ObjectId()),
    batch_id=str(ObjectId()),
    namespace="lab",
    user="u",
    task_id="1",
    index=1,
    attempt=0,
    name="scan-1",
    status=Status.RUNNING,
    job_input=JobInput("i", ("true",), env={"N": "1"}, resources=Resources(100)),
    origin=Origin.SPEC,
    inserted=AT,
    updated=AT,
    slot=3,
)


def _built() -> Built:
    return Built(_attempt)


def _attempt(document: RawBSONDocument) -> Attempt:
    return decode_attempt(decode(document.raw, CodecOptions(tz_aware=True, tzinfo=UTC)))


def _raw(job: Attempt) -> RawBSONDocument:
    return RawBSONDocument(encode(attempt_document(job)))


def test_what_has_not_changed_is_not_built_again() -> None:
    """The same document gives the very same record."""
    built = _built()
    first, anew = built.attempt(_raw(JOB))
    assert first == JOB
    assert anew
    again, anew = built.attempt(_raw(JOB))
    assert again is first
    assert not anew


@pytest.mark.parametrize(
    "fields", [{"slot": 4}, {"evidence": Evidence(log_tail="x")}, {"node": "n"}, {"reason": "seen"}]
)
def test_a_change_within_the_same_millisecond_is_seen(fields: dict[str, Any]) -> None:
    """``updated`` is the same, the record is not."""
    built = _built()
    built.attempt(_raw(JOB))
    changed = replace(JOB, **fields)
    assert built.attempt(_raw(changed)) == (changed, True)
    assert built.attempt(_raw(JOB)) == (JOB, True)


def test_what_has_ended_is_not_kept() -> None:
    """Finished records are many, and no pass reads them again."""
    built = _built()
    built.attempt(_raw(JOB))
    ended = replace(JOB, status=Status.COMPLETED, slot=None, finished=AT)
    for _ in range(2):
        assert built.attempt(_raw(ended)) == (ended, True)


def test_the_oldest_goes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is kept is bounded; what went is built again."""
    monkeypatch.setattr(mongo_built, "MOST", 2)
    built = _built()
    jobs = [replace(JOB, id=str(ObjectId())) for _ in range(3)]
    for job in jobs:
        built.attempt(_raw(job))
    assert [built.attempt(_raw(job))[1] for job in reversed(jobs)] == [False, False, True]


def test_an_unreadable_one_is_none() -> None:
    """It is left out, each time it is met."""
    built = Built(lambda document: None)
    assert built.attempt(_raw(JOB)) == (None, True)
    assert built.attempt(_raw(JOB)) == (None, True)
