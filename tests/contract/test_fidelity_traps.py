"""Bugs planted into the store on MongoDB: the fidelity script shows each of them.

What the real store answers to the script is what the fake answers (``test_fidelity_store``); with one of
these in it, it is not. Each is a trap that design or lifecycle names of the database itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from pymongo import IndexModel

from controller.adapters import mongo_attempts, mongo_changes, mongo_documents, mongo_lineage, mongo_schema
from controller.adapters.mongo_shapes import Document
from controller.core.change import Change
from controller.core.model import Attempt
from tests.contract.fidelity import read
from tests.contract.test_fidelity_lies import DIFFER
from tests.contract.test_fidelity_store import answers_agree, in_memory, on_mongod

Patch = pytest.MonkeyPatch


def _filters_with(patch: Patch, keep: Callable[[Document], bool]) -> None:
    """Guarded updates keep only these of their conditions, beside the record's id."""
    original = mongo_changes.guarded_update

    def guarded_update(change: Change, epoch: int | None) -> Any:
        query, update = original(change, epoch)
        only = {"_id": query["$and"][0]["_id"]}
        return {"$and": [only, *filter(keep, query["$and"])]}, update

    patch.setattr(mongo_attempts, "guarded_update", guarded_update)


def no_compare_and_set(patch: Patch) -> None:
    """A record is written whatever has become of it since it was read."""
    _filters_with(patch, lambda condition: False)


def epoch_not_asked(patch: Patch) -> None:
    """An older leader's write is as good as any."""
    _filters_with(patch, lambda condition: "epoch" not in condition)


def lists_are_appended_to(patch: Patch) -> None:
    """``child_jobs`` gets the ids, whatever is in it."""
    patch.setattr(mongo_lineage, "_new_in", lambda name, ids: {})
    patch.setattr(
        mongo_lineage,
        "union",
        lambda name, ids: {"$concatArrays": [{"$ifNull": [f"${name}", []]}, {"$literal": ids}]},
    )


def _unique_wherever_it_is(patch: Patch, name: str, *fields: str) -> None:
    """The unique index of that name holds every record that has these fields, null or not."""
    partial = {field: {"$exists": True} for field in fields}
    indexes = []
    for index in mongo_schema.JOB_INDEXES:
        document = index.document
        if document["name"] == name:
            index = IndexModel(list(document["key"].items()), **_unique(name, partial))
        indexes.append(index)
    patch.setattr(mongo_schema, "JOB_INDEXES", indexes)


def _unique(name: str, partial: Document) -> Document:
    return {"name": name, "unique": True, "partialFilterExpression": partial}


def slots_are_null(patch: Patch) -> None:
    """Who has ended keeps a slot that is null, and so may nobody else of his batch."""
    _unique_wherever_it_is(patch, "slot", "slot")
    patch.setattr(mongo_schema, "JOB_VALIDATOR", {})
    original = mongo_changes._pipeline

    def pipeline(*given: Any) -> list[Document]:
        (step,) = original(*given)
        if step["$set"].get("slot") == "$$REMOVE":
            step["$set"]["slot"] = None
        return [step]

    patch.setattr(mongo_changes, "_pipeline", pipeline)


def requests_are_null(patch: Patch) -> None:
    """A retry that no request asked for says null, and so may no other one of its task."""
    _unique_wherever_it_is(patch, "request", "request_id", "retry_parent")
    original = mongo_documents.attempt_document

    def document(job: Attempt) -> Document:
        return {"request_id": None, **original(job)}

    patch.setattr(mongo_attempts, "attempt_document", document)


BUGS: Mapping[str, Callable[[Patch], None]] = {
    "no compare-and-set": no_compare_and_set,
    "the store does not ask for the epoch": epoch_not_asked,
    "the store's lists are appended to": lists_are_appended_to,
    "slots are null": slots_are_null,
    "requests are null": requests_are_null,
}


@pytest.mark.parametrize("bug", BUGS)
async def test_a_bug_in_the_store_is_found(bug: str, mongo_uri: str) -> None:
    """Some reply is not that of the fake."""
    operations = read("store")
    fake = await in_memory(operations)
    with pytest.MonkeyPatch.context() as patch:
        BUGS[bug](patch)
        real = await on_mongod(operations, mongo_uri)
    with pytest.raises(AssertionError, match=DIFFER):
        answers_agree(operations, fake, real)
