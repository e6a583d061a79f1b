"""The program with a bug sown into its store: ``python -m tests.failover.sown <bug> controller …``."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from bson import ObjectId
from pymongo import AsyncMongoClient, WriteConcern

from controller.adapters import mongo
from controller.adapters.mongo import MongoStore
from controller.cli import main
from controller.core.model import Gate, Holder
from controller.ports import Unavailable

Patch = pytest.MonkeyPatch
Places = Sequence[tuple[str, int]]
_claim = MongoStore.claim


def one_member_is_enough(patch: Patch) -> None:
    """A write counts as done once the primary has it."""

    def connect(uri: str, patience: timedelta, *, numbered: bool = True) -> AsyncMongoClient[Any]:
        milliseconds = patience // timedelta(milliseconds=1)
        return AsyncMongoClient(uri, w=1, retryWrites=numbered, tz_aware=True, timeoutMS=milliseconds)

    patch.setattr(mongo, "connect", connect)


def no_answer_is_success(patch: Patch) -> None:
    """A claim that nobody answered is taken for one that went through."""

    async def claim(
        store: MongoStore, batch_id: str, places: Places, epoch: int, leaving: Iterable[str] = ()
    ) -> Gate | None:
        try:
            return await _claim(store, batch_id, places, epoch, leaving)
        except Unavailable:
            gate = (await store.gates([batch_id]))[batch_id]
            return replace(gate, holders=(*gate.holders, *(Holder(job, slot) for job, slot in places)))

    patch.setattr(MongoStore, "claim", claim)


def repeated_without_its_guard(patch: Patch) -> None:
    """A claim that nobody answered is written again, by an update that asks no more whether it is there."""

    async def claim(
        store: MongoStore, batch_id: str, places: Places, epoch: int, leaving: Iterable[str] = ()
    ) -> Gate | None:
        try:
            return await _claim(store, batch_id, places, epoch, leaving)
        except Unavailable:
            new = [{"job": ObjectId(job), "slot": slot} for job, slot in places]
            gates = store._gates.with_options(write_concern=WriteConcern("majority"))
            await gates.update_one({"_id": ObjectId(batch_id)}, {"$push": {"holders": {"$each": new}}})
            return (await store.gates([batch_id]))[batch_id]

    patch.setattr(MongoStore, "claim", claim)


SOWN: Mapping[str, Callable[[Patch], None]] = {
    "one member is enough": one_member_is_enough,
    "no answer is success": no_answer_is_success,
    "repeated without its guard": repeated_without_its_guard,
}

if __name__ == "__main__":
    SOWN[sys.argv[1]](pytest.MonkeyPatch())
    sys.exit(main(sys.argv[2:]))
