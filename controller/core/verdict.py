"""What an attempt's end really was (S5): one function over all the evidence.

The engine calls ``judge`` for an object that has finished, ``start_failure`` for a pod that is stuck
past its start deadline, and ``admission`` for an object that gets no pod at all. Exit codes lie: 137
has eight causes, an interrupted pod may report success, a failed mount often gives no exit code. So
the rules stand in an order, the most certain evidence first, and the first that speaks decides.

The order, and why:

1. Success, if an exit code or the job's condition proves it and the pod's reason doesn't contradict it.
2. An order of ours (cancel, reap, start deadline): what it caused is not the program's doing.
3. What the cluster did to the pod: disruption before memory, because a drained pod is killed too.
4. What kept the container from starting; the deadline comes after it, since a pod that could not
   mount for its whole deadline is a mount failure.
5. The exit code: 2 is a mount failure (by the requirement; argparse and bash exit 2 as well, so the
   log stays in the evidence and the sentence says when it looks like a usage error), 1 is a
   configuration error, a bare 137 or 143 says only that somebody killed it: unknown.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from controller.core.evidence import DISRUPTION_TARGET, head, printable
from controller.core.evidence import evidence_of as evidence_of
from controller.core.healing import heals
from controller.core.model import Stop, TerminatedCode, Verdict
from controller.core.sight import ClusterJob

MOUNT_EXIT_CODE = 2
CONFIGURATION_EXIT_CODE = 1
"""The one exit code that automation never retries."""

DISRUPTIONS = frozenset(
    {"Evicted", "NodeAffinity", "NodeLost", "NodeShutdown", "OutOfcpu", "OutOfmemory", "OutOfpods"}
    | {"Preempted", "Preempting", "Preemption", "Shutdown", "Terminated", "UnexpectedAdmissionError"}
)
"""Reasons of a pod that the cluster ended. ``Terminated`` is the kubelet's word for a node's shutdown."""

IMAGE_REASONS = frozenset(
    {"ErrImageNeverPull", "ErrImagePull", "ImageInspectError", "ImagePullBackOff", "InvalidImageName"}
    | {"RegistryUnavailable", "SignatureValidationFailed"}
)
MOUNT_REASONS = frozenset({"FailedAttachVolume", "FailedMapVolume", "FailedMount"})
START_REASONS = frozenset({"ContainerCannotRun", "CreateContainerError", "RunContainerError", "StartError"})
SUCCESS_CONDITIONS = frozenset({"Complete", "SuccessCriteriaMet"})
"""The job's own conditions that prove a success whose pod, and exit code, are gone."""

_KILLS = {137: "SIGKILL", -9: "SIGKILL", 143: "SIGTERM", -15: "SIGTERM"}
_LOOK = 4096
"""Characters of untrusted text that a pattern is run over."""
_POLICY_EXIT = re.compile(r"failed with exit code (\d{1,3})\b")
_POLICY_DISRUPTION = re.compile(r"has condition DisruptionTarget\b")
_OWN_LIMIT = re.compile(r"exceeds the (?:total )?limit", re.IGNORECASE)
_MOUNT_WORDS = re.compile(
    r"error mounting|mountvolume|(?:fail\w{0,4}|unable|cannot|could not)(?: \w+){0,3} (?:re)?mount"
    r"|stale (?:nfs )?file handle|transport endpoint is not connected",
    re.IGNORECASE,
)
_IMAGE_EVENT = re.compile(r"pull(?:ing)? image|InvalidImageName|ErrImage", re.IGNORECASE)
_MEMORY_WORDS = re.compile(
    r"MemoryError|bad_alloc|cannot allocate (?:memory|vector)|OutOfMemoryError|out of memory", re.IGNORECASE
)
_USAGE_WORDS = re.compile(
    r"^usage:|unrecognized arguments|the following arguments are required|syntax error",
    re.IGNORECASE | re.MULTILINE,
)


@dataclass(frozen=True, slots=True)
class Ruling:
    """A verdict and the evidence that decided it, as one clause for people."""

    verdict: Verdict
    because: str


class Admission(StrEnum):
    """Why an object that was created gets no pod."""

    WAITS = "waits"
    """For quota, or for what heals by itself: nothing is wrong with it."""
    REFUSED = "refused"
    """Its pod will never be admitted."""


@dataclass(frozen=True, slots=True)
class _Case:
    """All the evidence about one end."""

    job: ClusterJob
    log_tail: str
    stop: Stop | None
    ran: bool
    exit_code: int | None


_Rule = Callable[[_Case], Ruling | None]


