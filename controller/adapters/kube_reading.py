"""From what the API server sends, a Job and its pods and their Events, to the one ``ClusterJob``.

Pure, and total: whatever stands in an object, nothing raises; what makes no sense is left out. A pod's
end is the job's end: the Job controller tells of it up to a second later.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from controller.adapters import labels
from controller.adapters.kube_render import MAIN
from controller.core.sight import ClusterJob

Json = Mapping[str, Any]

OWN_FINALIZERS = frozenset({"foregroundDeletion", "orphan"})
"""What the cluster itself puts on an object that is being deleted, and takes off."""
ENDED_PHASES = frozenset({"Succeeded", "Failed"})
JOB_ENDS = frozenset({"Complete", "Failed"})
"""Conditions of a Job after which nothing of it runs. FailureTarget and SuccessCriteriaMet come earlier."""
JOB_SUCCESS = frozenset({"Complete", "SuccessCriteriaMet"})
MAX_EVENTS = 20


def job_of(job: Json | None, pods: Sequence[Json] = (), events: Sequence[Json] = ()) -> ClusterJob:
    """An object of ours with its pod folded in (``_telling``). Without the Job, what its pod says of it."""
    job_ends = _true_conditions(job) if job is not None else ()
    pod = _telling(pods, job_ends)
    main = (job if job is not None else pod) or {}
    about, marks = meta(main), labels_of(main)
    state = _state(pod)
    ended = dig(state, "terminated")
    has_ended = pod is not None and pod_ended(pod)
    job_done = bool(JOB_ENDS & set(job_ends))
    return ClusterJob(
        name=text(about, "name"),
        namespace=text(about, "namespace"),
        uid=text(about, "uid"),
        job_id=marks.get(labels.JOB_ID, ""),
        batch_id=marks.get(labels.BATCH_ID, ""),
        task_id=marks.get(labels.TASK, ""),
        attempt=_number(marks.get(labels.ATTEMPT)) or 0,
        tombstone=labels.TOMBSTONE in marks,
        deleting="deletionTimestamp" in about,
        finalizers=tuple(one for one in _texts(about, "finalizers") if one not in OWN_FINALIZERS),
        finished=job_done or (has_ended and not may_go_on(job, pods)),
        pod_ended=has_ended,
        pod_unfinished=any(not pod_ended(one) for one in pods),
        pod_deleting_since=_deleting_since(pod),
        expiring=_expires(job, marks),
        # A tombstone is born complete, and is nobody's success.
        succeeded=None if labels.TOMBSTONE in marks else _succeeded(pod, job_ends),
        exit_code=_number(ended.get("exitCode")),
        container_reason=text(ended, "reason") or text(dig(state, "waiting"), "reason"),
        pod_reason=text(dig(pod, "status"), "reason") or _job_reason(job),
        conditions=tuple(dict.fromkeys((*_true_conditions(pod), *job_ends))),
        message=_message(job, pod, state),
        node=text(dig(pod, "spec"), "nodeName"),
        pod=text(meta(pod), "name"),
        events=event_lines(events),
        image_digest=_digest(pod),
        created_at=instant(about.get("creationTimestamp")),
        scheduled_at=_transition(pod, "PodScheduled"),
        started_at=instant(ended.get("startedAt")) or instant(dig(state, "running").get("startedAt")),
        finished_at=instant(ended.get("finishedAt")) or _job_end(job),
    )


def _telling(pods: Sequence[Json], job_ends: Sequence[str]) -> Json | None:
    """The pod to judge by: one that is unfinished, so that nothing runs unseen, else the one that did the
    work.

    A Job has several where its controller's create was done and not answered, or where somebody edited it;
    those that are too many are deleted, and how they ended says nothing of the program: one that is told to
    stop may exit with 0. A Job that is complete had a pod that ended well: where that is gone, none tells.
    """
    ended_well = "Complete" in job_ends

    def rank(pod: Json) -> tuple[bool, bool, bool, str, str]:
        about = meta(pod)
        kept, did, made = (
            "deletionTimestamp" not in about,
            _did_the_work(pod),
            text(about, "creationTimestamp"),
        )
        first, then = (did, kept) if ended_well else (kept, did)
        return not pod_ended(pod), first, then, made, text(about, "name")

    found = max(pods, key=rank, default=None)
    if found is None or not (ended_well and text(dig(found, "status"), "phase") == "Failed"):
        return found
    return None


def _did_the_work(pod: Json) -> bool:
    """A pod that calls itself Succeeded without an exit code proves nothing: a rebooted node says so too."""
    return (
        text(dig(pod, "status"), "phase") == "Succeeded"
        and dig(_state(pod), "terminated").get("exitCode") == 0
    )


def _expires(job: Json | None, marks: Mapping[str, str]) -> bool:
    """Whether we gave it a time to live. An admission webhook may give one to every Job there is: with that
    nothing is recorded yet, and what the name is kept for may need a longer one."""
    let_go = labels.TOMBSTONE in marks or labels.EXPIRING in marks
    return let_go and dig(job, "spec").get("ttlSecondsAfterFinished") is not None


def is_ours(thing: Json, instance: str) -> bool:
    """Whether this installation made the object: managed-by, instance and a job id (R13)."""
    marks = dig(meta(thing), "labels")  # of every object of every list: no copy of them is made
    return (
        marks.get(labels.MANAGED_BY) == labels.MANAGER
        and marks.get(labels.INSTANCE) == instance
        and bool(text(marks, labels.JOB_ID))
    )


def pod_ended(pod: Json) -> bool:
    """Whether nothing of the pod runs any more; a pod that is being deleted runs until its phase says so."""
    return text(dig(pod, "status"), "phase") in ENDED_PHASES


def may_go_on(job: Json | None, pods: Sequence[Json]) -> bool:
    """Whether a Job whose condition tells no end may run yet, although the pod that is shown has ended.

    A pod that was deleted is no proof: whoever suspends a Job has its pod deleted, and it gets another one
    when it is resumed. Nor is one that ended where the Job tries again, as ours do when somebody has edited
    them. Then the Job's own word is waited for. One that is being deleted gets no other pod.
    """
    if not all(map(pod_ended, pods)):
        return True
    if job is None or "deletionTimestamp" in meta(job):
        return False
    suspended = dig(job, "spec").get("suspend") is True
    return suspended or not runs_one_pod(job) or any("deletionTimestamp" in meta(pod) for pod in pods)


def runs_one_pod(job: Json) -> bool:
    """Whether a Job whose only pod has ended gets no other: others' may retry, and so may an edited one."""
    spec = dig(job, "spec")
    one = spec.get("completions", 1) == 1 and spec.get("parallelism", 1) == 1
    # A failure that is ignored is followed by another pod, whatever the limit is.
    actions = {text(rule, "action") for rule in items(dig(spec, "podFailurePolicy"), "rules")}
    return one and spec.get("backoffLimit") == 0 and "Ignore" not in actions


