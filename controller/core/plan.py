"""The plan of one batch: a pure function from a view to the steps that may be taken now.

The daemon executes it, dry run prints it, ``explain`` quotes it and the simulator runs it. Every step
is safe to repeat and safe to be the last one before a crash: the next pass plans from the records and
the cluster, never from memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from enum import StrEnum

from controller.core.adoption import about_others
from controller.core.batches import RECORDING, batch_move
from controller.core.change import Change
from controller.core.copying import replace
from controller.core.decide import BY_DAEMON, Act, Move, Reason, next_move
from controller.core.machine import Event
from controller.core.model import (
    Attempt,
    BatchStatus,
    Foreign,
    ForeignKind,
    Gate,
    Hold,
    Origin,
    Status,
    Stop,
    TerminatedCode,
    Verdict,
)
from controller.core.naming import root_name
from controller.core.retry import decide_retry, forbidden
from controller.core.sight import ForeignObject
from controller.core.steps import CheckForeign as CheckForeign
from controller.core.steps import Claim as Claim
from controller.core.steps import CountForeign as CountForeign
from controller.core.steps import HoldBatch as HoldBatch
from controller.core.steps import Leave as Leave
from controller.core.steps import LookForOthers as LookForOthers
from controller.core.steps import MoveBatch as MoveBatch
from controller.core.steps import MoveJob as MoveJob
from controller.core.steps import Remember as Remember
from controller.core.steps import Retry as Retry
from controller.core.steps import Step as Step
from controller.core.steps import Submit as Submit
from controller.core.steps import WithdrawWaiting as WithdrawWaiting
from controller.core.systemic import hold_sentence, systemic_failure
from controller.core.telling import happened
from controller.core.view import View

EXPANSION_GRACE = timedelta(seconds=60)
"""So long after its cancel a batch that is still expanding is taken for abandoned. Whoever records tasks
stops at the cancel; the grace is for the thousand that may be under way."""


class Block(StrEnum):
    """Why a batch starts nothing now; closed, for logs, metrics and ``explain``."""

    NONE = "none"
    CANCELLING = "cancelling"
    EXPANDING = "expanding"
    HALTED = "halted"
    PAUSED = "paused"
    HELD = "held"
    BLIND = "blind"
    FULL = "full"
    LIMITED = "limited"
    NOTHING_DUE = "nothing-due"


def plan(view: View, jitter: Callable[[str], float]) -> tuple[Step, ...]:
    """Every step that may be taken now, in the order in which to take them.

    ``jitter`` maps an attempt's id to a number in [0, 1] that spreads retries.
    """
    return (
        *_remember(view),
        *_count_foreign(view),
        *_others(view),
        *_orders(view),
        *_settle(view, jitter),
        *_hold(view),
        *_withdraw(view),
        *_claim(view),
        *_move_batch(view),
    )


def _remember(view: View) -> Iterator[Step]:
    if told := tuple(happened(view)):
        yield Remember(Reason.WORTH_TELLING, told)


def without_the_ended(gate: Gate, holders: Sequence[Attempt]) -> Gate:
    """The gate as it is once the ended ones among its holders have left it, as ``_settle`` has them do."""
    ended = {job.id for job in holders if job.status.terminal}
    if not ended:
        return gate
    return replace(gate, holders=tuple(holder for holder in gate.holders if holder.job not in ended))


# ------------------------------------------------------------------------------------------- foreign


def _count_foreign(view: View) -> Iterator[Step]:
    counted = view.gate.counted
    orphans = tuple(
        Foreign(orphan.uid, orphan.name, "Job", ForeignKind.ORPHAN)
        for orphan in view.orphans
        if orphan.active and orphan.uid not in counted
    )
    if orphans:
        yield CountForeign(Reason.ORPHAN, orphans)
    if view.foreign is None:
        return
    seen = {thing.uid: thing for thing in view.foreign if thing.active}
    new = tuple(_as_counted(thing) for uid, thing in seen.items() if uid not in counted)
    if new:
        yield CountForeign(Reason.FOREIGN_SEEN, new)
    for foreign in view.gate.foreign:
        if foreign.uid not in seen:
            yield CheckForeign(Reason.FOREIGN_UNSEEN, foreign)


def _as_counted(thing: ForeignObject) -> Foreign:
    cause = ForeignKind.ORPHAN if thing.orphan else ForeignKind.FOREIGN
    return Foreign(thing.uid, thing.name, thing.kind, cause)


def _others(view: View) -> Iterator[Step]:
    """A new batch is looked at, and one that is to take over takes over; a held one waits for its order.

    One that is being cancelled only gives places back: the cancel reaches nobody without one.
    """
    gate, batch = view.gate, view.batch
    if batch.status.closed or batch.status is BatchStatus.EXPANDING or not about_others(gate):
        return
    if gate.cancel or not gate.held_for(Hold.ADOPTION_NEEDED) or batch.spec.get("adopt"):
        yield LookForOthers(Reason.OTHERS_LOOKED_FOR)


# -------------------------------------------------------------------------------------------- orders


def _orders(view: View) -> Iterator[Step]:
    """A cancel of the batch reaches every attempt that it finds (row 'active | cancel'), if it is ours."""
    if view.gate.cancel is None or view.batch.status.closed:
        return  # what waits in a closed batch is a retry that is about to reopen it
    yield WithdrawWaiting(Reason.CANCEL, view.gate.cancel)
    for job in view.holders:
        if job.status.active and not job.kind and (job.stop is None or job.stop.code is None):
            change = Change(job.id, Event.STOP_ASKED, Reason.CANCEL, fields={"stop": view.gate.cancel})
            yield MoveJob(Reason.CANCEL, job, _write(change))


def _write(change: Change) -> Move:
    return Move(Act.WRITE, Reason(change.reason), change)


# -------------------------------------------------------------------------------------------- settle


def _settle(view: View, jitter: Callable[[str], float]) -> Iterator[Step]:
    """Holders first go where their objects are; ended ones leave, after their retry is recorded.

    The place in the gate is what remembers that an end was not yet followed up: the retry is written
    before the place is given back, so a crash between the two repeats the first.
    """
    leaving: list[Attempt] = []
    slots = {holder.job: holder.slot for holder in view.gate.holders}
    may_submit = startable(view) if view.gate.open else frozenset[str]()
    for job in view.holders:
        if job.id not in slots:
            continue  # it has left since its record was read
        if job.status.terminal:
            yield from _follow_up(view, job, jitter)
            leaving.append(job)
            continue
        if job.status is Status.WAITING:
            if job.id in may_submit:
                yield Submit(Reason.HAS_PLACE, job, slots[job.id])
            continue
        move = next_move(job, view.sight(job), view.now, view.life)
        if move:
            yield MoveJob(move.reason, job, move)
    if leaving:
        yield Leave(Reason.ENDED, tuple(leaving))
    for job in (*view.others, *(job for job in view.holders if job.status.terminal)):
        move = next_move(job, view.sight(job), view.now, view.life)
        if move:
            yield MoveJob(move.reason, job, move)


def _follow_up(view: View, job: Attempt, jitter: Callable[[str], float]) -> Iterator[Step]:
    chain = tuple(view.chains.get(job.root_id, ()))
    if not chain or chain[-1].id != job.id:
        return
    decision = decide_retry(chain, view.rules, view.max_auto_retries, jitter(job.id))
    if decision.child and view.gate.cancel:
        # Not only left out: another controller may be about to record it (R8).
        change = Change(job.id, Event.NO_RETRY, Reason.CANCEL, fields={"no_retry": True})
        yield MoveJob(Reason.CANCEL, job, _write(change))
    elif decision.child:
        yield Retry(Reason.RETRY_DUE, chain, decision)


# ----------------------------------------------------------------------------------------------- hold


def _hold(view: View) -> Iterator[Step]:
    if view.gate.hold or view.gate.cancel or view.done or view.batch.status.closed:
        return
    verdict = systemic_failure(view.batch.counts.first)
    if verdict:
        sentence = hold_sentence(view.batch.counts.first, verdict)
        yield HoldBatch(Reason.SYSTEMIC_FAILURE, Hold.SYSTEMIC_FAILURE, sentence)


# ---------------------------------------------------------------------------------------------- claim


def forbidden_retry(job: Attempt, view: View) -> bool:
    """Whether a waiting automatic retry must be withdrawn (R8)."""
    return forbidden(job, view.chains.get(job.root_id, ()))


def withdrawal(job: Attempt, view: View, reason: Reason, stop: Stop) -> Change:
    """A waiting attempt ends before it ever held a place."""
    code = stop.code if stop.code is not None else TerminatedCode.USER
    fields = {
        "verdict": Verdict.CANCELLED,
        "terminated_code": code,
        "error": f"withdrawn by {stop.by}: {stop.why}",
    }
    return Change(job.id, Event.WITHDRAWN, reason, fields=fields)


def _withdraw(view: View) -> Iterator[Step]:
    """Who has a place already, since a crash say, is told like the others; it leaves with its end."""
    half_taken = (job for job in view.holders if job.status is Status.WAITING)
    for job in {job.id: job for job in (*view.due, *view.at_end, *half_taken)}.values():
        if forbidden_retry(job, view):
            stop = Stop("the attempt before it was cancelled", BY_DAEMON, view.now, TerminatedCode.USER)
            change = withdrawal(job, view, Reason.RETRY_FORBIDDEN, stop)
            yield MoveJob(Reason.RETRY_FORBIDDEN, job, _write(change))


def candidates(view: View) -> tuple[Attempt, ...]:
    """The waiting attempts that may start, in order; ``batch-end`` retries only once all else is over."""
    held = {holder.job for holder in view.gate.holders}
    line = view.due or (view.at_end if view.idle else ())
    free = (job for job in line if job.id not in held and not forbidden_retry(job, view))
    alive = view.unrecorded
    return tuple(job for job in free if root_name(job.name, view.batch.name) not in alive)


def block(view: View) -> tuple[Block, str]:
    """Whether the batch as a whole may start something now: what forbids it, and the number or name.

    The one place where this is decided: the plan claims by it and ``explain`` quotes it.
    """
    gate, halts = view.gate, view.halts
    if gate.cancel:  # first of all: whose tasks were still being recorded is not gone on with
        return Block.CANCELLING, f"cancelled by {gate.cancel.by}"
    if view.batch.status is BatchStatus.EXPANDING:
        in_the_way = view.batch.reason if view.batch.reason != RECORDING else ""
        return Block.EXPANDING, in_the_way or f"{view.batch.tasks} tasks are being recorded"
    if halts.submissions:
        halt = halts.submissions
        return Block.HALTED, f"all submissions are halted by {halt.by}: {halt.why}"
    if gate.hold:
        return Block.HELD, gate.hold
    if gate.paused:
        return Block.PAUSED, "paused"
    if view.foreign is None:
        return Block.BLIND, view.blind or "the cluster has not been listed within the last pass"
    if room(gate, view) <= 0:
        return Block.FULL, full(view)
    if not candidates(view):
        return Block.NOTHING_DUE, "nothing that waits is due"
    if view.allowance.places <= 0:
        return Block.LIMITED, view.allowance.why
    return Block.NONE, ""


def room(gate: Gate, view: View) -> int:
    """Places left, foreign objects that were seen but not yet counted taken into account."""
    new = sum(1 for thing in view.foreign or () if thing.active and thing.uid not in gate.counted)
    return gate.free - new


def half_started(view: View) -> list[Attempt]:
    """Holders whose object may not be there yet, the lowest slots first: in that order they may go on."""
    slots = {holder.job: holder.slot for holder in view.gate.holders}
    taken_over = {holder.job for holder in view.gate.holders if holder.uid}
    pending = (job for job in view.holders if job.status in (Status.WAITING, Status.CREATED))
    ours = (job for job in pending if job.id not in taken_over)
    return sorted(ours, key=lambda job: slots.get(job.id, len(slots)))


def startable(view: View) -> frozenset[str]:
    """Holders without an object yet whose create may go out now, by id.

    Their places were taken once, but a crash, an outage or a refusal may lie between: meanwhile somebody
    may have halted submissions, lowered the maximum or filled the prefix. The lowest slots go first.
    A halt of retries keeps back what was never asked for; what was has started.
    """
    if view.halts.submissions:
        return frozenset()
    pending, alive = half_started(view), view.unrecorded
    places = room(view.gate, view) + len(pending)
    may = (job for job in pending[: max(0, places)] if root_name(job.name, view.batch.name) not in alive)
    return frozenset(job.id for job in may if not (forbidden_retry(job, view) or halted_retry(job, view)))


def halted_retry(job: Attempt, view: View) -> bool:
    """Whether it is an automatic retry that has not been asked for yet, while these are halted."""
    return view.halts.retries is not None and job.origin is Origin.AUTO and job.status is Status.WAITING


def full(view: View) -> str:
    """How many places are taken, and by what."""
    gate = view.gate
    text = f"{len(gate.holders)} of {gate.max} active jobs in batch {view.batch.name}"
    return text + (f", and {len(gate.foreign)} foreign ones count" if gate.foreign else "")


def _claim(view: View) -> Iterator[Step]:
    if (gate := without_the_ended(view.gate, view.holders)) is not view.gate:
        view = replace(view, gate=gate)
    blocked, _ = block(view)
    if blocked is not Block.NONE:
        return
    line = candidates(view)[: min(room(view.gate, view), view.allowance.places)]
    slots = view.gate.lowest_free_slots(len(line))
    yield Claim(Reason.PLACE_FREE, tuple(zip(line, slots, strict=True)))


def once_gone(claim: Claim, gate: Gate, leaving: Sequence[Attempt]) -> Claim | None:
    """The claim by what is free once only these have left; it was planned as if all that has ended would.

    Whose retry could not be recorded keeps one place, and nobody from another one.
    """
    gone = {job.id for job in leaving}
    gate = replace(gate, holders=tuple(holder for holder in gate.holders if holder.job not in gone))
    jobs = [job for job, _ in claim.places[: max(0, gate.free)]]
    places = tuple(zip(jobs, gate.lowest_free_slots(len(jobs)), strict=True))
    return replace(claim, places=places) if places else None


# ---------------------------------------------------------------------------------------------- batch


def _move_batch(view: View) -> Iterator[Step]:
    live, cancel = not view.done or bool(view.gate.holders), view.gate.cancel
    abandoned = cancel is not None and view.now - cancel.at > EXPANSION_GRACE
    move = batch_move(view.batch, view.gate, has_live=live, completed=view.completed, abandoned=abandoned)
    if move:
        yield MoveBatch(Reason.BATCH_MOVED, move)
