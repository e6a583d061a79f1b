"""One pass, told as a story: observe (store, then cluster), plan (pure), act (idempotent, recorded).

Called by the daemon: ``all_batches`` on its interval, ``one_batch`` after an event. A pass is
equivalent to: look at everything, decide every attempt's next move, record each move, then make it. A
crash between any two lines is safe: the next pass starts from the records and the cluster, never from
memory. Events only make a pass come sooner and look at less.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime

from controller import counting
from controller.acting import LONG_AGO, Pass, act, let_expire
from controller.allowance import allowance_of
from controller.core.copying import replace
from controller.core.model import Attempt, Batch, Gate
from controller.core.plan import MoveJob, Retry, Step, Submit, plan
from controller.engine import Engine
from controller.looking import Scene, in_time, look, with_result
from controller.places import may_miss_its_gate
from controller.ports import StaleEpoch
from controller.surroundings import all_demands, holders_of, observe, scene_after_event
from controller.surroundings import longest_silence as longest_silence
from controller.surroundings import open_batches as open_batches
from controller.surroundings import scene_of as scene_of

# ------------------------------------------------------------------------------------------ full pass


async def all_batches(engine: Engine) -> int:
    """Every unfinished batch, from one complete look at the cluster; returns the steps taken.

    Raises ``Unavailable`` when the store or the whole cluster can't be read: then nothing was decided,
    and ``StaleEpoch`` when another controller has taken the lead since: its stamps refuse every write
    of this one, so this one would go on for ever without effect.
    """
    engine.must_lead()
    if (newest := await engine.store.epoch()) > engine.epoch:
        raise StaleEpoch(f"epoch {newest} was minted after this controller's {engine.epoch}")
    remembered, heard = engine.remembered(), frozenset(engine.news)
    engine.listed = engine.unseen = frozenset()
    batches = _after_the_last(engine, await open_batches(engine))
    ids = [batch.id for batch in batches]
    read_at = engine.clock.monotonic()
    gates = await engine.store.gates(ids)
    if any(gate.epoch < engine.epoch for gate in gates.values()):
        await engine.store.stamp(engine.epoch)  # a batch that came since: no earlier leader may claim in it
    records = await holders_of(engine, gates)
    observation, judged = await observe(engine, batches, read_at, records) if batches else (None, {})
    engine.listed = observation.namespaces if observation else frozenset()
    scene = replace(
        await scene_of(engine, batches),
        read_at=read_at,
        observation=observation,
        judged=judged,
        demands=await all_demands(engine),
    )
    engine.names, engine.demands = scene.prefixes, scene.demands
    steps = 0
    for batch in batches:
        if batch.id not in gates:  # its intake may be between its two writes, or stopped there, and goes on
            engine.places_doubted |= may_miss_its_gate(engine, batch)
            continue
        if batch.namespace in engine.listed and not in_time(engine, engine.seen, batch.namespace):
            engine.again(batch.id, None)  # those before it took long: it starts nothing by this list
        held = (read_at, records.get(batch.id, ()))
        engine.under_way = batch.id
        steps += await _guarded_pass(engine, batch, gates[batch.id], scene, held)
    engine.under_way = ""
    engine.forget(remembered - {batch.id for batch in batches})
    for batch_id in heard.difference(ids):
        engine.news.pop(batch_id, None)
    return steps


def _after_the_last(engine: Engine, batches: Sequence[Batch]) -> list[Batch]:
    """Where the last full pass was broken off, by its time limit say, what it did not come to is first."""
    at = next((at for at, batch in enumerate(batches, 1) if batch.id == engine.under_way), 0)
    return [*batches[at:], *batches[:at]]


# ------------------------------------------------------------------------------------ after an event


async def one_batch(engine: Engine, batch_id: str, focus: frozenset[str] | None) -> int:
    """One batch, from news of its objects (``focus``: which) or because somebody asked (None: all)."""
    engine.must_lead()
    asked = engine.clock.monotonic()
    now = await engine.store.standing(batch_id, sorted(focus or ()))
    if now.batch is None or now.gate is None:
        return 0
    scene = await scene_after_event(engine, now.batch, now.gate, now.halts, focus)
    scene = replace(scene, read_at=asked)
    return await _guarded_pass(engine, now.batch, now.gate, scene, None, now.jobs)


async def _as_it_stands(engine: Engine, batch_id: str) -> tuple[Batch | None, Gate | None]:
    now = await engine.store.standing(batch_id)
    return now.batch, now.gate


async def _as_left(engine: Engine, batch: Batch, trial: Pass) -> tuple[Batch | None, Gate | None]:
    """The batch for the next round: as this pass's own writes left it, or read again."""
    return (batch, trial.gate) if trial.gate is not None else await _as_it_stands(engine, batch.id)


