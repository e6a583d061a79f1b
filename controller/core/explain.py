"""Why something is as it is, in one sentence: the cause, the number that decides it, what will change it.

For every batch, task and attempt, at every instant (O5b). There is no second logic here: the sentences
quote ``plan.block``, ``decide.next_move``, ``reaping`` and ``retry.decide_retry`` about the very view
that the next pass would plan from. Called by the command line, the API and the status files.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from controller.core.batches import RECORDING
from controller.core.copying import replace
from controller.core.decide import Lifecycle, open_creates
from controller.core.model import Attempt, BatchStatus, Status, Stop
from controller.core.moves import Reason
from controller.core.plan import Block, block, candidates, room
from controller.core.reaping import blind_time, entered, waits_on_node_since
from controller.core.retry import decide_retry
from controller.core.sight import ClusterJob
from controller.core.view import View
from controller.core.waits import Explanation as Explanation
from controller.core.waits import (
    Line,
    clock,
    explain_waiting,
    kept_back,
    lifts,
    nobody_ready,
    span,
    when_full,
    within,
)

RECORDED_WITHIN = timedelta(minutes=1)
"""So long after its beginning a recording that has not come to its end may have been broken off."""


# --------------------------------------------------------------------------------------------- batch


def explain_batch(view: View, line: Line | None = None) -> Explanation:
    """Why the batch stands where it stands. ``line``: who waits, by the records; None: nobody asked them."""
    why = _why_batch(view, line)
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


def _why_batch(view: View, line: Line | None) -> Explanation:
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
        return nobody_ready(view, _active(view), line)
    if blocked is Block.EXPANDING and _half_recorded(view):
        return Explanation(blocked.value, f"{_active(view)}: {_half_recorded(view)}")
    if blocked is Block.FULL:
        return when_full(view, line)
    return Explanation(blocked.value, f"{_active(view)}: {sentence}; {lifts(blocked, view)}")


def _half_recorded(view: View) -> str:
    """Of tasks that are long being recorded: nobody here knows whether whoever does it has gone."""
    batch, since = view.batch, view.now - view.batch.inserted
    if batch.reason != RECORDING or since <= RECORDED_WITHIN:
        return ""
    begun = f"recording its {batch.tasks} tasks was begun {span(since)} ago from {batch.source}"
    again = f"'batchkeeper submit' of the same spec goes on, 'batchkeeper cancel {batch.name}' gives it up"
    return f"{begun} and has not ended; was it broken off, {again}"


def _active(view: View) -> str:
    return f"{len(view.gate.holders)} of {view.gate.max} active jobs in batch {view.batch.name}"


# ------------------------------------------------------------------------------------------- attempt


def explain_job(view: View, job: Attempt, chain: Sequence[Attempt]) -> Explanation:
    """Why this attempt stands where it stands. ``chain``: all attempts of its task, newest last."""
    if job.status is Status.WAITING:
        return explain_waiting(view, job, chain)
    if job.status.terminal:
        return _ended(view, job, chain)
    if unreachable(view, job):
        return _unreachable(view, job)
    if job.stop:
        return _stopping(view, job, job.stop)
    return _active_job(view, job)


def _taken_over(view: View, job: Attempt, since: datetime) -> Explanation:
    """What was taken over ends by itself, or by whoever started it."""
    ends = "its batch is cancelled, and whoever started it must stop it" if view.gate.cancel else ""
    why = f"{job.kind} {job.name} was taken over and is followed by its uid ({job.status} for "
    return Explanation("adopted", f"{why}{span(view.now - since)}): {ends or 'its own end changes that'}")


def _active_job(view: View, job: Attempt) -> Explanation:
    since = entered(job) or job.updated
    if job.kind:
        return _taken_over(view, job, since)
    limit = view.life.reaper.limit(job.status)
    reaped, until = "", None
    if limit is not None:
        until = since + limit + blind_time(view.life.reaper.gaps, since, view.now)
        reaped = f"; reaped if still {job.status} {within(until, view.now)}"
    ago = f"{job.status} for {span(view.now - since)}"
    if job.status is Status.CREATED:
        asked = _submitting(view, job, ago)
        return Explanation(asked.cause, asked.sentence + _tokens(view, job) + reaped, until)
    found = view.sight(job).job
    if found and (disturbed := _disturbed(job, found)):
        return disturbed
    if job.status is Status.QUEUED:
        begun = waits_on_node_since(job, found) if found else None
        if begun is not None:
            until = begun + job.job_input.start_deadline
            why = f"{job.name} is on its node but has not started ({ago}); given up {within(until, view.now)}"
            return Explanation("starting", why, until)
        why = _why_queued(job, found)
        return Explanation("queued", f"{job.name} is accepted by the cluster ({ago}): {why}{reaped}", until)
    if job.job_input.deadline and job.running:
        until = job.running + job.job_input.deadline
        return Explanation(
            "running",
            f"{job.name} runs on {job.node or 'a node'} ({ago}); its deadline is {within(until, view.now)}",
            until,
        )
    return Explanation(
        "running",
        f"{job.name} runs on {job.node or 'a node'} ({ago}); its own end changes that{reaped}",
        until,
    )


def _submitting(view: View, job: Attempt, ago: str) -> Explanation:
    """It has its place, and the cluster was asked for it: whether it is asked again the plan says."""
    kept, said = kept_back(view, job), job.evidence.message
    if said:
        cause = kept.cause if kept else "unanswered" if job.open_creates else "throttled"
        then = kept.sentence if kept else "the next pass asks again"
        return Explanation(cause, f"{job.name} is not taken yet ({ago}): {said}; {then}")
    why = f"{job.name} is being submitted ({ago}): the cluster's answer or a live look decides"
    more = f"; is it not there, it is not asked for again: {kept.sentence}" if kept else ""
    return Explanation("submitting", why + more)


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
    ago = span(view.now - (found.pod_deleting_since or view.now))
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
    return f"{job.name} is terminating, ordered by {stop.by} ({stop.why}) {span(view.now - stop.at)} ago"


def _tokens(view: View, job: Attempt) -> str:
    """What open creates mean for the slot (R5)."""
    if job.tombstone or not open_creates(job, view.now, view.life):
        return ""
    until = closing(job, view.life)
    n = len(job.open_creates)
    unanswered = f"{n} create{'s have' if n > 1 else ' has'} no answer yet"
    return f"; {unanswered}, so its name stays occupied until {clock(until)} or until it is buried"


def closing(job: Attempt, life: Lifecycle) -> datetime:
    """When the youngest open create counts as closed."""
    return max(token.at for token in job.open_creates) + life.hold


def _ended(view: View, job: Attempt, chain: Sequence[Attempt]) -> Explanation:
    at = f" at {clock(job.finished)}" if job.finished else ""
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
