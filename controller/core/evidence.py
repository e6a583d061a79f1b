"""What is kept of an attempt's end once its object is gone (S8): bounded, printable, storable.

The engine calls ``evidence_of`` right before the one terminal write, the retry engine reads
``reasons`` back from the record. Text comes from users' programs, so nothing here may raise on it.
"""

from __future__ import annotations

import re

from controller.core.copying import replace
from controller.core.model import Evidence
from controller.core.sight import ClusterJob

MAX_LOG_BYTES = 4096
"""Of the log's end; more than a traceback, little enough for a million records."""
MAX_MESSAGE_BYTES = 1024
MAX_EVENTS = 10
MAX_EVENT_BYTES = 512
MAX_REASON_BYTES = 256
MAX_NODE_BYTES = 253

DISRUPTION_TARGET = "DisruptionTarget"
"""The pod condition of everything that the cluster, not the program, brought to an end."""

_SEPARATOR = ", "
_TERMINAL_SEQUENCE = re.compile(r"\x1b\[[0-?]{0,64}[ -/]{0,8}[@-~]")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")


def evidence_of(job: ClusterJob, log_tail: str, matched: tuple[str, ...]) -> Evidence:
    """The evidence to store with an attempt's end. ``matched``: the spec's patterns the log matched.

    The newest events and the end of the log survive the bounds, the beginning of a message does.
    ``matched`` is kept whole: a pattern that was cut would no longer name its rule.
    """
    return Evidence(
        reason=head(_SEPARATOR.join(_reasons_of(job)), MAX_REASON_BYTES),
        message=head(job.message, MAX_MESSAGE_BYTES),
        node=head(job.node, MAX_NODE_BYTES),
        events=tuple(head(event, MAX_EVENT_BYTES) for event in job.events[-MAX_EVENTS:]),
        log_tail=tail(log_tail, MAX_LOG_BYTES),
        matched=tuple(dict.fromkeys(matched)),
    )


def with_log(evidence: Evidence, log_tail: str) -> Evidence:
    """The evidence of an end with what the job's log says, read later."""
    return replace(evidence, log_tail=tail(log_tail, MAX_LOG_BYTES))


def reasons(evidence: Evidence) -> frozenset[str]:
    """The cluster's reasons in the evidence, in lower case: what a rule's ``reasons`` are compared with."""
    return frozenset(part.casefold() for part in evidence.reason.split(_SEPARATOR) if part)


def printable(text: str) -> str:
    """The text without colours, control characters and half surrogates; a carriage return ends a line.

    What remains can be encoded, stored and shown in a terminal as it is.
    """
    text = _TERMINAL_SEQUENCE.sub("", text).replace("\r\n", "\n").replace("\r", "\n")
    return _CONTROL.sub("", text).encode("utf-8", "replace").decode("utf-8")


def head(text: str, max_bytes: int) -> str:
    """The printable beginning of a text, at most ``max_bytes`` in UTF-8, cut between characters."""
    return printable(text[: max_bytes * 4]).encode()[:max_bytes].decode("utf-8", "ignore")


def tail(text: str, max_bytes: int) -> str:
    """The printable end of a text, at most ``max_bytes`` in UTF-8, cut between characters."""
    return printable(text[-max_bytes * 4 :]).encode()[-max_bytes:].decode("utf-8", "ignore")


def _reasons_of(job: ClusterJob) -> tuple[str, ...]:
    """The pod's reason, the container's, and the one condition that is a reason; each once."""
    found = [job.pod_reason, job.container_reason]
    if DISRUPTION_TARGET in job.conditions:
        found.append(DISRUPTION_TARGET)
    return tuple(dict.fromkeys(reason for reason in found if reason))
