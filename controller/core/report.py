"""The report of a batch (S10): what was found, what succeeded, what was retried, what failed, and why.

The command line and the API feed it a batch's attempts as the store streams them, task after task;
``compare`` holds a report against a committed expectation. The reasons are the retry engine's own
decisions, asked again: there is no second logic.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from controller.core.batches import result_of
from controller.core.lineage import ordered
from controller.core.model import Attempt, Origin, Result, Status, Verdict
from controller.core.retry import RetryDecision, RetryReason, decide_retry
from controller.core.spec import RetryRule


@dataclass(frozen=True, slots=True)
class TaskRow:
    """How one task stands: its newest attempt, and why."""

    task_id: str
    status: Status
    verdict: Verdict | None
    attempts: int
    exit_code: int | None
    reason: str
    """One sentence: how it ended, and for a failure why automation tries no more."""
    retry: RetryReason | None
    """For a task that failed: what automation decided about its end; else None."""
    node: str
    seconds: float | None
    """How long the newest attempt ran; None if it never started, or has not ended."""
    by_rule: bool
    """Whether a rule has retried it at least once."""


@dataclass(frozen=True, slots=True)
class Report:
    """A batch in numbers. found = succeeded + failed + terminated + waiting + active, in tasks.

    A task counts by its newest attempt: ``failed`` ended in error, ``terminated`` was stopped.
    ``succeeded_after_retry`` are those of the succeeded that took more than one attempt, ``retried``
    all tasks with more than one, ``skipped`` those of the failed that no rule retried (``skips``
    says how many for which reason). ``attempts`` is the sum of all attempts.
    """

    batch: str
    result: Result | None
    """None while anything waits or is active."""
    found: int
    succeeded: int
    succeeded_after_retry: int
    retried: int
    failed: int
    skipped: int
    terminated: int
    waiting: int
    active: int
    attempts: int
    verdicts: Mapping[Verdict, int]
    """Tasks that have ended, by the verdict of their newest attempt."""
    skips: Mapping[RetryReason, int]
    rows: tuple[TaskRow, ...]


class Reporter:
    """Takes a batch's attempts, grouped by task, tasks in spec order; then makes the report.

    Keeps one row per task and the attempts of one task at a time. ``rules`` and ``max_auto``: the
    batch's own, as ``decide_retry`` takes them. ``places``: who holds one, since only their ends may still
    be followed up; None: not known.
    """

    def __init__(
        self,
        batch: str,
        rules: Sequence[RetryRule],
        max_auto: int,
        places: Collection[str] | None = None,
    ) -> None:
        self._batch, self._rules, self._max_auto, self._places = batch, rules, max_auto, places
        self._chain: list[Attempt] = []
        self._rows: dict[str, TaskRow] = {}

    def add(self, attempt: Attempt) -> None:
        """Take the next attempt. Raises ValueError when its task was already over: it is not grouped."""
        if attempt.task_id in self._rows:
            raise ValueError(f"attempts are not grouped by task: {attempt.name}")
        if self._chain and self._chain[0].task_id != attempt.task_id:
            self._end_task()
        self._chain.append(attempt)

    def report(self) -> Report:
        """The report of everything taken so far; nothing more may be added to the last task."""
        if self._chain:
            self._end_task()
        return _summed(self._batch, tuple(self._rows.values()))

    def _end_task(self) -> None:
        chain = ordered(self._chain)
        self._chain = []
        self._rows[chain[-1].task_id] = _row(chain, self._rules, self._max_auto, self._places)


def compare(report: Report, expected: Mapping[str, Any]) -> list[str]:
    """Every difference between a report and an expectation, one line each; empty when there is none.

    ``expected`` has ``batch``, ``result``, ``totals`` {field of Report: number} and ``tasks``
    {id: {status, verdict, attempts}}. Values are compared as text, so numbers may be read as such. An
    expectation that says nothing, in sum or about a task, is a difference itself: it could not fail.
    """
    lines = _unequal("the batch", report, {key: expected.get(key) for key in ("batch", "result")})
    lines += _said("the totals", report, expected.get("totals"))
    tasks = {str(key): value for key, value in _mapping(expected.get("tasks")).items()}
    if not tasks:
        lines.append("the expectation names no tasks")
    rows = {row.task_id: row for row in report.rows}
    for task_id, ends in tasks.items():
        row = rows.get(task_id)
        lines += [f"task {task_id}: not found"] if row is None else _said(f"task {task_id}", row, ends)
    lines += [f"task {task_id}: not expected" for task_id in rows if task_id not in tasks]
    return lines


def _row(
    chain: Sequence[Attempt],
    rules: Sequence[RetryRule],
    max_auto: int,
    places: Collection[str] | None,
) -> TaskRow:
    newest = chain[-1]
    decision = decide_retry(chain, rules, max_auto, jitter=0.0)
    if decision.child and places is not None and newest.id not in places:
        late = f"no rule of its time retried it; today's would ({decision.sentence})"
        decision = RetryDecision(False, RetryReason.NO_RULE, late)
    failed = newest.status is Status.ERROR
    return TaskRow(
        task_id=newest.task_id,
        status=newest.status,
        verdict=newest.verdict,
        attempts=len(chain),
        exit_code=newest.exit_code,
        reason=_failure(newest, decision.sentence) if failed else _sentence(chain),
        retry=decision.because if failed else None,
        node=newest.node or newest.evidence.node,
        seconds=_seconds(newest),
        by_rule=any(attempt.origin is Origin.AUTO for attempt in chain),
    )


def _failure(newest: Attempt, decision: str) -> str:
    how = newest.error or str(newest.verdict or Verdict.UNKNOWN)
    return f"{how}; {decision}"


def _sentence(chain: Sequence[Attempt]) -> str:
    newest = chain[-1]
    if newest.status is Status.TERMINATED:
        return newest.error or (newest.stop.why if newest.stop else "it was terminated")
    if not newest.status.terminal:
        return f"attempt {newest.attempt} is {'terminating' if newest.terminating else newest.status}"
    return "; ".join(["succeeded", *_before(chain[:-1])])


def _before(earlier: Sequence[Attempt]) -> Iterator[str]:
    """The attempts that failed before, by verdict, and the nodes that they failed on (S7, S10)."""
    by_verdict: dict[Verdict, list[str]] = {}
    for attempt in earlier:
        node = attempt.node or attempt.evidence.node
        by_verdict.setdefault(attempt.verdict or Verdict.UNKNOWN, []).append(node)
    for verdict, nodes in by_verdict.items():
        where = ", ".join(dict.fromkeys(filter(None, nodes)))
        yield f"before that {verdict} × {len(nodes)}" + (f" on {where}" if where else "")


def _seconds(attempt: Attempt) -> float | None:
    if attempt.running is None or attempt.finished is None:
        return None
    return max(0.0, (attempt.finished - attempt.running).total_seconds())


def _summed(batch: str, rows: tuple[TaskRow, ...]) -> Report:
    status = Counter(row.status for row in rows)
    succeeded, failed = status[Status.COMPLETED], status[Status.ERROR]
    over = succeeded + failed + status[Status.TERMINATED]
    skipped: Counter[RetryReason] = Counter()
    for row in rows:
        if row.retry not in (None, RetryReason.DUE) and not row.by_rule:
            skipped[row.retry] += 1
    return Report(
        batch=batch,
        result=result_of(succeeded, len(rows)) if rows and over == len(rows) else None,
        found=len(rows),
        succeeded=succeeded,
        succeeded_after_retry=sum(row.status is Status.COMPLETED and row.attempts > 1 for row in rows),
        retried=sum(row.attempts > 1 for row in rows),
        failed=failed,
        skipped=sum(skipped.values()),
        terminated=status[Status.TERMINATED],
        waiting=status[Status.WAITING],
        active=len(rows) - over - status[Status.WAITING],
        attempts=sum(row.attempts for row in rows),
        verdicts=Counter(row.verdict or Verdict.UNKNOWN for row in rows if row.status.terminal),
        skips=skipped,
        rows=rows,
    )


def _said(what: str, found: Report | TaskRow, expected: Any) -> list[str]:
    fields = _mapping(expected)
    return _unequal(what, found, fields) if fields else [f"{what}: the expectation says nothing about it"]


def _unequal(what: str, found: Report | TaskRow, expected: Mapping[str, Any]) -> list[str]:
    """One line per field that is not as expected, or that there isn't."""
    lines = []
    for name, value in expected.items():
        actual = getattr(found, name, None) if name in found.__slots__ else "not a field of the report"
        if str(actual) != str(value):
            lines.append(f"{what}: {name} is {actual}, expected {value}")
    return lines


def _mapping(value: Any) -> Mapping[str, Any]:
    """A mapping, or an empty one for what is none: its absence then shows as a difference."""
    return value if isinstance(value, Mapping) else {}