def event_lines(events: Iterable[Json]) -> tuple[str, ...]:
    """``Reason: message`` of each, newest last, each once; of both event APIs."""
    stamped = sorted(events, key=_event_time)
    lines: dict[str, None] = {}
    for event in stamped:
        line = f"{text(event, 'reason')}: {text(event, 'message') or text(event, 'note')}"
        lines.pop(line, None)
        lines[line] = None
    return tuple(lines)[-MAX_EVENTS:]


# ------------------------------------------------------------------------------------ pieces of an object


def meta(thing: Json | None) -> Json:
    """The object's metadata."""
    return dig(thing, "metadata")


def labels_of(thing: Json | None) -> dict[str, str]:
    """The object's labels; only those that are text."""
    found = dig(meta(thing), "labels")
    return {key: value for key, value in found.items() if isinstance(value, str)}


def dig(thing: object, *keys: str) -> Json:
    """The mapping at the end of these keys, or an empty one.

    JSON's mappings are ``dict``, and this is asked for every field of every object: to look for the abstract
    class takes several times as long.
    """
    for key in keys:
        thing = thing.get(key) if isinstance(thing, dict) else None
    return thing if isinstance(thing, dict) else {}


def items(thing: object, key: str) -> list[Json]:
    """The mappings in the list under this key."""
    found = thing.get(key) if isinstance(thing, dict) else None
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def text(thing: Json, key: str) -> str:
    """The text under this key, or an empty one."""
    found = thing.get(key)
    return found if isinstance(found, str) else ""


