"""What keeps from starting what waits, and what lets it start: of a whole batch, and of one attempt.

The part of ``explain`` that quotes the plan: ``block``, ``candidates``, ``startable``; it decides nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from controller.core.adoption import about_others
from controller.core.copying import replace
from controller.core.durations import format_duration
from controller.core.model import Attempt, BatchStatus, Halt, Halts, Hold, Origin, Status, When
from controller.core.naming import root_name
from controller.core.plan import (
    EXPANSION_GRACE,
    Block,
    block,
    candidates,
    forbidden_retry,
    full,
    half_started,
    halted_retry,
    room,
    startable,
)
from controller.core.view import View


@dataclass(frozen=True, slots=True)
class Explanation:
    """One answer. ``cause`` is a closed word for programs, ``until`` an instant if one is known."""

    cause: str
    sentence: str
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Line:
    """What the records tell of who waits, where the view shows nobody who may start."""

    waits: bool
    """Whether anything waits at all."""
    ready: Sequence[Attempt] = ()
    """The first who would take a place that becomes free."""
    at_end: bool = False
    """Whether a retry is due that starts when all else is over."""
    next_due: datetime | None = None
    """The earliest back-off that will have passed."""


_LIFTS = {
    Block.CANCELLING: "it is over when every active job is gone",
    Block.EXPANDING: "nothing starts before that is done; was it broken off, the same spec again goes on",
    Block.HALTED: "until 'batchkeeper unhalt submissions --as-admin'",
    Block.HELD: "until 'batchkeeper resume'",
    Block.PAUSED: "until 'batchkeeper resume'",
    Block.BLIND: "nothing starts until a complete list succeeds; the next pass tries again",
    Block.LIMITED: "the next one starts as soon as that allows",
}
"""What will change each block; ``FULL`` counts, ``NONE`` and ``NOTHING_DUE`` have sentences of their own."""
AT_END = "when nothing else of the batch waits or is active (when: batch-end)"


def lifts(blocked: Block, view: View) -> str:
    """What will change this block."""
    if blocked is Block.FULL:
        missing = 1 - room(view.gate, view)
        ends = "an active job ends" if missing == 1 else f"{missing} of them have ended"
        return f"the next one starts when {ends}"
    if view.gate.cancel and view.batch.status is BatchStatus.EXPANDING:
        over = view.gate.cancel.at + EXPANSION_GRACE
        return f"its tasks were still being recorded, so it is over {within(over, view.now)}"
    if blocked is not Block.HELD or not about_others(view.gate):
        return _LIFTS[blocked]
    if view.gate.held_for(Hold.ADOPTION_NEEDED):
        return "until then nothing starts"
    return "the next pass does"


def halted(job: Attempt, halts: Halts) -> str:
    """The halt that keeps this attempt from starting, and what lifts it; empty: none does."""
    if halts.retries and job.origin is Origin.AUTO:
        return retries_halted(halts.retries)
    return submissions_halted(halts.submissions) if halts.submissions else ""


def retries_halted(halt: Halt) -> str:
    """That no automatic retry starts, and what lets them."""
    return _halted("automatic retries", "retries", halt)


def submissions_halted(halt: Halt) -> str:
    """That nothing at all starts, and what lets it."""
    return _halted("all submissions", "submissions", halt)


def _halted(what: str, word: str, halt: Halt) -> str:
    return f"{what} are halted by {halt.by}: {halt.why}; until 'batchkeeper unhalt {word} --as-admin'"


def _still_runs(name: str) -> str:
    return f"job {name} of that task runs, and no record follows it; the task goes on when it has ended"


# --------------------------------------------------------------------------------------------- batch


def when_full(view: View, line: Line | None) -> Explanation:
    """Why a full batch starts nothing: also when nobody waits whom a free place would let start."""
    sentence = full(view)
    seen = replace(view, due=line.ready) if line else view
    at_end = view.idle and not view.halts.retries and line is not None and line.at_end
    if line is None or at_end or candidates(seen):
        return Explanation(Block.FULL.value, f"{sentence}: {lifts(Block.FULL, view)}")
    return nobody_ready(seen, sentence, line)


def nobody_ready(view: View, so_far: str, line: Line | None) -> Explanation:
    """Why nobody starts although nothing forbids it: what waits, and for what. ``so_far``: the numbers."""
    first, alive = (*view.due, *view.at_end), view.unrecorded
    if names := [alive[root] for job in first if (root := root_name(job.name, view.batch.name)) in alive]:
        return Explanation("unrecorded", f"{so_far}: {_still_runs(names[0])}")
    if any(forbidden_retry(job, view) for job in first):
        why = "what is due is withdrawn in the next pass: its task was cancelled"
        return Explanation("no-retry", f"{so_far}: {why}")
    if (halt := view.halts.retries) and (line is None or line.waits):
        who = f"{_retries(view)}; " if line else ""
        return Explanation("retries-halted", f"{so_far}: {who}{retries_halted(halt)}")
    if line and line.next_due:
        due = f"the next retry is due {within(line.next_due, view.now)}"
        return Explanation("back-off", f"{so_far}: {due}", line.next_due)
    if line and line.at_end:
        return Explanation("batch-end", f"{so_far}: {_retries(view)}, to start {AT_END}")
    if view.gate.holders:
        return Explanation("all-started", f"{so_far}: nothing waits; it ends when they have ended")
    return Explanation("ending", f"{so_far}: nothing waits or runs; the next pass writes its end")


def _retries(view: View) -> str:
    """How many wait, by the batch's counts: a cache, which may not have met the last of them."""
    waiting = view.batch.counts.status.get(Status.WAITING, 0)
    return "1 retry waits" if waiting == 1 else f"{waiting} retries wait" if waiting > 0 else "retries wait"


