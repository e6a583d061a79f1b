"""Dry run: what the running daemon would do now, and why, without doing any of it (S9).

The same looking and the same plan as a pass; a step that asks for a closer look gets its live answer,
so what is shown is what would be written. Called by ``controller --dry-run``.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

from controller.adopting import Look, look_for_others
from controller.core.adoption import hold_sentence
from controller.core.decide import Act, Move, next_move
from controller.core.model import Attempt, Hold
from controller.core.plan import (
    CheckForeign,
    Claim,
    CountForeign,
    HoldBatch,
    Leave,
    LookForOthers,
    MoveBatch,
    MoveJob,
    Remember,
    Retry,
    Step,
    Submit,
    WithdrawWaiting,
    plan,
)
from controller.core.view import View
from controller.deeds import live_sight
from controller.engine import Engine
from controller.looking import with_result


@dataclass(frozen=True, slots=True)
class Rehearsed:
    """One step that would be taken."""

    batch: str
    deed: str
    subject: str
    reason: str


async def rehearse(engine: Engine, view: View) -> AsyncIterator[Rehearsed]:
    """The steps of one batch as they would be taken now, in order."""
    view = await with_result(engine, view, keep=False)
    steps = plan(view, engine.jitter)
    for others in [step for step in steps if isinstance(step, LookForOthers) and not view.gate.cancel]:
        look = await look_for_others(engine, view.batch, view.gate)
        for deed, subject in _about_others(view, look):
            yield Rehearsed(view.batch.name, deed, subject, others.reason.value)
        if view.gate.held_for(Hold.LOOKING) and not look.bound:
            steps = plan(replace(view, gate=replace(view.gate, hold="")), engine.jitter)
    for step in steps:
        for deed, subject in await _shown(engine, view, step):
            yield Rehearsed(view.batch.name, deed, subject, step.reason.value)


def _about_others(view: View, look: Look) -> list[tuple[str, str]]:
    """What becomes of what others run under the batch's names: nothing where there is nothing."""
    if look.bound and view.gate.held_for(Hold.LOOKING) and not view.batch.spec.get("adopt"):
        return [("hold", hold_sentence(view.batch.name, look.bound))]
    return [("take over", f"{one.found.kind} {one.job.name} as {one.status.value}") for one in look.bound]


async def _shown(engine: Engine, view: View, step: Step) -> list[tuple[str, str]]:
    match step:
        case MoveJob(_, job, move):
            return await _moved(engine, view, job, move)
        case Submit(_, job, _):
            return [("submit", job.name)]
        case Claim(_, places):
            return [("submit", job.name) for job, _ in places]
        case Retry(_, chain, decision):
            return [("retry", f"{chain[-1].name}: {decision.sentence}")]
        case LookForOthers():
            return []
        case Leave(_, jobs):
            return [("free its place", job.name) for job in jobs]
        case _:
            return [_of_the_batch(view, step)]


def _of_the_batch(view: View, step: Step) -> tuple[str, str]:
    match step:
        case CountForeign(_, objects):
            return "count", ", ".join(thing.name for thing in objects)
        case CheckForeign(_, thing):
            return "stop counting, if a live look agrees", thing.name
        case HoldBatch(_, hold, sentence):
            return "hold", f"{hold.value}: {sentence}"
        case WithdrawWaiting():
            return "withdraw", "everything that waits"
        case Remember(_, told):
            return "tell", ", ".join(topic.value for topic, _ in told)
        case MoveBatch(_, move):
            return f"set {move.status.value}", move.sentence
        case _:
            return type(step).__name__, view.batch.name


async def _moved(engine: Engine, view: View, job: Attempt, move: Move) -> list[tuple[str, str]]:
    if move.act is Act.LOOK:
        closer = next_move(job, await live_sight(engine, job), view.now, view.life)
        if closer is None:
            return []
        move = closer
    deed = move.change.event.value if move.act is Act.WRITE and move.change else move.act.value
    return [(deed, f"{job.name} ({move.reason.value})")]
