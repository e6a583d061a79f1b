"""What the page draws of a batch. Asked by everybody who looks; ``charting`` says how long it is good."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from controller.api import examples
from controller.api.context import Here, Who, World, context_of
from controller.api.documented import answered
from controller.api.finding import batch_named
from controller.api.routes_batches import BatchId
from controller.core.charts import charts_document
from controller.core.model import Batch
from controller.explaining import explanation_of_batch
from controller.shapes import time
from controller.standing import standing

router = APIRouter(prefix="/api/v1/batches", tags=["batches"])


@router.get(
    "/{id}/charts", summary="A batch in numbers to draw", responses=answered("Charts", examples.CHARTS)
)
async def charts(request: Request, world: Here, who: Who, batch_id: BatchId) -> Response:
    """Active jobs over time, how long jobs took, when it will about be done, failures by verdict, why it
    waits. Good for some seconds, of a batch that is over as long as nothing is retried in it."""
    found = await batch_named(world, who, batch_id)
    charting = context_of(request).charting
    told = await charting.ask(found, lambda: _charts(world, found))
    return Response(told, media_type=JSONResponse.media_type)


async def _charts(world: World, batch: Batch) -> bytes:
    end = batch.finished if batch.status.closed and batch.finished else world.engine.clock.now()
    seconds = max(1.0, (end - batch.inserted).total_seconds())
    tally = await world.desk.tally(batch.id, batch.inserted, seconds)
    one = standing(batch, (await world.store.gates([batch.id])).get(batch.id))
    document = charts_document(
        tally,
        start=time(batch.inserted) or "",
        seconds=seconds,
        most=one.gate.max,
        waiting=one.waiting,
        active=one.active,
        goes_on=one.gate.open and not batch.status.closed,
    )
    why = (await explanation_of_batch(world.engine, batch, fresh=False)).sentence
    return bytes(JSONResponse({**document, "why": why}).body)