# ------------------------------------------------------------------------------------------- attempt


def explain_waiting(view: View, job: Attempt, chain: Sequence[Attempt]) -> Explanation:
    """Why an attempt waits. ``chain``: all attempts of its task, of which the view need not know."""
    if view.gate.cancel:
        return Explanation("cancelling", f"{job.name} is withdrawn in the next pass: the batch is cancelled")
    holds = job.id in {holder.job for holder in view.gate.holders}
    if forbidden_retry(job, replace(view, chains={**view.chains, job.root_id: chain})):
        seen = holds or job.id in {each.id for each in (*view.due, *view.at_end)}
        when = "in the next pass" if seen else "when its turn comes"
        return Explanation("no-retry", f"{job.name} is withdrawn {when}: its task was cancelled")
    return _with_place(view, job) if holds else _in_line(view, job)


def _with_place(view: View, job: Attempt) -> Explanation:
    """A place is taken before its record says so: a crash between the two leaves it waiting."""
    blocked, sentence = block(view)
    if blocked in (Block.HALTED, Block.HELD, Block.PAUSED):
        return Explanation(blocked.value, f"{job.name} has a place: {sentence}; {lifts(blocked, view)}")
    if kept := kept_back(view, job):
        return Explanation(kept.cause, f"{job.name} has a place: {kept.sentence}")
    return Explanation("has-place", f"{job.name} has a place and is submitted in the next pass")


def _in_line(view: View, job: Attempt) -> Explanation:
    if job.not_before and job.not_before > view.now:
        due = within(job.not_before, view.now)
        why = f"{job.name} waits for its back-off ({job.rule or 'asked for'}): due {due}"
        return Explanation("back-off", why, job.not_before)
    if (halt := view.halts.retries) and job.origin is Origin.AUTO:
        return Explanation("retries-halted", f"{job.name} waits: {retries_halted(halt)}")
    if alive := view.unrecorded.get(root_name(job.name, view.batch.name)):
        return Explanation("unrecorded", f"{job.name} waits: {_still_runs(alive)}")
    if job.when is When.BATCH_END and not view.idle:
        return Explanation("batch-end", f"{job.name} waits: it starts {AT_END}")
    blocked, sentence = block(view)
    if blocked in (Block.NONE, Block.NOTHING_DUE):
        places = max(0, room(view.gate, view)) if view.foreign is not None else 0
        return Explanation(
            "in-line", f"{job.name} is in line; {places} places are free, the next pass fills them"
        )
    return Explanation(blocked.value, f"{job.name} is in line: {sentence}; {lifts(blocked, view)}")


def kept_back(view: View, job: Attempt) -> Explanation | None:
    """Why the create of an attempt that has its place does not go out now; None: ``startable`` lets it."""
    pending = [each.id for each in half_started(view)]
    if job.id in startable(view) or job.id not in pending:
        return None
    if halt := view.halts.submissions:
        return Explanation(Block.HALTED.value, submissions_halted(halt))
    if alive := view.unrecorded.get(root_name(job.name, view.batch.name)):
        return Explanation("unrecorded", _still_runs(alive))
    if forbidden_retry(job, view):
        return Explanation("no-retry", "its task was cancelled")
    if (halt := view.halts.retries) and halted_retry(job, view):
        return Explanation("retries-halted", retries_halted(halt))
    missing = pending.index(job.id) + 1 - room(view.gate, view) - len(pending)
    why = f"{full(view)}: lower slots go first, and {missing} must end before this one is submitted"
    return Explanation(Block.FULL.value, why)


# --------------------------------------------------------------------------------------------- words


def within(instant: datetime, now: datetime) -> str:
    """An instant as people want it: how far away, and when."""
    if instant <= now:
        return f"now (since {clock(instant)})"
    return f"in {span(instant - now)} ({clock(instant)})"


def span(length: timedelta) -> str:
    """A stretch of time, to the second."""
    return format_duration(timedelta(seconds=max(0, round(length.total_seconds()))))


def clock(instant: datetime) -> str:
    """An instant of the store's clock."""
    return instant.strftime("%Y-%m-%d %H:%M:%SZ")
