"""What ``-o json`` and ``-o yaml`` say: plain data whose keys stay (docs/cli.md lists them).

A batch looks as in the status file beside its spec, a job as in its record; of a job's env nothing is
shown, for a value may be a secret.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from controller.core.explain import Explanation
from controller.core.model import Attempt, Batch, Gate, Resources
from controller.core.quantities import format_cpu, format_memory
from controller.core.report import Report, TaskRow
from controller.core.statusfile import Progress, batch_status
from controller.requests import Answer

Document = dict[str, Any]


def time(instant: datetime | None) -> str | None:
    """ISO 8601 in UTC, to the second."""
    return instant.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z") if instant else None


def batch_document(batch: Batch, gate: Gate, progress: Progress) -> Document:
    """A batch, as in its status file."""
    return batch_status(batch, gate, progress)


def job_document(job: Attempt) -> Document:
    """A job record without what it runs; absent values are null, so the keys are always the same."""
    return {
        "id": job.id,
        "name": job.name,
        "namespace": job.namespace,
        "user": job.user,
        "batch_id": job.batch_id,
        "task_id": job.task_id,
        "index": job.index,
        "attempt": job.attempt,
        "status": job.status.value,
        "terminating": job.terminating,
        "stop": _stop(job),
        "verdict": job.verdict.value if job.verdict else None,
        "exit_code": job.exit_code,
        "error": job.error,
        "reason": job.reason,
        "origin": job.origin.value,
        "rule": job.rule,
        "retry_parent": job.retry_parent,
        "retry_ids": list(job.retry_ids),
        "retry_toggle": job.retry_toggle,
        "resources": resources_document(job.job_input.resources),
        "node": job.node or job.evidence.node,
        "not_before": time(job.not_before),
        **{name: time(getattr(job, name)) for name in INSTANTS},
        "evidence": {
            "reason": job.evidence.reason,
            "message": job.evidence.message,
            "events": list(job.evidence.events),
        },
    }


INSTANTS = ("inserted", "created", "queued", "running", "finished", "updated")


def job_details(job: Attempt, chain: Sequence[Attempt]) -> Document:
    """One job with what it runs, all its evidence, and its task's attempts: for whoever may see its env."""
    shown = job_document(job)
    evidence = {**shown["evidence"], "node": job.evidence.node, "log_tail": job.evidence.log_tail}
    retries = [attempt for attempt in chain if attempt.attempt]
    return {
        **shown,
        "evidence": evidence,
        "job_input": _job_input(job),
        "image_digest": job.image_digest,
        "slot": job.slot,
        "no_retry": job.no_retry,
        "terminated_code": None if job.terminated_code is None else job.terminated_code.value,
        "request_id": job.request_id,
        "scheduler_type": job.scheduler_type,
        "scheduler_id": job.scheduler_id,
        "task": {
            "root": job.root_id,
            "newest": chain[-1].id if chain else job.id,
            "retry_count": len(retries),
            "attempts": [job_document(attempt) for attempt in chain],
        },
    }


def _job_input(job: Attempt) -> Document:
    """What the job runs; its env is in it, so it is for its owner."""
    told = job.job_input
    return {
        "image": told.image,
        "command": list(told.command),
        "env": dict(told.env),
        "env_from_secret": list(told.env_from_secret),
        "mounts": [
            {key: value for key, value in asdict(mount).items() if value not in ("", None, False)}
            for mount in told.mounts
        ],
        "local_command": list(told.local.command),
    }


def _stop(job: Attempt) -> Document | None:
    stop = job.stop
    if stop is None:
        return None
    code = None if stop.code is None else stop.code.value
    return {"why": stop.why, "by": stop.by, "at": time(stop.at), "code": code}


def resources_document(resources: Resources) -> Document:
    """Requests as a spec writes them."""
    return {
        "cpu": format_cpu(resources.cpu),
        "memory": format_memory(resources.memory),
        "gpu": resources.gpu,
    }


def answer_document(answer: Answer) -> Document:
    """What became of one id of a request."""
    return {
        "job_id": answer.job_id,
        "name": answer.name,
        "done": not answer.error,
        "did": answer.did,
        "error": answer.error,
        "stage": answer.stage,
        "retry_id": answer.retry_id,
        "retry_ids": list(answer.retry_ids),
        "child_jobs": list(answer.child_jobs),
        "retry_toggle": answer.retry_toggle,
        "warning": answer.warning,
    }


def explanation_document(subject: str, explanation: Explanation) -> Document:
    """One sentence, its closed word, and the instant that will change it, if one is known."""
    return {
        "subject": subject,
        "cause": explanation.cause,
        "sentence": explanation.sentence,
        "until": time(explanation.until),
    }


TOTALS = (
    "found",
    "succeeded",
    "succeeded_after_retry",
    "retried",
    "failed",
    "skipped",
    "terminated",
    "waiting",
    "active",
    "attempts",
)
"""The numbers of a report, in the order in which they are read."""


def report_document(report: Report) -> Document:
    """A report in the form of an expectation: what is written once can be compared with for ever."""
    return {
        "batch": report.batch,
        "result": report.result.value if report.result else None,
        "totals": {name: getattr(report, name) for name in TOTALS},
        "verdicts": _numbers(report.verdicts),
        "skips": _numbers(report.skips),
        "tasks": {row.task_id: _row(row) for row in report.rows},
    }


def _numbers(counted: Mapping[Any, int]) -> dict[str, int]:
    return {
        str(key.value): n for key, n in sorted(counted.items(), key=lambda item: (-item[1], item[0].value))
    }


def _row(row: TaskRow) -> Document:
    return {
        "status": row.status.value,
        "verdict": row.verdict.value if row.verdict else None,
        "attempts": row.attempts,
        "exit_code": row.exit_code,
        "reason": row.reason,
        "retry": row.retry.value if row.retry else None,
        "node": row.node,
        "seconds": row.seconds,
        "by_rule": row.by_rule,
    }
