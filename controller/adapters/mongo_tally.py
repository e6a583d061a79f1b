"""The numbers behind a batch's plots, counted by the server. A part of ``mongo.MongoStore``.

Called for the page. What is read of each record is in no index: ``routes_charts`` asks seldom.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from controller.adapters.mongo_desk import MongoDesk
from controller.adapters.mongo_edge import edge
from controller.adapters.mongo_schema import ATTEMPTS
from controller.adapters.mongo_shapes import Document, object_id
from controller.core.charts import FINENESS, SHORTEST, STEPS, Tally
from controller.core.model import Status, Verdict

_SECONDS = {
    "$divide": [{"$dateDiff": {"startDate": "$running", "endDate": "$finished", "unit": "millisecond"}}, 1000]
}
_FAILED = [Status.ERROR.value, Status.TERMINATED.value]


class MongoTally(MongoDesk):
    """Counts over all attempts of one batch."""

    @edge
    async def tally(self, batch_id: str, start: datetime, seconds: float) -> Tally:
        """See ``Desk.tally``."""
        held = {"created": {"$type": "date"}}
        steps: list[Document] = [
            {"$match": {**ATTEMPTS, "batch_id": object_id(batch_id)}},
            {"$project": {"created": 1, "running": 1, "finished": 1, "status": 1, "verdict": 1}},
            {
                "$facet": {
                    "begun": _counted(held, _step("$created", start, seconds)),
                    "ended": _counted(
                        {**held, "finished": {"$type": "date"}}, _step("$finished", start, seconds)
                    ),
                    "took": _took(),
                    "failures": _counted(
                        {"status": {"$in": _FAILED}, "verdict": {"$type": "string"}}, "$verdict"
                    ),
                }
            },
        ]
        (found,) = await (await self._jobs.aggregate(steps)).to_list()
        return Tally(
            begun=_numbers(found["begun"]),
            ended=_numbers(found["ended"]),
            took=_numbers(found["took"]),
            seconds=float(sum(one["seconds"] for one in found["took"])),
            failures={
                Verdict(one["_id"]): one["n"] for one in found["failures"] if one["_id"] in set(Verdict)
            },
        )


def _counted(which: Document, by: Any) -> list[Document]:
    return [{"$match": which}, {"$group": {"_id": by, "n": {"$sum": 1}}}]


def _step(instant: str, start: datetime, seconds: float) -> Document:
    """The step of the timeline in which an instant lies; before it is the first, after it the last."""
    since = {"$dateDiff": {"startDate": start, "endDate": instant, "unit": "millisecond"}}
    step = {"$floor": {"$divide": [since, 1000 * seconds / STEPS]}}
    return {"$toInt": {"$min": [{"$max": [step, 0]}, STEPS - 1]}}


def _took() -> list[Document]:
    """Completed attempts by the step of the logarithm of their seconds, and these seconds in sum."""
    done = {"status": Status.COMPLETED.value, "running": {"$type": "date"}, "finished": {"$type": "date"}}
    step = {"$floor": {"$multiply": [FINENESS, {"$log": [{"$max": ["$s", SHORTEST]}, 2]}]}}
    return [
        {"$match": done},
        {"$project": {"s": _SECONDS}},
        {"$group": {"_id": {"$toInt": step}, "n": {"$sum": 1}, "seconds": {"$sum": "$s"}}},
    ]


def _numbers(found: Sequence[Document]) -> dict[int, int]:
    return {one["_id"]: one["n"] for one in found}
