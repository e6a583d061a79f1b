"""What happens next to one attempt: a pure function of its record and of what is known of its object.

Called by ``plan`` with what the last list showed, and again by the engine with a live answer wherever
the first decision was ``LOOK``. What destroys or releases rests only on facts that can't un-happen
(R0): a uid that is finished or gone, a name that is occupied, a ``stop`` that is set. Absence is never
believed from a list; it is asked for live.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from controller.core import adoption
from controller.core.change import Change
from controller.core.copying import replace
from controller.core.evidence import MAX_MESSAGE_BYTES, head
from controller.core.machine import Event
from controller.core.model import Attempt, Evidence, Status, Stop, TerminatedCode, Verdict
from controller.core.moves import UNSEEN as UNSEEN
from controller.core.moves import Act as Act
from controller.core.moves import Lifecycle as Lifecycle
from controller.core.moves import Move as Move
from controller.core.moves import Reason as Reason
from controller.core.moves import Sight as Sight
from controller.core.reaping import entered, overdue, waits_on_node_since
from controller.core.sight import ClusterJob
from controller.core.verdict import (
    Admission,
    Ruling,
    admission,
    evidence_of,
    exit_code_of,
    judge,
    start_failure,
)

BY_DAEMON = "batchkeeper"
"""Who ordered a stop that no person ordered."""
BY_ITSELF = frozenset({Verdict.MOUNT_FAILURE, Verdict.CONFIGURATION_ERROR, Verdict.APPLICATION_ERROR})
"""Verdicts on programs that ended by themselves: their last words mostly say what to put right."""
LAST_WORDS = 160
"""Characters of a job's last log line that its record's ``error`` quotes."""


def next_move(job: Attempt, sight: Sight, now: datetime, life: Lifecycle) -> Move | None:
    """The one next step of this attempt, or None when it is to be left alone for now."""
    if job.status is Status.WAITING or not sight.known:
        return None
    if job.kind:
        return adoption.next_move(job, sight)
    found = sight.job if sight.job and not sight.job.tombstone else None
    if job.status.terminal:
        return _after_the_end(job, found, sight, now, life) if found else None
    if found and found.half_told and not sight.live:
        return Move(Act.LOOK, Reason.FINISHED)
    if found:
        return _present(job, found, sight, now, life)
    if not sight.live:
        return Move(Act.LOOK, Reason.NOT_SEEN)
    return _absent(job, sight, now, life)


# ------------------------------------------------------------------------------- the object is there


def _present(job: Attempt, found: ClusterJob, sight: Sight, now: datetime, life: Lifecycle) -> Move | None:
    if job.status is Status.CREATED:
        return Move(Act.WRITE, Reason.ACCEPTED, accepted(job, found.uid, found))
    if found.uid != job.scheduler_id:
        if not sight.live:
            return Move(Act.LOOK, Reason.OTHER_UID)
        fields = {"scheduler_id": found.uid, "node": found.node or None}
        change = Change(job.id, Event.REPOINTED, Reason.OTHER_UID, fields=fields, uid=job.scheduler_id)
        return Move(Act.WRITE, Reason.OTHER_UID, change)
    if found.finished and job.stop and not _settled(job, now, life):
        # A delete of it may be under way, so it can't be trusted to keep the name from an open create:
        # it goes first, then the name is buried, and only then the attempt ends (R5). Success is recorded
        # before it goes: it counts in spite of the stop (R4).
        if job.exit_code is None and succeeded(job, found):
            seen = Change(job.id, Event.SEEN, Reason.FINISHED, fields={"exit_code": 0})
            return Move(Act.WRITE, Reason.FINISHED, seen)
        return None if found.deleting else Move(Act.DELETE, Reason.STOPPING, uid=found.uid)
    if found.finished:
        # A pod that lingers after its finished job still runs the user's program: the slot is held.
        return None if found.pod_unfinished or sight.pods else Move(Act.END, Reason.FINISHED, uid=found.uid)
    if job.status is Status.QUEUED and found.started:
        return Move(Act.WRITE, Reason.STARTED, _started(job, found))
    if job.stop:
        # A list may be older than a success: what goes is looked at live, so that its end is kept (R4).
        if found.deleting:
            return None
        act = Act.DELETE if sight.live else Act.LOOK
        return Move(act, Reason.STOPPING, uid=found.uid)
    return _too_late(job, found, sight, now, life)


def succeeded(job: Attempt, found: ClusterJob) -> bool:
    """Whether a finished object is a success, whatever its log says and whatever was ordered (R4)."""
    ruling = judge(found, log_tail="", stop=job.stop, started=job.running is not None)
    return ruling.verdict is Verdict.SUCCEEDED


def accepted(job: Attempt, uid: str, found: ClusterJob | None = None, token: str = "") -> Change:
    """The cluster has the object: created → queued. ``token``: the create that this definitely answers.

    Like every change of status it leaves the instant to the store: a machine whose clock is wrong must
    not make an attempt look older than it is (E11).
    """
    fields: dict[str, object] = {"scheduler_id": uid}
    if found and found.image_digest:
        fields["image_digest"] = found.image_digest
    return Change(job.id, Event.ACCEPTED, Reason.ACCEPTED, fields=fields, drop_token=token)


def _started(job: Attempt, found: ClusterJob) -> Change:
    fields: dict[str, object] = {"node": found.node or None}
    if found.image_digest:
        fields["image_digest"] = found.image_digest
    return Change(job.id, Event.STARTED, Reason.STARTED, fields=fields, uid=found.uid)


def _too_late(job: Attempt, found: ClusterJob, sight: Sight, now: datetime, life: Lifecycle) -> Move | None:
    """Start deadline and reaper: both ask live before they order anything."""
    since = waits_on_node_since(job, found)
    past_start = (
        job.status is Status.QUEUED
        and life.reaper.trusted
        and since is not None
        and now - since > job.job_input.start_deadline
    )
    limit = overdue(job, now, life.reaper)
    if not past_start and limit is None:
        return _podless(job, found, sight, now, life) if life.reaper.trusted else None
    if not sight.live:
        return Move(Act.LOOK, Reason.CONFIRM)
    if limit is not None:
        return Move(Act.WRITE, Reason.OVERDUE, reaped(job, limit, now))
    return _give_up(job, found, start_failure(found).verdict, Reason.START_DEADLINE, now)


def _give_up(job: Attempt, found: ClusterJob, verdict: Verdict, reason: Reason, now: datetime) -> Move:
    """Order the end of what will never start, and keep what tells why."""
    stop = Stop(why=verdict.value, by=BY_DAEMON, at=now)
    # The node is kept now: the object may be gone before its end is seen, and a retry is to avoid it (S7).
    fields = {"stop": stop, "evidence": evidence_of(found, "", ()), "node": found.node or None}
    return Move(Act.WRITE, reason, Change(job.id, Event.GIVEN_UP, reason, fields=fields))


def _podless(job: Attempt, found: ClusterJob, sight: Sight, now: datetime, life: Lifecycle) -> Move | None:
    """An object that gets no pod: its live events say whether it waits or will never get one."""
    has_pod = found.pod_unfinished or found.started or found.scheduled_at is not None
    if job.status is not Status.QUEUED or has_pod or found.created_at is None:
        return None
    if now - found.created_at <= life.no_pod_after:
        return None
    if not sight.live:
        return Move(Act.LOOK, Reason.NO_POD)
    if admission(found) is Admission.REFUSED:
        return _give_up(job, found, Verdict.REJECTED, Reason.NO_POD, now)
    evidence = evidence_of(found, "", ())
    if not found.events or evidence.events == job.evidence.events:
        return None
    seen = Change(job.id, Event.SEEN, Reason.NO_POD, fields={"evidence": evidence})
    return Move(Act.WRITE, Reason.NO_POD, seen)


def throttled(job: Attempt, message: str) -> Change:
    """The cluster wants no more for now (429, a quota): say so on the record; the create is repeated."""
    evidence = Evidence(message=head(message, MAX_MESSAGE_BYTES))
    return Change(job.id, Event.SEEN, Reason.THROTTLED, fields={"evidence": evidence})


def unanswered(job: Attempt, message: str) -> Change:
    """A create has no definite answer: what was said instead is kept, the next look decides."""
    evidence = Evidence(message=head(message, MAX_MESSAGE_BYTES))
    return Change(job.id, Event.SEEN, Reason.UNANSWERED, fields={"evidence": evidence})


def reaped(job: Attempt, limit: timedelta, now: datetime) -> Change:
    """The reaper's order to stop, repeating the very instant that was read and the limit (R10)."""
    why = f"{job.status.value} for over {limit}"
    stop = Stop(why=why, by=BY_DAEMON, at=now, code=TerminatedCode.AUTOMATION)
    return Change(
        job.id, Event.OVERDUE, Reason.OVERDUE, fields={"stop": stop}, entered=entered(job), limit=limit
    )


