"""Why something is as it is, in one sentence: the cause, the number that decides it, what will change it.

For every batch, task and attempt, at every instant (O5b). There is no second logic here: the sentences
quote ``plan.block``, ``decide.next_move``, ``reaping`` and ``retry.decide_retry`` about the very view
that the next pass would plan from. Called by the command line, the API and the status files.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from controller.core.adoption import about_others
from controller.core.batches import RECORDING
from controller.core.copying import replace
from controller.core.decide import Lifecycle, open_creates
from controller.core.durations import format_duration
from controller.core.model import Attempt, BatchStatus, Hold, Status, Stop, When
from controller.core.moves import Reason
from controller.core.naming import root_name
from controller.core.plan import EXPANSION_GRACE, Block, block, candidates, forbidden_retry, room
from controller.core.reaping import blind_time, entered, waits_on_node_since
from controller.core.retry import decide_retry
from controller.core.sight import ClusterJob
from controller.core.view import View


@dataclass(frozen=True, slots=True)
class Explanation:
    """One answer. ``cause`` is a closed word for programs, ``until`` an instant if one is known."""

    cause: str
    sentence: str
    until: datetime | None = None


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


RECORDED_WITHIN = timedelta(minutes=1)
"""So long after its beginning a recording that has not come to its end may have been broken off."""
_ALL_STARTED = "nothing waits; it ends when they have ended"


def _lifts(blocked: Block, view: View) -> str:
    if blocked is Block.FULL:
        missing = 1 - room(view.gate, view)
        ends = "an active job ends" if missing == 1 else f"{missing} of them have ended"
        return f"the next one starts when {ends}"
    if view.gate.cancel and view.batch.status is BatchStatus.EXPANDING:
        over = view.gate.cancel.at + EXPANSION_GRACE
        return f"its tasks were still being recorded, so it is over {_in(over, view.now)}"
    if blocked is not Block.HELD or not about_others(view.gate):
        return _LIFTS[blocked]
    if view.gate.held_for(Hold.ADOPTION_NEEDED):
        return "until then nothing starts"
    return "the next pass does"


# --------------------------------------------------------------------------------------------- batch


def explain_batch(view: View, next_due: datetime | None = None) -> Explanation:
    """Why the batch stands where it stands. ``next_due``: the earliest back-off that will have passed."""
    why = _why_batch(view, next_due)
    return replace(why, sentence="; ".join((why.sentence, *_remarks(view))))


def _remarks(view: View) -> Iterator[str]:
    """What a person should know besides: places that somebody must free, and what nobody can count."""
    if view.batch.status.closed:
        return
    stuck = [job for job in view.holders if job.status.active and unreachable(view, job)]
    if stuck:
        where = f"{_count(len(stuck), 'job')} out of reach: 'batchkeeper explain {stuck[0].name}'"
        yield f"{where} has the ways out"
    suspended = [job for job in view.holders if job.status.active and _suspended(view.sight(job).job)]
    if suspended:
        yield f"{_count(len(suspended), 'job')} suspended by hand: 'batchkeeper explain {suspended[0].name}'"
    if view.unserved:
        groups = ", ".join(sorted(view.unserved))
        yield f"{groups} is not served by this cluster, so nothing of it is counted"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun} is" if number == 1 else f"{number} {noun}s are"


def _why_batch(view: View, next_due: datetime | None) -> Explanation:
    batch, gate = view.batch, view.gate
    if batch.status is BatchStatus.FINISHED:
        result = batch.result.value if batch.result else "ended"
        more = "" if result == "completed" else f"; 'batchkeeper retry --batch {batch.name}' reopens it"
        return Explanation("finished", f"{batch.name} is finished ({result}): {batch.reason}{more}")
    if batch.status is BatchStatus.CANCELLED:
        return Explanation("cancelled", f"{batch.name} was {batch.reason}; a retry of a job reopens it")
    blocked, sentence = block(view)
    if blocked is Block.NONE:
        n = min(room(gate, view), view.allowance.places, len(candidates(view)))
        return Explanation("starting", f"{_active(view)}: {n} more may start, and do in the next pass")
    if blocked is Block.NOTHING_DUE:
        return _nothing_due(view, next_due)
    if blocked is Block.EXPANDING and _half_recorded(view):
        return Explanation(blocked.value, f"{_active(view)}: {_half_recorded(view)}")
    counts = batch.counts.status
    if blocked is Block.FULL and gate.holders and counts and not counts.get(Status.WAITING):
        return Explanation("all-started", f"{sentence}: {_ALL_STARTED}")
    if blocked is Block.FULL:
        return Explanation(blocked.value, f"{sentence}: {_lifts(blocked, view)}")
    return Explanation(blocked.value, f"{_active(view)}: {sentence}; {_lifts(blocked, view)}")


def _half_recorded(view: View) -> str:
    """Of tasks that are long being recorded: nobody here knows whether whoever does it has gone."""
    batch, since = view.batch, view.now - view.batch.inserted
    if batch.reason != RECORDING or since <= RECORDED_WITHIN:
        return ""
    begun = f"recording its {batch.tasks} tasks was begun {_span(since)} ago from {batch.source}"
    again = f"'batchkeeper submit' of the same spec goes on, 'batchkeeper cancel {batch.name}' gives it up"
    return f"{begun} and has not ended; was it broken off, {again}"


def _active(view: View) -> str:
    return f"{len(view.gate.holders)} of {view.gate.max} active jobs in batch {view.batch.name}"


def _nothing_due(view: View, next_due: datetime | None) -> Explanation:
    if next_due is not None:
        wait = f"the next retry is due {_in(next_due, view.now)}"
        return Explanation("back-off", f"{_active(view)}: {wait}", next_due)
    if view.due and (alive := view.unrecorded):
        return Explanation("unrecorded", f"{_active(view)}: {_still_runs(next(iter(alive.values())))}")
    if view.halts.retries:
        halt = view.halts.retries
        until = "until 'batchkeeper unhalt retries --as-admin'"
        why = f"automatic retries are halted by {halt.by}: {halt.why}; {until}"
        return Explanation("retries-halted", f"{_active(view)}: {why}")
    if view.gate.holders:
        return Explanation("all-started", f"{_active(view)}: {_ALL_STARTED}")
    return Explanation("ending", f"{_active(view)}: nothing waits or runs; the next pass writes its end")


# ------------------------------------------------------------------------------------------- attempt


def explain_job(view: View, job: Attempt, chain: Sequence[Attempt]) -> Explanation:
    """Why this attempt stands where it stands. ``chain``: all attempts of its task, newest last."""
    if job.status is Status.WAITING:
        return _waiting(view, job)
    if job.status.terminal:
        return _ended(view, job, chain)
    if unreachable(view, job):
        return _unreachable(view, job)
    if job.stop:
        return _stopping(view, job, job.stop)
    return _active_job(view, job)


def _waiting(view: View, job: Attempt) -> Explanation:
    now, halts = view.now, view.halts
    if forbidden_retry(job, view):
        return Explanation("no-retry", f"{job.name} is withdrawn in the next pass: its task was cancelled")
    if view.gate.cancel:
        return Explanation("cancelling", f"{job.name} is withdrawn in the next pass: the batch is cancelled")
    if job.id in {holder.job for holder in view.gate.holders}:
        blocked, sentence = block(view)
        if blocked in (Block.HALTED, Block.HELD, Block.PAUSED):
            return Explanation(blocked.value, f"{job.name} has a place: {sentence}; {_lifts(blocked, view)}")
        return Explanation("has-place", f"{job.name} has a place and is submitted in the next pass")
    if job.not_before and job.not_before > now:
        why = f"{job.name} waits for its back-off ({job.rule or 'asked for'}): due {_in(job.not_before, now)}"
        return Explanation("back-off", why, job.not_before)
    if halts.retries and job.origin.value == "auto":
        why = f"automatic retries are halted by {halts.retries.by}: {halts.retries.why}"
        return Explanation(
            "retries-halted", f"{job.name} waits: {why}; until 'batchkeeper unhalt retries --as-admin'"
        )
    if alive := view.unrecorded.get(root_name(job.name)):
        return Explanation("unrecorded", f"{job.name} waits: {_still_runs(alive)}")
    blocked, sentence = block(view)
    if job.when is When.BATCH_END and not view.idle:
        why = "it starts when nothing else of the batch waits or is active (when: batch-end)"
        return Explanation("batch-end", f"{job.name} waits: {why}")
    if blocked in (Block.NONE, Block.NOTHING_DUE):
        places = max(0, room(view.gate, view)) if view.foreign is not None else 0
        return Explanation(
            "in-line", f"{job.name} is in line; {places} places are free, the next pass fills them"
        )
    return Explanation(blocked.value, f"{job.name} is in line: {sentence}; {_lifts(blocked, view)}")


def _still_runs(name: str) -> str:
    return f"job {name} of that task runs, and no record knows of it; the task goes on when it has ended"


def _taken_over(view: View, job: Attempt, since: datetime) -> Explanation:
    """What was taken over ends by itself, or by whoever started it."""
    ends = "its batch is cancelled, and whoever started it must stop it" if view.gate.cancel else ""
    why = f"{job.kind} {job.name} was taken over and is followed by its uid ({job.status} for "
    return Explanation("adopted", f"{why}{_span(view.now - since)}): {ends or 'its own end changes that'}")


def _active_job(view: View, job: Attempt) -> Explanation:
    since = entered(job) or job.updated
    if job.kind:
        return _taken_over(view, job, since)
    limit = view.life.reaper.limit(job.status)
    reaped, until = "", None
    if limit is not None:
        until = since + limit + blind_time(view.life.reaper.gaps, since, view.now)
        reaped = f"; reaped if still {job.status} {_in(until, view.now)}"
    ago = f"{job.status} for {_span(view.now - since)}"
    if job.status is Status.CREATED:
        said = job.evidence.message
        if said and not job.stop:
            why = f"{job.name} is not taken yet ({ago}): {said}; the next pass asks again"
            cause = "unanswered" if job.open_creates else "throttled"
            return Explanation(cause, why + _tokens(view, job) + reaped, until)
        why = f"{job.name} is being submitted ({ago}): the cluster's answer or a live look decides"
        return Explanation("submitting", why + _tokens(view, job) + reaped, until)
    found = view.sight(job).job
    if found and (disturbed := _disturbed(job, found)):
        return disturbed
    if job.status is Status.QUEUED:
        begun = waits_on_node_since(job, found) if found else None
        if begun is not None:
            until = begun + job.job_input.start_deadline
            why = f"{job.name} is on its node but has not started ({ago}); given up {_in(until, view.now)}"
            return Explanation("starting", why, until)
        why = _why_queued(job, found)
        return Explanation("queued", f"{job.name} is accepted by the cluster ({ago}): {why}{reaped}", until)
    if job.job_input.deadline and job.running:
        until = job.running + job.job_input.deadline
        return Explanation(
            "running",
            f"{job.name} runs on {job.node or 'a node'} ({ago}); its deadline is {_in(until, view.now)}",
            until,
        )
    return Explanation(
        "running",
        f"{job.name} runs on {job.node or 'a node'} ({ago}); its own end changes that{reaped}",
        until,
    )


def _disturbed(job: Attempt, found: ClusterJob) -> Explanation | None:
    """What has come between the object and its pod, if anything has."""
    if found.finished and found.pod_unfinished:
        return Explanation("pod-lingers", f"{job.name} has ended, its pod has not{_lingering(found)}")
    if _suspended(found):
        return _on_hold(job, found)
    if found.pod_deleting_since:
        why = f"{job.name}'s pod on {found.node or 'no node'} is being deleted, and keeps slot {job.slot}"
        return Explanation("pod-deleted", f"{why} until it is gone")
    return None


def _why_queued(job: Attempt, found: ClusterJob | None) -> str:
    """What keeps an accepted attempt from starting, in the cluster's own words where it has said any."""
    if job.evidence.events and not (found and found.pod_unfinished):
        return f"it has no pod yet ({job.evidence.events[-1]}), and starts when that is lifted"
    room = "it starts when the cluster has room"
    return f"{room} ({found.message})" if found and found.message else room


