"""How a batch stands: all that a pass after an event begins with, in one round trip.

A part of ``mongo.MongoStore``. Four reads of one document each cost more than one of four.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from controller.adapters.mongo_batches import WITHOUT_CHILDREN, MongoBatches
from controller.adapters.mongo_edge import edge
from controller.adapters.mongo_meta import HALTS_ID, MongoMeta, decode_halts
from controller.adapters.mongo_shapes import Document, id_or_none
from controller.core.model import Attempt, Batch, Gate, Halts
from controller.ports import Standing


def _from(collection: str, document_id: Any) -> Document:
    """One document of another collection, under that collection's name."""
    named: list[Document] = [{"$match": {"_id": document_id}}, {"$project": {"_id": 0, collection: "$$ROOT"}}]
    return {"$unionWith": {"coll": collection, "pipeline": named}}


class MongoStanding(MongoMeta, MongoBatches):
    """One aggregation over three collections, each asked by its ids."""

    @edge
    async def standing(self, batch_id: str, job_ids: Iterable[str] = ()) -> Standing:
        """The batch, its gate, the halts, and these records."""
        parent = id_or_none(batch_id)
        asked = {job for job in map(id_or_none, job_ids) if job}
        steps: list[Document] = [
            {"$match": {"_id": {"$in": [*asked, parent]}}},
            {"$project": WITHOUT_CHILDREN},
            _from("gates", parent),
            _from("meta", HALTS_ID),
        ]
        batch: Batch | None = None
        gate: Gate | None = None
        halts, jobs = Halts(), list[Attempt]()
        for document in await (await self._jobs.aggregate(steps)).to_list():
            if "gates" in document:
                gate = self._gate(document["gates"])
            elif "meta" in document:
                halts = decode_halts(document["meta"])
            elif document.get("batch_job"):
                batch = self._readable(document) if document["_id"] == parent else batch
            elif document["_id"] in asked and (job := self._attempt(document)):
                jobs.append(job)
        return Standing(batch, gate, halts, jobs)