# --------------------------------------------------------------------------- the object is not there


def _absent(job: Attempt, sight: Sight, now: datetime, life: Lifecycle) -> Move | None:
    """A live answer found nothing of ours under the name (a tombstone is nothing of ours)."""
    if sight.pods:
        return None
    tombstone = sight.job is not None and sight.job.tombstone
    if tombstone and not job.tombstone and (job.stop or job.scheduler_id):
        change = Change(job.id, Event.BURIED, Reason.NAME_BURIED, fields={"tombstone": True})
        return Move(Act.WRITE, Reason.NAME_BURIED, change)
    if job.status is Status.CREATED:
        return _never_there(job, sight, now, life, taken=bool(sight.foreign_uid) or tombstone)
    if _settled(job, now, life):
        return Move(Act.WRITE, Reason.LOST, _gone(job, Event.VANISHED, life))
    return None if sight.foreign_uid else Move(Act.BURY, Reason.BURYING)


def _never_there(job: Attempt, sight: Sight, now: datetime, life: Lifecycle, taken: bool) -> Move | None:
    """A created attempt without an object: create it again, or end it if it is to stop."""
    if job.stop:
        if _settled(job, now, life):
            return Move(Act.WRITE, Reason.STOPPED, _gone(job, Event.NEVER_CREATED, life))
        return None if sight.foreign_uid else Move(Act.BURY, Reason.BURYING)
    if taken:
        return Move(Act.WRITE, Reason.NAME_TAKEN, name_taken(job, now, life))
    limit = overdue(job, now, life.reaper)
    if limit is not None:
        return Move(Act.WRITE, Reason.OVERDUE, reaped(job, limit, now))
    return Move(Act.CREATE, Reason.CREATING_AGAIN)