def unreachable(view: View, job: Attempt) -> bool:
    """Whether the job's pod should have been gone for so long that its node is taken to be out of reach."""
    found = view.sight(job).job
    if found is None or not found.pod_unfinished:
        return False
    since = [instant for instant in (job.stop and job.stop.at, found.pod_deleting_since) if instant]
    return bool(since) and view.now - min(since) > view.life.unreachable_after


def _unreachable(view: View, job: Attempt) -> Explanation:
    found = view.sight(job).job
    assert found is not None
    if job.stop:
        return Explanation("node-unreachable", f"{_ordered(view, job, job.stop)}{_lingering(found)}")
    ago = _span(view.now - (found.pod_deleting_since or view.now))
    why = f"{job.name}'s pod was deleted and should be gone since {ago}{_lingering(found)}"
    return Explanation("node-unreachable", why)


def _suspended(found: ClusterJob | None) -> bool:
    """Whether somebody has set ``suspend`` on the object: this program never does."""
    return found is not None and not found.finished and "Suspended" in found.conditions


def _on_hold(job: Attempt, found: ClusterJob) -> Explanation:
    resume = f'kubectl -n {job.namespace} patch job {job.name} -p \'{{"spec":{{"suspend":false}}}}\''
    why = f"{job.name} was suspended by hand, so it has no pod and keeps slot {job.slot}"
    return Explanation("suspended", f"{why}: \"{resume}\" lets it run anew, 'batchkeeper cancel' ends it")