async def _guarded_pass(
    engine: Engine,
    batch: Batch,
    gate: Gate,
    scene: Scene,
    records: tuple[float, Sequence[Attempt]] | None,
    named: Sequence[Attempt] = (),
) -> int:
    """One batch's pass; a batch that fails in an unforeseen way is left alone, the others go on.

    ``named``: records that were just read. Nothing is remembered of them when the pass is over.
    """
    item = f"batch:{batch.id}"
    if engine.sick.rests(item, engine.clock.monotonic()):
        return 0
    trial = Pass(scene.demands, engine.epoch)
    async with engine.locks[batch.id]:
        with engine.guarded(item, batch=batch.name):
            late = engine.passed.get(batch.id, -math.inf) >= scene.read_at
            if late:  # another pass has moved them since they were read
                named, records = (), None
            if late or gate.cancel:  # it may be done by now, and a retry be in line: that is not withdrawn
                batch, gate, scene = await _as_of_now(engine, batch, gate, scene)
            engine.known[batch.id] = {job.id: job for job in named}
            try:
                await _rounds(engine, batch, gate, scene, records, trial)
            finally:
                del engine.known[batch.id]
                engine.passed[batch.id] = engine.clock.monotonic()
            await engine.flush_counts(batch.id)  # no other pass counts anew what is being added
    if trial.unavailable:
        engine.journal.trouble("pass", trial.unavailable, batch=batch.name)
    return trial.steps


async def _rounds(
    engine: Engine,
    batch: Batch,
    gate: Gate,
    scene: Scene,
    records: tuple[float, Sequence[Attempt]] | None,
    trial: Pass,
) -> None:
    """Look, plan, act, until nothing more follows from what is known; then what has ended may expire."""
    await _follow(engine, batch, gate, scene, records, trial)
    if trial.unavailable:
        return
    if not engine.expiries.served:
        trial.unavailable = await let_expire(engine, batch.id)
    elif scene.focus is None:
        engine.expiries.ring(batch.id)


async def _follow(
    engine: Engine,
    batch: Batch,
    gate: Gate,
    scene: Scene,
    records: tuple[float, Sequence[Attempt]] | None,
    trial: Pass,
) -> None:
    """Where only attempts and places moved, the next round starts from what those writes answered."""
    for _ in range(engine.settings.max_rounds):
        if engine.clock.monotonic() - scene.read_at > LONG_AGO:
            batch, gate, scene = await _as_of_now(engine, batch, gate, scene)
        trial.gate, counted = gate, engine.counts.counted(batch)
        allowance = await allowance_of(engine, counted, gate, scene.demands)
        ahead, trial.ahead = trial.ahead, ()
        view = await look(engine, counted, gate, scene, allowance, records, ahead)
        view = await with_result(engine, view)
        engine.known[batch.id] |= {job.id: job for job in view.holders}
        planned = plan(view, engine.jitter)
        counting.forget_idle_places(engine, view)
        trial.owed = {step.chain[-1].id for step in planned if isinstance(step, Retry)}
        steps = [step for step in planned if not _too_early(engine, step) and trial.first_time(step)]
        if not steps or not await act(engine, view, steps, trial) or trial.unavailable:
            return
        again, its_gate = await _as_left(engine, batch, trial)
        if again is None or its_gate is None:
            return
        batch, gate, records = again, its_gate, None


def _too_early(engine: Engine, step: Step) -> bool:
    """Its job is being asked for: only when that is over it is known what there is to decide about."""
    return isinstance(step, (MoveJob, Submit)) and engine.posts.leave_alone(step.job.id)


async def _as_of_now(engine: Engine, batch: Batch, gate: Gate, scene: Scene) -> tuple[Batch, Gate, Scene]:
    """A pass may take long, or wait for another one: nothing starts in it by what was said before that."""
    asked = engine.clock.monotonic()
    now = await engine.store.standing(batch.id)
    return now.batch or batch, now.gate or gate, replace(scene, halts=now.halts, read_at=asked)


# --------------------------------------------------------------------------------------- afterwards


async def next_wake(engine: Engine, batch_id: str, after: datetime) -> float | None:
    """Seconds until something of this batch falls due by itself, of what was not due by ``after``."""
    due = await engine.store.next_due(batch_id, after)
    return max(0.0, (due - engine.now()).total_seconds()) if due else None
