"""What surrounds a batch in a pass: the list, names beside its own, halts, clocks, the others' demands.

Called by ``reconcile`` once per pass; ``looking`` then makes each batch's view from it.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import timedelta

from controller.allowance import demands_of
from controller.core.decide import Lifecycle
from controller.core.model import Batch, Halts
from controller.core.sharing import Demand, Limits
from controller.core.sight import Observation
from controller.engine import Engine
from controller.former import sorted_out
from controller.looking import Scene
from controller.ports import Unavailable


async def open_batches(engine: Engine) -> list[Batch]:
    """Batches that are not closed, and closed ones with something waiting or active all the same."""
    batches = {batch.id: batch for batch in await engine.store.batches(closed=False)}
    for batch_id in sorted(await engine.store.batches_with_live_jobs() - set(batches)):
        batch = await engine.store.batch(batch_id)
        if batch:
            batches[batch_id] = batch
    return sorted(batches.values(), key=lambda batch: (batch.inserted, batch.id))


async def observe(engine: Engine, namespaces: Sequence[str], recorded: Iterable[str] = ()) -> Observation:
    """A complete list; what the watch showed before it was asked for is forgotten.

    ``recorded``: batches that are known to have a record.
    """
    engine.news.clear()
    try:
        observation = await sorted_out(engine, await engine.cluster.observe(namespaces), recorded)
    except Unavailable as error:
        engine.blind = str(error)
        raise
    engine.seen, engine.blind = observation, ""
    return observation


async def all_demands(engine: Engine) -> Sequence[Demand] | None:
    """What all batches hold and ask for, read once a pass; None where no limit binds them."""
    return None if engine.settings.limits == Limits() else await demands_of(engine)


async def scene_of(engine: Engine, batches: Sequence[Batch]) -> Scene:
    """What surrounds every batch of this pass: halts, names, and whether time can be trusted."""
    namespaces = {batch.namespace for batch in batches}
    halts, lives = await asyncio.gather(engine.store.halts(), lifecycles(engine, namespaces))
    return Scene(halts=halts, life=engine.settings.life, prefixes=names_of(batches), lives=lives)


def names_of(batches: Sequence[Batch]) -> dict[str, frozenset[str]]:
    """Names of the unfinished batches, by namespace."""
    names: dict[str, frozenset[str]] = {}
    for batch in batches:
        if not batch.status.closed:
            names[batch.namespace] = names.get(batch.namespace, frozenset()) | {batch.name}
    return names


async def lifecycles(engine: Engine, namespaces: Iterable[str]) -> dict[str, Lifecycle]:
    """By namespace: the operator's figures, with its blind gaps and whether time counts there (R10)."""
    life = engine.settings.life
    skew = abs(await engine.read_clock() - engine.clock.now())
    steady = engine.trusted_clock and skew <= engine.settings.clock_skew
    gaps = await engine.store.blind_gaps()
    return {
        name: replace(
            life,
            reaper=replace(
                life.reaper, trusted=steady and has_been_seeing(engine, name), gaps=tuple(gaps.get(name, ()))
            ),
        )
        for name in namespaces
    }


def longest_silence(engine: Engine) -> timedelta:
    """A silence between good passes that is longer than this counts for no reaper (R10)."""
    return engine.settings.interval * 2


def has_been_seeing(engine: Engine, namespace: str) -> bool:
    """False after a silence that no good pass has yet recorded as blind time: nothing is reaped (R10)."""
    if engine.good_at is None:
        return True
    silence = longest_silence(engine).total_seconds()
    return engine.clock.monotonic() - engine.good_at.get(namespace, -math.inf) <= silence


# ------------------------------------------------------------------------------------ after an event


async def scene_after_event(
    engine: Engine, batch: Batch, halts: Halts, focus: frozenset[str] | None
) -> Scene:
    """The scene of one batch's pass: what the watch showed, and the last list while it is fresh (R2).

    What only time brings is left to the full pass: nothing is reaped here, so the clocks and the blind
    gaps are not asked. The names are those of the last list, with which they belong.
    """
    if not _fresh(engine, batch):
        others = await open_batches(engine)
        namespaces = sorted({other.namespace for other in others} | {batch.namespace})
        await observe(engine, namespaces, {batch.id, *(other.id for other in others)})
        engine.names = names_of(others)
    elif not batch.status.closed and batch.name not in engine.names.get(batch.namespace, ()):
        engine.names = names_of(await open_batches(engine))
    life, news = engine.settings.life, engine.news.get(batch.id, {})
    return Scene(
        halts=halts,
        life=replace(life, reaper=replace(life.reaper, trusted=False)),
        prefixes=engine.names,
        news={job_id: job for job_id, job in news.items() if focus is None or job_id in focus},
        focus=focus,
        demands=await all_demands(engine),
    )


def _fresh(engine: Engine, batch: Batch) -> bool:
    seen = engine.seen
    return (
        seen is not None
        and batch.namespace in seen.namespaces
        and engine.clock.monotonic() - seen.asked <= engine.settings.foreign_age
    )