def _lingering(found: ClusterJob) -> str:
    """The ways out for a pod whose node does not say that it is gone."""
    node = found.node or "NODE"
    return (
        f": node {node} has not confirmed its end, and its slot is held; if the node is gone for good, "
        f"'kubectl delete node {node}' or 'kubectl delete pod --force' frees it"
    )


def _stopping(view: View, job: Attempt, stop: Stop) -> Explanation:
    why = f"{_ordered(view, job, stop)}: it keeps slot {job.slot} until its object and pods are gone"
    if job.reason == Reason.THROTTLED and not job.tombstone:
        why += f"; its name can't be occupied yet: {job.evidence.message}; the next pass asks again"
    return Explanation("terminating", f"{why}{_kept_by(view.sight(job).job)}{_tokens(view, job)}")


def _kept_by(found: ClusterJob | None) -> str:
    """Whose finalizers keep an object that is to go."""
    if found is None or not (found.deleting and found.finalizers):
        return ""
    kept = ", ".join(found.finalizers)
    edit = f"'kubectl -n {found.namespace} edit job {found.name}'"
    return f"; it can't go before {kept} is taken off its finalizers, by whoever put it there or by {edit}"


def _ordered(view: View, job: Attempt, stop: Stop) -> str:
    return f"{job.name} is terminating, ordered by {stop.by} ({stop.why}) {_span(view.now - stop.at)} ago"


