"""Bugs planted into the store on MongoDB: the fidelity script shows each of them.

What the real store answers to the script is what the fake answers (``test_fidelity_store``); with one of
these in it, it is not. Each is a trap that design or lifecycle names of the database itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from controller.adapters import mongo_attempts, mongo_changes, mongo_lineage
from controller.adapters.mongo_shapes import Document
from controller.core.change import Change
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


BUGS: Mapping[str, Callable[[Patch], None]] = {
    "no compare-and-set": no_compare_and_set,
    "the store does not ask for the epoch": epoch_not_asked,
    "the store's lists are appended to": lists_are_appended_to,
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
