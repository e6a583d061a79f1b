"""Why a batch or a job is as it is, from a fresh look; and the end of a job's output.

Called by the command line and the API. Reads only, and decides nothing: the sentences are ``core.explain``'s
about the very view that the next pass would plan from. Not being able to look is a cause too.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import partial

from controller import reconcile
from controller.allowance import allowance_of
from controller.core.explain import Explanation, explain_batch, explain_job
from controller.core.model import Attempt, Batch, Gate
from controller.core.sight import Observation, joined
from controller.core.view import View
from controller.engine import Engine
from controller.former import sorted_out
from controller.looking import in_time, line_of, look
from controller.ports import Unavailable


async def view_of(
    engine: Engine, batch: Batch, gate: Gate | None = None, *, fresh: bool = True, over: bool = False
) -> View:
    """A view of one batch for ``explain`` and dry runs; reads only.

    The records are read before the list is asked for, as in a pass (R11). ``fresh=False``: a list will do
    that this process asked for within the last pass, or that somebody else waits for. ``over``: for what is
    over, so nothing is looked at. Raises ``Unavailable``.
    """
    gate = gate or (await engine.store.gates([batch.id])).get(batch.id) or Gate(batch.id, 0)
    read_at = engine.clock.monotonic()
    records = (read_at, await engine.store.jobs([holder.job for holder in gate.holders]))
    known = Observation(read_at) if over else None if fresh else _recent(engine, batch)
    observation = known or await (_listed if fresh else _with_others)(engine, batch.namespace)
    scene = await reconcile.scene_of(engine, await reconcile.open_batches(engine))
    allowance = await allowance_of(engine, batch, gate)
    return await look(engine, batch, gate, replace(scene, observation=observation), allowance, records)


async def _listed(engine: Engine, namespace: str) -> Observation:
    """The namespace as it is now; a process that does not lead remembers it."""
    found = await sorted_out(engine, await engine.cluster.observe([namespace]))
    if not engine.epoch:
        engine.seen = joined(engine.seen, found)
    return found


async def _with_others(engine: Engine, namespace: str) -> Observation:
    """The same, read once for all who ask meanwhile: a list of everything for each would fill the memory.

    One who goes away does not end it for the others.
    """
    asked = engine.asked.get(namespace)
    if asked is None:
        asked = asyncio.create_task(_listed(engine, namespace), name=f"people look at {namespace}")
        engine.asked[namespace] = asked
        asked.add_done_callback(partial(_answered, engine, namespace))
    return await asyncio.shield(asked)


def _answered(engine: Engine, namespace: str, asked: asyncio.Task[Observation]) -> None:
    del engine.asked[namespace]
    if not asked.cancelled():
        asked.exception()  # whoever waits is told; nobody may


def _recent(engine: Engine, batch: Batch) -> Observation | None:
    return engine.seen if in_time(engine, engine.seen, batch.namespace) else None


async def explanation_of_batch(engine: Engine, batch: Batch, *, fresh: bool = True) -> Explanation:
    """Why the batch stands where it stands."""
    try:
        view = await view_of(engine, batch, fresh=fresh, over=batch.status.closed)
    except Unavailable as error:
        return Explanation(
            "blind", f"{batch.name}: nothing is decided while the cluster can't be seen: {error}"
        )
    return explain_batch(view, await line_of(engine, view))


async def explanation_of_job(engine: Engine, job: Attempt, *, fresh: bool = True) -> Explanation:
    """Why an attempt waits, runs or ended as it did."""
    batch = await engine.store.batch(job.batch_id)
    if batch is None:
        return Explanation("no-batch", f"{job.name} is {job.status.value}; the record of its batch is gone")
    chain = await engine.store.chain(job.batch_id, job.task_id)
    over = batch.status.closed and job.status.terminal
    try:
        view = await view_of(engine, batch, fresh=fresh, over=over)
    except Unavailable as error:
        return Explanation("blind", f"{job.name} is {job.status.value}; the cluster can't be seen: {error}")
    return explain_job(view, job, chain)


async def log_of(engine: Engine, job: Attempt, most: int) -> tuple[str, str]:
    """The log and where it is from; a cluster that does not answer is no reason to show nothing."""
    away = f"the cluster has no log of {job.name} any more"
    try:
        live = await engine.cluster.get(job.namespace, job.name, job.id)
        if live.job:
            tail = await engine.cluster.log_tail(live.job, most)
            if tail or not job.evidence.log_tail:  # a Job may outlive its pod, and with it its log
                return tail, f"from the cluster, as it is now: {job.name}"
    except Unavailable as error:
        away = f"the cluster can't be asked ({error})"
    kept = job.evidence.log_tail.encode()[-most:].decode(errors="replace")
    return kept, f"{away}: this is what was kept with its record" if kept else away