def _tokens(view: View, job: Attempt) -> str:
    """What open creates mean for the slot (R5)."""
    if job.tombstone or not open_creates(job, view.now, view.life):
        return ""
    until = closing(job, view.life)
    n = len(job.open_creates)
    unanswered = f"{n} create{'s have' if n > 1 else ' has'} no answer yet"
    return f"; {unanswered}, so its name stays occupied until {_clock(until)} or until it is buried"


def closing(job: Attempt, life: Lifecycle) -> datetime:
    """When the youngest open create counts as closed."""
    return max(token.at for token in job.open_creates) + life.hold


def _ended(view: View, job: Attempt, chain: Sequence[Attempt]) -> Explanation:
    at = f" at {_clock(job.finished)}" if job.finished else ""
    verdict = job.verdict.value if job.verdict else "unknown"
    how = f"{job.name} ended as {job.status} ({verdict}){at}" + (f": {job.error}" if job.error else "")
    later = next((attempt for attempt in chain if attempt.attempt == job.attempt + 1), None)
    if later:
        return Explanation("retried", f"{how}; retried as {later.name}, which is {later.status}")
    if job.status is Status.COMPLETED or not chain:
        return Explanation(verdict, how)
    decision = decide_retry(chain, view.rules, view.max_auto_retries, 0.0)
    if view.gate.cancel:
        return Explanation(verdict, f"{how}; no automatic retry: the batch is being cancelled")
    if decision.child and job.id not in {holder.job for holder in view.gate.holders}:
        why = f"none came of its end, though by today's rules one would ({decision.sentence})"
        ask = f"'batchkeeper retry {job.name}' makes one"
        return Explanation(verdict, f"{how}; no automatic retry: {why}; {ask}")
    if decision.child:
        return Explanation("retry-due", f"{how}; {decision.sentence} is recorded in the next pass")
    return Explanation(verdict, f"{how}; no automatic retry: {decision.sentence}")


# --------------------------------------------------------------------------------------------- words


def _in(instant: datetime, now: datetime) -> str:
    """An instant as people want it: how far away, and when."""
    if instant <= now:
        return f"now (since {_clock(instant)})"
    return f"in {_span(instant - now)} ({_clock(instant)})"


def _span(span: timedelta) -> str:
    return format_duration(timedelta(seconds=max(0, round(span.total_seconds()))))


def _clock(instant: datetime) -> str:
    return instant.strftime("%Y-%m-%d %H:%M:%SZ")