def name_taken(job: Attempt, now: datetime, life: Lifecycle) -> Change:
    """The name is somebody else's: an end, or with open creates an order to end once they are closed."""
    return _refusal(job, Event.COLLIDED, Verdict.NAME_COLLISION, Reason.NAME_TAKEN, "", now, life)


def refused(job: Attempt, message: str, now: datetime, life: Lifecycle) -> Change:
    """The cluster refused the create for good; with other creates open the name must be buried first."""
    return _refusal(job, Event.REJECTED, Verdict.REJECTED, Reason.REFUSED, message, now, life)


def _refusal(
    job: Attempt,
    event: Event,
    verdict: Verdict,
    reason: Reason,
    message: str,
    now: datetime,
    life: Lifecycle,
) -> Change:
    if open_creates(job, now, life):
        stop = Stop(why=verdict.value, by=BY_DAEMON, at=now)
        fields: dict[str, object] = {"stop": stop, "evidence": Evidence(message=message)}
        return Change(job.id, Event.GIVEN_UP, reason, fields=fields)
    fields = {"verdict": verdict, "evidence": Evidence(message=message), "error": message}
    return Change(job.id, event, reason, status=Status.ERROR, fields=fields, hold=life.hold)


def open_creates(job: Attempt, now: datetime, life: Lifecycle) -> bool:
    """Whether a create of this attempt may still land (R5). The store repeats it by its own clock."""
    return any(now - token.at <= life.hold for token in job.open_creates)


def _settled(job: Attempt, now: datetime, life: Lifecycle) -> bool:
    return job.tombstone or not open_creates(job, now, life)


# ------------------------------------------------------------------------------------------ the end


def _after_the_end(
    job: Attempt, found: ClusterJob, sight: Sight, now: datetime, life: Lifecycle
) -> Move | None:
    """The record is terminal, an object of ours is still there: let it expire, or it is a ghost (R13)."""
    if found.half_told and not sight.live:
        return Move(Act.LOOK, Reason.FINISHED)
    if found.active:
        # What this attempt ended with had ended: its pod is gone before the object says so itself, and a
        # live answer of that moment shows neither. Only another pod makes it live again.
        over = found.pod_ended or found.uid == job.scheduler_id
        if found.deleting or (over and not found.pod_unfinished):
            return None
        return Move(Act.GHOST if sight.live else Act.LOOK, Reason.GHOST, uid=found.uid)
    if found.expiring or (found.deleting and job.status is not Status.COMPLETED):
        return None  # it goes, and nothing that it said is still to be kept
    ttl = life.hold if open_creates(job, now, life) and not job.tombstone else life.ttl
    return Move(Act.EXPIRE, Reason.RESULT_KEPT, uid=found.uid, ttl=ttl)


