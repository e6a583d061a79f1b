"""What stands beside a spec: how its batch fares, or why there is none, for whoever dropped the file.

Plain data in the order in which a person reads it; the source writes it as YAML. No instant of writing
is in it, so it changes only when something happened, and the file's own time tells when. Nothing of a
job's env and no log line is in it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from controller.core.adoption import about_others
from controller.core.model import Attempt, Batch, BatchStatus, Gate, Hold, Result, Status

MAX_FAILURES = 10
MAX_LINES = 50
"""Problems and reasons that are listed; of more, their number."""
MAX_TEXT = 300
"""Characters of one line."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How a batch stands now. ``active`` counts created, queued and running attempts, those that are
    ``terminating`` included; ``waiting`` those in line."""

    active: int
    waiting: int
    terminating: int = 0
    why_waits: Sequence[str] = ()
    """The sentences of the plan or of ``explain``."""
    failures: Sequence[Attempt] = ()
    """Failed attempts, the newest first; ten are shown."""


def batch_status(
    batch: Batch, gate: Gate, progress: Progress, refused: Sequence[str] = (), superseded: str = ""
) -> dict[str, Any]:
    """The status of a spec that is a batch. ``refused``: why the file's newest content was not taken;
    ``superseded``: by what it was superseded since.
    """
    tasks = _tasks(batch, progress)
    status = {
        "batch": f"{batch.namespace}/{batch.name}",
        "state": _state(batch, gate).value,
        "result": batch.result.value if batch.result and batch.status.closed else None,
        "reason": _line(batch.reason if batch.status.closed else gate.hold or batch.reason),
        "next": _next(batch, gate, refused),
        "refused": _lines(refused),
        "superseded": _line(superseded),
        "activeJobsInBatch": f"{progress.active} of {gate.max}",
        "waits": _lines(progress.why_waits),
        "tasks": tasks,
        "retries": max(0, sum(batch.counts.status.values()) - batch.tasks) or None,
        "foreign": len(gate.foreign) or None,
        "failures": [_failure(attempt) for attempt in progress.failures[:MAX_FAILURES]],
        "settings": {name: _setting(batch, name) for name in sorted(batch.settings)},
        "owner": batch.user,
        "accepted": _time(batch.inserted),
        "finished": _time(batch.finished) if batch.finished else None,
        "batchId": batch.id,
        "specHash": batch.spec_hash,
        "source": _line(batch.source),
    }
    return {key: value for key, value in status.items() if value not in (None, "", [], {})}


def refused_status(problems: Sequence[str]) -> dict[str, Any]:
    """The status of a file that became no batch: all that is wrong with it, one line each."""
    return {
        "state": "refused",
        "next": "Correct what is listed here and save the file; nothing is started from it as it is.",
        "refused": _lines(problems),
    }


def awaiting_status(paths: Sequence[str]) -> dict[str, Any]:
    """The status of a spec that names files which are still being copied, or looked at."""
    return {
        "state": "reading",
        "next": "Nothing to do: it is taken in once these files have stopped changing.",
        "waits": _lines(paths),
    }


def _state(batch: Batch, gate: Gate) -> BatchStatus:
    """The batch's status, ahead of it where the gate already says more: the gate is the authority."""
    if batch.status.closed or batch.status is BatchStatus.EXPANDING:
        return batch.status
    if gate.waits_for_people:
        return BatchStatus.HELD
    return BatchStatus.PAUSED if gate.paused else BatchStatus.RUNNING


def _tasks(batch: Batch, progress: Progress) -> dict[str, int]:
    """Tasks by where they stand. Each has one newest attempt: what neither waits nor is active nor
    completed has ended without success.

    The counts are a cache that lags behind the gate: what has a place by now waits no longer.
    """
    completed = batch.counts.status.get(Status.COMPLETED, 0)
    waiting = max(0, min(progress.waiting, batch.tasks - completed - progress.active))
    ended = batch.tasks - completed - progress.active - waiting
    tasks = {
        "total": batch.tasks,
        "completed": completed,
        "endedWithoutSuccess": 0 if batch.status is BatchStatus.EXPANDING else max(0, ended),
        "active": progress.active,
        "terminating": progress.terminating,
        "waiting": waiting,
    }
    if not progress.terminating:
        del tasks["terminating"]
    return tasks


def _next(batch: Batch, gate: Gate, refused: Sequence[str]) -> str:
    """What the reader can do now, in one sentence."""
    name = batch.name
    if refused:
        then = "stays as it ended" if batch.status.closed else "goes on as it was"
        return f"Correct what is listed under refused and save the file; the batch {then}."
    if batch.status is BatchStatus.CANCELLED:
        return f"Nothing to do. 'batchkeeper retry --batch {name}' would open it again."
    if batch.status is BatchStatus.FINISHED:
        return _after_end(batch)
    if gate.cancel:
        return "Nothing to do: it is being cancelled, and what is active is being stopped."
    if batch.status is BatchStatus.EXPANDING:
        return "Nothing to do while its tasks are being recorded; was that broken off, submit its spec again."
    if gate.hold.startswith(Hold.ADOPTION_NEEDED.value):
        return f"'batchkeeper adopt {name}', or adopt: true in the spec, takes over what runs already."
    if about_others(gate):
        return "Nothing to do: the next pass looks at what runs under its names already."
    if gate.hold:
        return f"Find and remove the cause ('batchkeeper explain {name}'), then 'batchkeeper resume {name}'."
    if gate.paused:
        return f"'batchkeeper resume {name}', or paused: false in the spec, lets it go on."
    return f"Nothing to do. 'batchkeeper status {name} --watch' shows it live."


def _after_end(batch: Batch) -> str:
    if batch.result is Result.COMPLETED:
        return "Nothing to do: every task completed."
    return (
        f"'batchkeeper report {batch.name}' says what failed and why; with the cause removed, "
        f"'batchkeeper retry --batch {batch.name}' runs it again."
    )


def _failure(attempt: Attempt) -> dict[str, Any]:
    evidence = attempt.evidence
    message = attempt.error or ": ".join(filter(None, (evidence.reason, evidence.message)))
    failure = {
        "task": attempt.task_id,
        "job": attempt.name,
        "verdict": attempt.verdict.value if attempt.verdict else None,
        "exitCode": attempt.exit_code,
        "message": _line(message),
        "node": attempt.node or evidence.node,
        "ended": _time(attempt.finished) if attempt.finished else None,
    }
    return {key: value for key, value in failure.items() if value not in (None, "")}


def _setting(batch: Batch, name: str) -> dict[str, Any]:
    setting = batch.settings[name]
    return {"value": _plain(setting.value), "from": _line(setting.source), "since": _time(setting.at)}


def _plain(value: Any) -> Any:
    """The same value in plain lists and dictionaries, its text cut to one printable line."""
    if isinstance(value, Mapping):
        return {_line(str(key)): _plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    return _line(value) if isinstance(value, str) else value


def _lines(lines: Sequence[str]) -> list[str]:
    shown = [_line(line) for line in lines[:MAX_LINES]]
    more = len(lines) - len(shown)
    return [*shown, f"and {more} more"] if more else shown


def _line(text: str) -> str:
    """One printable line of at most ``MAX_TEXT`` characters, whatever a job or a file put into it."""
    head = text[: MAX_TEXT + 1]
    clean = "".join(char if char.isprintable() else " " for char in head).rstrip()
    return clean if len(text) <= MAX_TEXT else clean[: MAX_TEXT - 1] + "…"


def _time(instant: datetime) -> str:
    return instant.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