def judge(job: ClusterJob, *, log_tail: str = "", stop: Stop | None, started: bool) -> Ruling:
    """What the end of this object was. Total: whatever the evidence, there is a verdict.

    ``started``: whether the record says that its container has run. ``stop``: the record's order,
    whose outcome follows R4: success in spite of it is success.
    """
    exit_code = exit_code_of(job)
    never_ran = exit_code is None or job.container_reason in START_REASONS
    case = _Case(job, log_tail[-_LOOK:], stop, started or job.started or not never_ran, exit_code)
    for rule in RULES:
        if ruling := rule(case):
            return ruling
    return Ruling(Verdict.UNKNOWN, f"no exit code and no reason that explains it{_hint(job)}")


def start_failure(job: ClusterJob) -> Ruling:
    """Why a pod did not start within its start deadline: mount-failure, image-pull or start-timeout.

    The container's present state speaks before the events, the newest event before older ones.
    """
    for text in (job.container_reason, job.pod_reason, *reversed(job.events)):
        if verdict := _start_verdict(text):
            return Ruling(verdict, f"never started: {_short(text)}")
    if job.container_reason in START_REASONS and _names_mount(job.message):
        return Ruling(Verdict.MOUNT_FAILURE, f"never started: {_short(job.message)}")
    return Ruling(Verdict.START_TIMEOUT, f"never started within its start deadline{_hint(job)}")


def admission(job: ClusterJob) -> Admission | None:
    """Why no pod of this object was admitted, by its newest telling FailedCreate event; None if unsaid.

    A webhook that timed out, or an API server that was busy, refused nothing.
    """
    for event in reversed(job.events):
        reason, _, message = event.partition(":")
        if reason == "FailedCreate":
            said = message[:_LOOK].strip().removeprefix("Error creating: ")
            if heals(said):
                return Admission.WAITS
            if any(word in message for word in ("forbidden", "denied the request", "is invalid")):
                return Admission.REFUSED
    return None


def exit_code_of(job: ClusterJob) -> int | None:
    """The container's exit code; where the pod is gone, the one that the job's condition quotes."""
    if job.exit_code is not None:
        return job.exit_code
    quoted = _POLICY_EXIT.search(job.message[:_LOOK])
    return int(quoted[1]) if quoted else None


def _succeeded(case: _Case) -> Ruling | None:
    """A pod that calls itself Succeeded without an exit code proves nothing: a rebooted node says so too."""
    job = case.job
    if job.succeeded is not True or job.pod_reason in DISRUPTIONS:
        return None
    if case.exit_code == 0:
        return Ruling(Verdict.SUCCEEDED, "exit code 0")
    if case.exit_code is None and SUCCESS_CONDITIONS & set(job.conditions):
        return Ruling(Verdict.SUCCEEDED, "the job's condition says that it completed")
    return None


def _stopped(case: _Case) -> Ruling | None:
    stop = case.stop
    if stop is None:
        return None
    if stop.code is None:
        return Ruling(_verdict_named(stop.why), f"{_short(stop.why)}: stopped by {_short(stop.by)}")
    verdict = Verdict.REAPED if stop.code is TerminatedCode.AUTOMATION else Verdict.CANCELLED
    return Ruling(verdict, f"stopped by {_short(stop.by)}: {_short(stop.why)}")


def _over_its_own_limit(case: _Case) -> Ruling | None:
    """An eviction for the pod's own disk use is no disruption: it happens again on every node."""
    job = case.job
    evicted = job.pod_reason == "Evicted" and DISRUPTION_TARGET not in job.conditions
    if not (evicted and _OWN_LIMIT.search(job.message[:_LOOK])):
        return None
    return Ruling(Verdict.APPLICATION_ERROR, f"evicted for its own disk use: {_short(job.message)}")


def _disrupted(case: _Case) -> Ruling | None:
    job = case.job
    if job.pod_reason in DISRUPTIONS or job.container_reason in DISRUPTIONS - {"Terminated"}:
        by = job.pod_reason if job.pod_reason in DISRUPTIONS else job.container_reason
        return Ruling(Verdict.DISRUPTED, f"{by}: the cluster ended the pod, not the program")
    if DISRUPTION_TARGET in job.conditions or _POLICY_DISRUPTION.search(job.message[:_LOOK]):
        return Ruling(Verdict.DISRUPTED, f"{DISRUPTION_TARGET}: the cluster ended the pod, not the program")
    return None


