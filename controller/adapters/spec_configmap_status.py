"""What a ConfigMap tells of its specs: an annotation with all of their statuses, and Events when one changes.

Pure. The annotation is JSON, a status for each key of the ConfigMap, and bounded: the API server takes
256 KiB of annotations in all. It is also the memory of what was told: an Event is made when what it says
differs from what the annotation says already, so a restart repeats none.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any

from controller.ports import ClusterEvent
from controller.ports.event_writer import Subject

ANNOTATION = "batchkeeper.io/status"
LIMIT = 64 * 1024
"""Bytes of the annotation."""
SHORT = ("batch", "state", "result", "reason", "next", "batchId")
"""What is left of a status where they don't all fit."""
LONGEST_NAME = 100
"""Characters of the ConfigMap's name in an Event's."""

Statuses = Mapping[str, Mapping[str, Any]]


class SpecReason(StrEnum):
    """Why an Event about a spec is made: all there are, at most one of each for one content of a spec."""

    ACCEPTED = "SpecAccepted"
    REFUSED = "SpecRefused"
    COMPLETED = "BatchCompleted"
    FAILED = "BatchFailed"
    CANCELLED = "BatchCancelled"


WARNINGS = frozenset({SpecReason.REFUSED, SpecReason.FAILED})


def statuses_of(annotation: str) -> Statuses:
    """The statuses in an annotation; none in one that somebody else wrote."""
    try:
        found = json.loads(annotation or "{}")
    except (ValueError, RecursionError):
        return {}
    if not isinstance(found, dict):
        return {}
    return {key: status for key, status in found.items() if isinstance(status, dict)}


def annotation_of(statuses: Statuses) -> str:
    """The annotation, cut where it must be: first to what is most wanted, then to the first of the keys."""
    text = _text(statuses)
    if _size(text) <= LIMIT:
        return text
    kept, left = dict[str, Mapping[str, Any]](), LIMIT
    for key, status in statuses.items():
        short = _short(status)
        left -= _size(_text({key: short}))
        if left < 0:
            break
        kept[key] = short
    return _text(kept)


def merged(before: Statuses, key: str, status: Mapping[str, Any], there: Iterable[str]) -> Statuses:
    """The statuses with this one in place; those of keys that are gone go, too. In the order of the keys."""
    found = {**before, key: status}
    return {name: found[name] for name in sorted(set(there)) if name in found}


def event_of(
    subject: Subject, key: str, before: Mapping[str, Any], now: Mapping[str, Any], at: datetime
) -> ClusterEvent | None:
    """What is to be told when a status becomes another one; None: nothing that people wait for."""
    told = _told(now)
    if told is None or told == _told(before):
        return None
    reason, note = told
    if reason is SpecReason.ACCEPTED and "batch" in before and before["batch"] == now.get("batch"):
        return None  # it was accepted long ago: a retry opens it again, or a refused change was taken back
    mark = hashlib.sha256("\0".join((subject.uid, key, reason.value, note)).encode()).hexdigest()[:16]
    return ClusterEvent(
        name=f"{subject.name[:LONGEST_NAME].rstrip('.-')}.{mark}",
        subject=subject,
        reason=reason,
        note=f"{key}: {note}",
        at=at,
        warning=reason in WARNINGS,
    )


def _told(status: Mapping[str, Any]) -> tuple[SpecReason, str] | None:
    """The one thing that a status says to somebody who is not there: reason and sentence."""
    state, batch = str(status.get("state", "")), f"batch {status.get('batch', '')}"
    refused = status.get("refused")
    if refused:
        lines = refused if isinstance(refused, list) else [refused]
        return SpecReason.REFUSED, "; ".join(map(str, lines))
    if state == "finished":
        result = str(status.get("result", ""))
        reason = SpecReason.COMPLETED if result == "completed" else SpecReason.FAILED
        return reason, f"{batch} has ended: {result}. {status.get('next', '')}".rstrip()
    if state == "cancelled":
        return SpecReason.CANCELLED, f"{batch} was cancelled"
    if state in ("", "reading", "refused"):
        return None
    return SpecReason.ACCEPTED, f"{batch} was accepted"


def _short(status: Mapping[str, Any]) -> Mapping[str, Any]:
    refused = status.get("refused")
    return {name: status[name] for name in SHORT if name in status} | (
        {"refused": refused[:1]} if isinstance(refused, list) and refused else {}
    )


def _text(statuses: Statuses) -> str:
    return json.dumps(statuses, indent=1, ensure_ascii=False)


def _size(text: str) -> int:
    return len(text.encode("utf-8", "backslashreplace"))
