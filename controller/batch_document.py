"""A batch as programs read it: one of a list, or one alone with why it waits and what failed last.

The same for the command line and for the API; the screens of the command line are drawn from it.
"""

from __future__ import annotations

from controller.core.model import Batch, Gate, Status
from controller.core.statusfile import Progress
from controller.engine import Engine
from controller.explaining import explanation_of_batch
from controller.ports import JobFilter
from controller.shapes import Document, batch_document
from controller.standing import Standing, standing, standing_of
from controller.this_machine import ignored_here

SHOWN_FAILURES = 10


def listed_batch(batch: Batch, gate: Gate | None) -> Document:
    """One of many: from its record and its gate alone."""
    one = standing(batch, gate)
    return _document(one, Progress(one.active, one.waiting))


async def whole_batch(engine: Engine, cluster: str, found: Batch, *, fresh: bool) -> Document:
    """One alone, read now. ``cluster``: the configured kind. ``fresh``: the cluster is looked at for it."""
    store = engine.store
    one = await standing_of(store, found.id, engine.clock.now()) or standing(found, None)
    active = JobFilter(batch_id=found.id, status=tuple(status for status in Status if status.active))
    why = await explanation_of_batch(engine, one.batch, fresh=fresh)
    progress = Progress(
        active=one.active,
        waiting=one.waiting,
        terminating=len([1 async for job in store.find_jobs(active) if job.terminating]),
        why_waits=[why.sentence],
        failures=await store.last_failures(found.id, SHOWN_FAILURES),
    )
    return {**_document(one, progress), "ignoredHere": ignored_here(cluster, one.batch.spec)}


def _document(one: Standing, progress: Progress) -> Document:
    """As in the status file, with what a screen shows besides. Active jobs are the gate's: it is newer."""
    document = batch_document(one.batch, one.gate, progress)
    document["activeJobsInBatch"] = f"{one.places} of {one.gate.max}"
    if one.state == "cancelling":
        document["cancelling"] = True
    if one.back_off:
        document["backOff"] = one.back_off
    document["firstAttempts"] = {verdict.value: n for verdict, n in one.batch.counts.first.items() if n > 0}
    return document