def _texts(thing: Json, key: str) -> list[str]:
    """What is text in the list under this key."""
    found = thing.get(key)
    return [one for one in found if isinstance(one, str)] if isinstance(found, list) else []


def instant(value: object) -> datetime | None:
    """RFC 3339 as the API server writes it, in UTC."""
    if not isinstance(value, str):
        return None
    try:
        found = datetime.fromisoformat(value)
    except ValueError:
        return None
    try:
        return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
    except OverflowError:
        return None


def _deleting_since(pod: Json | None) -> datetime | None:
    """The API server writes when the grace will be over, not when the delete was asked for."""
    return None if pod is None or pod_ended(pod) else instant(meta(pod).get("deletionTimestamp"))


def _number(value: object) -> int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    return int(value) if isinstance(value, str) and value.isascii() and value.isdigit() else None


def _state(pod: Json | None) -> Json:
    """The state of the one container that is the job."""
    for status in items(dig(pod, "status"), "containerStatuses"):
        if text(status, "name") in (MAIN, ""):
            return dig(status, "state")
    return {}


def _succeeded(pod: Json | None, job_ends: Sequence[str]) -> bool | None:
    """What the pod says; where it is gone or unfinished, what the Job's conditions say."""
    phase = text(dig(pod, "status"), "phase")
    if phase in ENDED_PHASES:
        return phase == "Succeeded"
    if JOB_SUCCESS & set(job_ends):
        return True
    return False if "Failed" in job_ends else None


def _true_conditions(thing: Json | None) -> tuple[str, ...]:
    found = items(dig(thing, "status"), "conditions")
    return tuple(text(one, "type") for one in found if one.get("status") == "True" and text(one, "type"))


def _condition(thing: Json | None, *types: str) -> Json:
    for one in items(dig(thing, "status"), "conditions"):
        if text(one, "type") in types and one.get("status") == "True":
            return one
    return {}


def _transition(thing: Json | None, condition: str) -> datetime | None:
    return instant(_condition(thing, condition).get("lastTransitionTime"))


def _job_reason(job: Json | None) -> str:
    """The Job's own reason, where it is not just that its failure policy spoke or its pod failed."""
    reason = text(_condition(job, "Failed"), "reason")
    return "" if reason in ("PodFailurePolicy", "BackoffLimitExceeded") else reason


def _job_end(job: Json | None) -> datetime | None:
    ended = _condition(job, *JOB_ENDS)
    return instant(dig(job, "status").get("completionTime")) or instant(ended.get("lastTransitionTime"))


def _message(job: Json | None, pod: Json | None, state: Json) -> str:
    """The words nearest to the cause: container, pod, what is disrupting it, scheduler, Job."""
    unscheduled = next(
        (
            text(one, "message")
            for one in items(dig(pod, "status"), "conditions")
            if text(one, "type") == "PodScheduled" and one.get("status") == "False"
        ),
        "",
    )
    return (
        text(dig(state, "terminated"), "message")
        or text(dig(state, "waiting"), "message")
        or text(dig(pod, "status"), "message")
        or text(_condition(pod, "DisruptionTarget"), "message")
        or unscheduled
        or text(_condition(job, "Failed", "FailureTarget"), "message")
    )


def _digest(pod: Json | None) -> str:
    """``sha256:…`` of the image that ran: what stands behind ``name@``. A bare id names no manifest."""
    for status in items(dig(pod, "status"), "containerStatuses"):
        if text(status, "name") in (MAIN, ""):
            _, at, digest = text(status, "imageID").rpartition("@")
            return digest if at and digest.startswith("sha256:") else ""
    return ""


def _event_time(event: Json) -> datetime:
    last = dig(event, "series").get("lastObservedTime")
    stamps = (last, event.get("lastTimestamp"), event.get("eventTime"), event.get("firstTimestamp"))
    found = [stamp for stamp in map(instant, stamps) if stamp]
    return max(found) if found else datetime.min.replace(tzinfo=UTC)


def main_container(pod: Json) -> str:
    """The name of the container that is the job: of several one that failed, else the first of the spec."""
    statuses = items(dig(pod, "status"), "containerStatuses")
    failed = [one for one in statuses if dig(one, "state", "terminated").get("exitCode") not in (None, 0)]
    named = [*failed, *items(dig(pod, "spec"), "containers"), *statuses]
    return text(named[0], "name") if named else ""
