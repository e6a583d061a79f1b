"""The engine's journal: one log line and its metrics per thing that happened (``ports.Journal``).

Built by ``app``. One event per change of a record, with batch, task, attempt and verdict; never a value
of a job's environment. Quiet when nothing moves.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from controller.core.change import Change
from controller.core.machine import Event
from controller.core.model import Attempt, Status
from controller.ports import Invariant
from controller.telemetry.logs import Logger, get_logger
from controller.telemetry.metrics import PASSES, Metrics

_QUIET = frozenset(
    {
        Event.CREATE_CLOSED,
        Event.CREATE_OPENED,
        Event.SEEN,
        Event.LOG_KEPT,
        Event.TOGGLED,
        Event.LINKED,
    }
)
"""Bookkeeping that moves no attempt: told at debug level."""
_BATCH_GAUGES = frozenset({"active_jobs", "max_concurrent", "waiting_jobs", "foreign_active_jobs"})


class TelemetryJournal:
    """Log lines by structlog, numbers by ``Metrics``."""

    def __init__(self, metrics: Metrics, log: Logger | None = None) -> None:
        self._metrics = metrics
        self._log = log or get_logger("engine")
        self._oldest = timedelta()
        self._incomplete = 0

    def moved(self, before: Attempt, after: Attempt, change: Change) -> None:
        """One record's change was written."""
        facts = _facts(after) | {"reason": change.reason, "status": after.status.value}
        if change.event in (Event.STOP_ASKED, Event.OVERDUE, Event.GIVEN_UP) and after.stop:
            facts |= {"stop": after.stop.why, "by": after.stop.by}
        if change.event is Event.OVERDUE:
            self._metrics.reaped(before.status.value)
        if after.status.terminal and not before.status.terminal:
            facts |= {"verdict": str(after.verdict or ""), "exit_code": after.exit_code, "why": after.error}
            namespace, _, name = _batch(after).partition("/")
            self._metrics.batch_seen(after.batch_id, namespace, name)
            self._metrics.job_finished(after.batch_id, after.status.value, str(after.verdict or "unknown"))
        say = self._log.debug if change.event in _QUIET else self._log.info
        say(change.event.value, **{key: value for key, value in facts.items() if value not in (None, "")})

    def skipped(self, job: Attempt, change: Change) -> None:
        """A guarded change matched nothing: the record has moved on since it was read."""
        self._log.debug("skipped", event_refused=change.event.value, **_facts(job))

    def said(self, event: str, **facts: object) -> None:
        """Anything else worth one line."""
        self._log.info(event, **facts)

    def quarantined(self, item: str, error: BaseException, seconds: float, **facts: object) -> None:
        """An item failed in an unforeseen way and is left alone for that long."""
        self._metrics.pass_failed()
        self._log.error("quarantined", item=item, seconds=round(seconds, 1), exc_info=error, **facts)

    def trouble(self, where: str, error: BaseException, **facts: object) -> None:
        """Something is unavailable: nothing was decided."""
        self._log.warning("unavailable", where=where, error=str(error), **facts)

    def submitted(self, outcome: str) -> None:
        """A create was answered."""
        self._metrics.submitted(outcome)

    def unknown_outcome(self, call: str) -> None:
        """A write to the cluster has no definite answer."""
        self._metrics.unknown_outcome(call)

    def refilled(self, seconds: float) -> None:
        """A free place was taken again after that long."""
        self._metrics.slot_refilled(seconds)

    def retried(self, failed: Attempt, child: Attempt) -> None:
        """A retry was recorded."""
        verdict = str(failed.verdict or "unknown")
        self._metrics.retried(verdict, "recorded")
        facts = _facts(child) | {"rule": child.rule, "after": verdict, "not_before": _when(child)}
        self._log.info("retry", **facts)

    def retry_ended(self, failed: Attempt, child: Attempt) -> None:
        """A retry that had run came to its end."""
        outcome = "succeeded" if child.status is Status.COMPLETED else "failed"
        self._metrics.retried(str(failed.verdict or "unknown"), outcome)

    def repaired(self, step: str, n: int) -> None:
        """The repair pass redid a step of that many lifecycles."""
        self._metrics.repaired(step, n)

    def reaped(self, state: str) -> None:
        """A job of EE2's that was stuck in this state was ended (``Ee2Journal``)."""
        self._metrics.reaped(state)

    def told(self, channel: str, topic: str, outcome: str, **facts: object) -> None:
        """A delivery to people ended."""
        self._metrics.told(channel, outcome)
        say = self._log.info if outcome == "delivered" else self._log.warning
        say("told", channel=channel, topic=topic, outcome=outcome, **facts)

    def violated(self, invariant: Invariant, **facts: object) -> None:
        """An invariant was found broken: an alarm."""
        self._metrics.invariant_violated(invariant.value)
        self._log.error("invariant-violated", invariant=invariant.value, **facts)

    def gauge(self, name: str, value: float, batch: str = "") -> None:
        """The present value of one of the contract's gauges. ``batch`` is a batch's id."""
        if name in _BATCH_GAUGES:
            self._metrics.batch_gauge(name, batch, value)
        elif name == "leader":
            self._metrics.leads(bool(value))
        elif name == "retry_lifecycle_incomplete":
            self._incomplete = int(value)
            self._metrics.incomplete_retries(self._incomplete, self._oldest)
        elif name == "oldest_incomplete_retry_seconds":
            self._oldest = timedelta(seconds=value)
            self._metrics.incomplete_retries(self._incomplete, self._oldest)
        elif name == "cache_age_seconds":
            self._metrics.cache_age("jobs", value)
        elif name == "quarantined_specs":
            self._metrics.quarantined(int(value))
        else:
            raise ValueError(f"no gauge is called {name}")

    def passed(self, kind: str, result: str, seconds: float, steps: int) -> None:
        """A pass ended."""
        if kind in PASSES:
            self._metrics.reconciled(kind, result, seconds)
        if kind == "specs" and result != "ok":
            self._metrics.spec_read(result)
        say = self._log.info if steps and kind == "full" else self._log.debug
        say("pass", kind=kind, result=result, seconds=round(seconds, 3), steps=steps)


def _facts(job: Attempt) -> dict[str, Any]:
    return {"job": job.name, "batch": _batch(job), "task": job.task_id, "attempt": job.attempt}


def _batch(job: Attempt) -> str:
    """The batch's name, out of the job's: see ``core.naming.job_name``."""
    root = job.name.removesuffix(f"-r{job.attempt}") if job.attempt else job.name
    return f"{job.namespace}/{root.removesuffix('-' + job.task_id)}"


def _when(job: Attempt) -> str:
    return job.not_before.isoformat() if job.not_before else ""
