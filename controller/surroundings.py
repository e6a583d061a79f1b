"""What surrounds a batch in a pass: the list, names beside its own, halts, clocks, the others' demands.

Called by ``reconcile`` once per pass; ``looking`` then makes each batch's view from it.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta

from controller.allowance import demands_of
from controller.core.copying import replace
from controller.core.decide import Lifecycle
from controller.core.model import Attempt, Batch, Gate, Halts, Status
from controller.core.sharing import NO_LIMITS, Demand
from controller.core.sight import Observation, joined
from controller.engine import Engine
from controller.former import sorted_out
from controller.looking import Scene, in_time
from controller.ports import Unavailable

MOMENT = 1.0
"""Seconds for which a pass after an event waits for a look that was begun by another."""


async def open_batches(engine: Engine) -> list[Batch]:
    """Batches that are not closed, and closed ones with something waiting or active all the same."""
    batches = {batch.id: batch for batch in await engine.store.batches(closed=False)}
    for batch_id in sorted(await engine.store.batches_with_live_jobs() - set(batches)):
        batch = await engine.store.batch(batch_id)
        if batch:
            batches[batch_id] = batch
    return sorted(batches.values(), key=lambda batch: (batch.inserted, batch.id))


async def holders_of(engine: Engine, gates: Mapping[str, Gate]) -> dict[str, list[Attempt]]:
    """By batch: the records that hold a place in these gates."""
    ids = [holder.job for gate in gates.values() for holder in gate.holders]
    records: dict[str, list[Attempt]] = {}
    for job in await engine.store.jobs(ids) if ids else ():
        records.setdefault(job.batch_id, []).append(job)
    return records


async def observe(
    engine: Engine, batches: Sequence[Batch], read_at: float, records: Mapping[str, Sequence[Attempt]]
) -> tuple[Observation | None, dict[str, Attempt]]:
    """What the looks at the namespaces of all open batches tell, and the records that they may judge.

    ``records``: by batch, read at that monotonic instant. Each namespace has a look of its own. One that is
    not there within the patience of a pass is not in the answer; it goes on, and a later pass takes it.
    Raises ``Unavailable`` when none could be had.
    """
    namespaces, looks = sorted({batch.namespace for batch in batches}), engine.looks
    looks.let_go(namespaces)
    for name in namespaces:
        _begin(engine, name, batches, read_at, records)
    try:
        await looks.wait(namespaces, engine.settings.patience)
    except asyncio.CancelledError:
        looks.miss(namespaces)  # the pass is given up, and the next one takes what comes of them
        raise
    taken = {name: look for name in namespaces if (look := looks.take(name))}
    engine.unseen = frozenset(namespaces) - taken.keys()
    seen: Observation | None = None
    blind: dict[str, str] = {}
    judged: dict[str, Attempt] = {}
    for name, look in taken.items():
        try:
            found = look.task.result()
        except Unavailable as error:
            blind[name] = str(error)
            continue
        seen = joined(seen, found)
        if look.read_at < found.asked:
            judged |= look.records
    if blind and seen is None and not engine.unseen:
        engine.blind = next(iter(blind.values()))
        raise Unavailable(engine.blind)
    if blind:
        engine.seen = joined(engine.seen, Observation(-math.inf, blind=blind))
    engine.blind = "" if seen else engine.blind
    return seen, judged


def _begin(
    engine: Engine,
    namespace: str,
    batches: Iterable[Batch],
    read_at: float,
    records: Mapping[str, Sequence[Attempt]],
) -> None:
    """A look at this namespace, where none is there."""
    if engine.looks.there(namespace):
        return
    there = [batch.id for batch in batches if batch.namespace == namespace]
    mine = {job.id: job for batch_id in there for job in records.get(batch_id, ())}
    asked_for = frozenset(job.id for job in mine.values() if job.status is not Status.WAITING)
    look = _look(engine, namespace, frozenset(there), asked_for)
    engine.looks.begin(namespace, look, read_at, mine)


async def _look(
    engine: Engine, namespace: str, recorded: frozenset[str], attempts: frozenset[str]
) -> Observation:
    """A complete list of one namespace; what the watch showed before it was asked for is forgotten then.

    ``recorded``: batches that are known to have a record; ``attempts``: those that hold places in them
    and are known to have been asked for, which a place alone does not tell.
    """
    before = {
        (batch_id, job_id): job
        for batch_id, news in engine.news.items()
        for job_id, job in news.items()
        if job.namespace == namespace
    }
    seen = await sorted_out(engine, await engine.cluster.observe([namespace]), recorded, attempts)
    for (batch_id, job_id), job in before.items():
        news = engine.news.get(batch_id, {})
        if news.get(job_id) is job:
            del news[job_id]
    engine.seen = joined(engine.seen, seen)
    return seen


async def all_demands(engine: Engine) -> Sequence[Demand] | None:
    """What all batches hold and ask for, read once a pass; None where no limit binds them."""
    return None if engine.settings.limits == NO_LIMITS else await demands_of(engine)


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
    off = await skew(engine)  # also where it decides nothing: this is when the store's clock is read
    steady = engine.trusted_clock and off <= engine.settings.clock_skew
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


async def skew(engine: Engine) -> timedelta:
    """By how much this machine's clock differs from the store's."""
    return abs(await engine.read_clock() - engine.clock.now())


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
    engine: Engine, batch: Batch, gate: Gate, halts: Halts, focus: frozenset[str] | None
) -> Scene:
    """The scene of one batch's pass: the last list, and what the watch has shown since.

    What only time brings is left to the full pass: nothing is reaped here, so the clocks and the blind
    gaps are not asked. The names are those of the last list, with which they belong.
    """
    before = dict(engine.news.get(batch.id, {}))
    if not _fresh(engine, batch):
        engine.names = names_of(await _look_again(engine, batch))
    elif not batch.status.closed and batch.name not in engine.names.get(batch.namespace, ()):
        engine.names = names_of(await open_batches(engine))
    # A look forgets what the watch had shown before it, whoever made it and whosever news that was.
    jobs = engine.seen.jobs if engine.seen else {}
    about = focus or {holder.job for holder in gate.holders} | before.keys()
    listed = {job_id: jobs[job_id] for job_id in sorted(about) if job_id in jobs}
    life, news = engine.settings.life, before | listed | engine.news.get(batch.id, {})
    return Scene(
        halts=halts,
        life=replace(life, reaper=replace(life.reaper, trusted=False)),
        prefixes=engine.names,
        news={job_id: job for job_id, job in news.items() if focus is None or job_id in focus},
        focus=focus,
        demands=await all_demands(engine),
    )


async def _look_again(engine: Engine, batch: Batch) -> list[Batch]:
    """Look at the batch's namespace before the next full pass does; returns the open batches.

    Who finds a look under way waits for it a moment only: what hangs there is not to keep everybody.
    """
    others, looks, namespace = await open_batches(engine), engine.looks, batch.namespace
    here = {one.id: one for one in (batch, *others) if one.namespace == namespace}
    looks.let_go_of(namespace)
    patience = 0.0 if looks.is_late(namespace) else MOMENT
    if not looks.there(namespace):
        read_at = engine.clock.monotonic()
        records = await holders_of(engine, await engine.store.gates(sorted(here)))
        _begin(engine, namespace, here.values(), read_at, records)
        patience = engine.settings.patience
    if error := await looks.failure(namespace, patience):
        raise error
    return others


def _fresh(engine: Engine, batch: Batch) -> bool:
    return in_time(engine, engine.seen, batch.namespace)