def _out_of_memory(case: _Case) -> Ruling | None:
    if "OOMKilled" not in (case.job.container_reason, case.job.pod_reason):
        return None
    return Ruling(Verdict.OUT_OF_MEMORY, "OOMKilled: it used more memory than its limit")


def _start_error(case: _Case) -> Ruling | None:
    job = case.job
    if job.container_reason not in START_REASONS:
        return None
    names_mount = _names_mount(job.message)
    verdict = Verdict.MOUNT_FAILURE if names_mount else Verdict.APPLICATION_ERROR
    return Ruling(verdict, f"{job.container_reason}: {_short(job.message) or 'its command could not be run'}")


def _mount_or_image(case: _Case) -> Ruling | None:
    job = case.job
    events = () if case.ran else tuple(reversed(job.events))
    for text in (job.container_reason, job.pod_reason, *events):
        if verdict := _start_verdict(text):
            return Ruling(verdict, f"{_short(text)}{'' if case.ran else ', and it never started'}")
    return None


def _deadline(case: _Case) -> Ruling | None:
    if "DeadlineExceeded" not in (case.job.pod_reason, case.job.container_reason):
        return None
    return Ruling(Verdict.DEADLINE, "DeadlineExceeded: it ran longer than its deadline")


def _refused(case: _Case) -> Ruling | None:
    if case.ran or admission(case.job) is not Admission.REFUSED:
        return None
    refusal = next(event for event in reversed(case.job.events) if event.startswith("FailedCreate"))
    return Ruling(Verdict.REJECTED, f"the cluster refuses its pod: {_short(refusal)}")


def _exit_two(case: _Case) -> Ruling | None:
    if case.exit_code != MOUNT_EXIT_CODE:
        return None
    usage = "; its log looks like a usage error" if _USAGE_WORDS.search(case.log_tail) else ""
    return Ruling(Verdict.MOUNT_FAILURE, f"exit code 2, the code of a mount failure{usage}")


def _exit_one(case: _Case) -> Ruling | None:
    if case.exit_code != CONFIGURATION_EXIT_CODE:
        return None
    return Ruling(Verdict.CONFIGURATION_ERROR, "exit code 1, the code of a configuration error")


def _killed(case: _Case) -> Ruling | None:
    signal = _KILLS.get(case.exit_code) if case.exit_code is not None else None
    if signal is None:
        return None
    code = case.exit_code
    if signal == "SIGKILL" and (words := _MEMORY_WORDS.search(case.log_tail)):
        return Ruling(Verdict.OUT_OF_MEMORY, f"exit code {code} (SIGKILL), and its log says {words[0]!r}")
    return Ruling(Verdict.UNKNOWN, f"exit code {code}: {signal} from somebody, and no reason says from whom")


def _exit_other(case: _Case) -> Ruling | None:
    if case.exit_code in (None, 0):
        return None
    return Ruling(Verdict.APPLICATION_ERROR, f"exit code {case.exit_code}")


RULES: tuple[_Rule, ...] = (
    _succeeded,
    _stopped,
    _over_its_own_limit,
    _disrupted,
    _out_of_memory,
    _start_error,
    _mount_or_image,
    _deadline,
    _refused,
    _exit_two,
    _exit_one,
    _killed,
    _exit_other,
)
"""In order; the first that speaks decides. A test has one case for each and one for each neighbour."""


def _start_verdict(text: str) -> Verdict | None:
    """What a reason, or an event that starts with one, says about a start that failed."""
    reason, _, message = text[:_LOOK].partition(":")
    if reason in MOUNT_REASONS:
        return Verdict.MOUNT_FAILURE
    if reason in IMAGE_REASONS or (reason in ("Failed", "BackOff") and _IMAGE_EVENT.search(message)):
        return Verdict.IMAGE_PULL
    return None


def _names_mount(message: str) -> bool:
    return _MOUNT_WORDS.search(message[:_LOOK]) is not None


def _verdict_named(text: str) -> Verdict:
    """The verdict of this value; a stop's ``why`` is text in the store, so it may be none."""
    return Verdict(text) if text in set(Verdict) else Verdict.UNKNOWN


def _hint(job: ClusterJob) -> str:
    """What else there is to say where nothing decides: the present reason or the newest event."""
    generic = job.container_reason in ("", "Error", "Completed")
    said = (
        job.pod_reason or ("" if generic else job.container_reason) or (job.events[-1] if job.events else "")
    )
    return f" ({_short(said)})" if said else ""


def _short(text: str) -> str:
    """At most 200 bytes on one line, for a sentence."""
    return " ".join(head(printable(text[:_LOOK]), 200).split())