def ended(job: Attempt, found: ClusterJob, log_tail: str, matched: tuple[str, ...]) -> Change:
    """The one terminal write for a finished object (R4). Success in spite of a stop is success."""
    ruling = judge(found, log_tail=log_tail, stop=job.stop, started=job.running is not None)
    evidence = evidence_of(found, log_tail, matched)
    if job.stop:
        evidence = _kept(job.evidence, evidence)
    fields: dict[str, object] = {
        "exit_code": exit_code_of(found),
        "evidence": evidence,
        "error": ""
        if ruling.verdict is Verdict.SUCCEEDED
        else f"{_in_a_line(ruling, evidence)}{_grounds(job, evidence)}",
        "node": found.node or job.node or None,
        "image_digest": found.image_digest or job.image_digest or None,  # it may never have been seen to run
    }
    status = Status.COMPLETED
    if ruling.verdict is not Verdict.SUCCEEDED:
        status, more = _as_ordered(job, ruling.verdict)
        fields |= more
    else:
        fields["verdict"] = Verdict.SUCCEEDED
    return Change(job.id, Event.ENDED, Reason.FINISHED, status=status, fields=fields)


def _kept(before: Evidence, now: Evidence) -> Evidence:
    """What is known at the end of what was stopped; what it was stopped for, the end itself tells no more."""
    return replace(
        now,
        message=now.message or before.message,
        node=now.node or before.node,
        events=now.events or before.events,
        log_tail=now.log_tail or before.log_tail,
        matched=now.matched or before.matched,
    )


def _in_a_line(ruling: Ruling, evidence: Evidence) -> str:
    """What decided the verdict; before it the job's own last words, where the job ended by itself."""
    words = next((line.strip() for line in reversed(evidence.log_tail.splitlines()) if line.strip()), "")
    if not words or ruling.verdict not in BY_ITSELF:
        return ruling.because
    return f"{words if len(words) <= LAST_WORDS else words[:LAST_WORDS] + '…'} ({ruling.because})"


def _grounds(job: Attempt, evidence: Evidence) -> str:
    """In the cluster's words, why an attempt was given up; what a person ordered has no such grounds."""
    if job.stop is None or job.stop.code is not None:
        return ""
    said = evidence.message or next(iter(evidence.events[-1:]), "")
    return f" ({said})" if said else ""


def _gone(job: Attempt, event: Event, life: Lifecycle) -> Change:
    """The one terminal write for an attempt whose object is gone, or never was."""
    if job.exit_code == 0:  # it was seen to succeed before it went
        fields: dict[str, object] = {"verdict": Verdict.SUCCEEDED, "error": ""}
        return Change(job.id, Event.ENDED, Reason.FINISHED, status=Status.COMPLETED, fields=fields)
    status, more = _as_ordered(job, Verdict.LOST)
    reason = Reason.STOPPED if job.stop else Reason.LOST
    error = "the object and its pods are gone, and nobody saw how it ended"
    if job.stop:
        error = f"stopped by {job.stop.by}: {job.stop.why}{_grounds(job, job.evidence)}"
    fields = {"error": error, **more}
    return Change(job.id, event, reason, status=status, fields=fields, uid=job.scheduler_id, hold=life.hold)


def _as_ordered(job: Attempt, otherwise: Verdict) -> tuple[Status, dict[str, object]]:
    """Status and verdict of an end that is no success, as the stop says (R4)."""
    if job.stop is None:
        return Status.ERROR, {"verdict": otherwise}
    if job.stop.code is None:
        known = job.stop.why in set(Verdict)
        return Status.ERROR, {"verdict": Verdict(job.stop.why) if known else Verdict.UNKNOWN}
    reaped = job.stop.code is TerminatedCode.AUTOMATION
    verdict = Verdict.REAPED if reaped else Verdict.CANCELLED
    return Status.TERMINATED, {"verdict": verdict, "terminated_code": job.stop.code}
