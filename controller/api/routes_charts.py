"""What the page draws of a batch. Asked by everybody who looks, so an answer is good for a moment."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from controller.api import examples
from controller.api.context import Here, Who, World, context_of
from controller.api.documented import answered
from controller.api.finding import batch_named
from controller.api.routes_batches import BatchId
from controller.core.charts import charts_document
from controller.core.model import Batch
from controller.shapes import time
from controller.standing import standing

router = APIRouter(prefix="/api/v1/batches", tags=["batches"])

GOOD_FOR = timedelta(seconds=3)
"""All records of a batch are read for an answer, so it is given again for so long."""
REMEMBERED = 100
Answers = dict[str, tuple[datetime, Mapping[str, Any]]]


@router.get(
    "/{id}/charts", summary="A batch in numbers to draw", responses=answered("Charts", examples.CHARTS)
)
async def charts(request: Request, world: Here, who: Who, batch_id: BatchId) -> Response:
    """Active jobs over time, how long jobs took, when it will about be done, failures by verdict."""
    found = await batch_named(world, who, batch_id)
    answers: Answers = context_of(request).charts
    now = world.engine.clock.now()
    told = answers.get(found.id)
    if told is None or not timedelta() <= now - told[0] < GOOD_FOR:
        answers.pop(found.id, None)
        while len(answers) >= REMEMBERED:
            del answers[next(iter(answers))]
        told = answers[found.id] = now, await _charts(world, found, now)
    return JSONResponse(dict(told[1]))


async def _charts(world: World, batch: Batch, now: datetime) -> Mapping[str, Any]:
    end = batch.finished if batch.status.closed and batch.finished else now
    seconds = max(1.0, (end - batch.inserted).total_seconds())
    tally = await world.desk.tally(batch.id, batch.inserted, seconds)
    one = standing(batch, (await world.store.gates([batch.id])).get(batch.id))
    return charts_document(
        tally,
        start=time(batch.inserted) or "",
        seconds=seconds,
        most=one.gate.max,
        waiting=one.waiting,
        active=one.active,
        goes_on=one.gate.open and not batch.status.closed,
    )
