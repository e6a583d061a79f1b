"""The report and its comparison with an expectation."""

import copy
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from controller.core.model import Attempt, Origin, Result, Status, Verdict
from controller.core.report import Report, Reporter, compare
from controller.core.retry import RetryReason
from controller.core.spec import RetryRule
from tests.core.chains import NOW, child, ended, failures, follow, root, rule

OK, MOUNT, CONFIG = Verdict.SUCCEEDED, Verdict.MOUNT_FAILURE, Verdict.CONFIGURATION_ERROR
EXPECTED = Path(__file__).parents[2] / "examples" / "gwas" / "expected.yaml"


def of(*chains: list[Attempt], rules: tuple[RetryRule, ...] = (), max_auto: int = 6) -> Report:
    """The report of these tasks, numbered 0, 1, 2 …"""
    reporter = Reporter("sweep", rules, max_auto)
    for number, chain in enumerate(chains):
        for attempt in chain:
            reporter.add(replace(attempt, task_id=str(number)))
    return reporter.report()


def numbers(report: Report, *names: str) -> tuple[int, ...]:
    """Some of the report's sums."""
    return tuple(getattr(report, name) for name in names)


TYPICAL = [
    failures(OK),
    failures(MOUNT, MOUNT, OK),
    failures(CONFIG),
    failures(MOUNT, MOUNT, MOUNT, MOUNT),
    failures(Verdict.DEADLINE),
    failures(MOUNT, CONFIG),
]


def test_sums() -> None:
    """What was found, what succeeded at once and after retries, what failed, what no rule retried."""
    report = of(*TYPICAL)
    assert numbers(report, "found", "succeeded", "succeeded_after_retry", "retried") == (6, 2, 1, 3)
    assert numbers(report, "failed", "skipped", "terminated", "waiting", "active") == (4, 2, 0, 0, 0)
    assert (report.batch, report.result, report.attempts) == ("sweep", Result.PARTIAL, 12)
    assert report.verdicts == {OK: 2, CONFIG: 2, MOUNT: 1, Verdict.DEADLINE: 1}
    assert report.skips == {RetryReason.EXIT_ONE: 1, RetryReason.NO_RULE: 1}


def test_every_failure_has_its_reason() -> None:
    """A row says how the task ended and why automation tries no more."""
    rows = of(*TYPICAL).rows
    assert [row.retry for row in rows] == [
        None,
        None,
        RetryReason.EXIT_ONE,
        RetryReason.LIMIT,
        RetryReason.NO_RULE,
        RetryReason.EXIT_ONE,
    ]
    assert rows[1].reason == "succeeded; before that mount-failure × 2"
    assert rows[2].reason == "configuration-error; exit code 1 is never retried automatically"
    assert rows[3].reason == "mount-failure; all 3 retries of builtin:mount-failure are used up"
    assert rows[4].reason == "deadline; no rule retries deadline"


def test_a_row_tells_the_newest_attempt() -> None:
    """Status, verdict, exit code, node and seconds are the newest attempt's."""
    chain = failures(MOUNT)
    chain.append(ended(child(chain), OK, node="node-2"))
    newest = chain[-1]
    assert newest.running is not None
    chain[-1] = replace(newest, finished=newest.running + timedelta(seconds=90))
    (row,) = of(chain).rows
    assert (row.status, row.verdict, row.attempts, row.exit_code) == (Status.COMPLETED, OK, 2, 0)
    assert (row.node, row.seconds, row.by_rule) == ("node-2", 90.0, True)


def test_attempts_of_a_task_come_in_any_order() -> None:
    """The newest attempt is the one with the highest number, not the one that came last."""
    first, second = failures(MOUNT, OK)
    (row,) = of([second, first]).rows
    assert (row.status, row.attempts) == (Status.COMPLETED, 2)


def test_seconds_only_of_what_ran() -> None:
    """What never started has no duration, and a clock that stepped back gives no negative one."""
    never = ended(root(), Verdict.START_TIMEOUT, running=None)
    back = ended(root(), OK, finished=NOW - timedelta(hours=1))
    assert [row.seconds for row in of([never], [back]).rows] == [None, 0.0]


def test_a_batch_that_goes_on() -> None:
    """While tasks wait or run there is no result, and they count as neither failed nor succeeded."""
    waiting = failures(MOUNT)
    waiting.append(child(waiting))
    report = of([root()], [root(status=Status.RUNNING)], [root(status=Status.QUEUED)], waiting, failures(OK))
    assert numbers(report, "found", "waiting", "active", "failed", "succeeded") == (5, 2, 2, 0, 1)
    assert report.result is None
    assert [row.reason for row in report.rows][:2] == ["attempt 0 is waiting", "attempt 0 is running"]


def test_a_failure_whose_retry_is_due_is_not_skipped() -> None:
    """Between a failure and the record of its retry, the report says that a retry is due."""
    report = of(failures(MOUNT))
    assert (report.failed, report.skipped) == (1, 0)
    assert report.rows[0].retry is RetryReason.DUE


def test_a_rule_that_came_after_the_end_leaves_it_skipped() -> None:
    """Of a batch that had ended it was reported that a retry is due, and that no failure was skipped."""
    chain = failures(MOUNT)
    for places, reason in ((frozenset[str](), RetryReason.NO_RULE), ({chain[-1].id}, RetryReason.DUE)):
        reporter = Reporter("sweep", (), 6, places)
        for attempt in chain:
            reporter.add(attempt)
        report = reporter.report()
        assert report.rows[0].retry is reason
        assert report.skipped == (reason is RetryReason.NO_RULE)


def test_terminated_is_not_failed() -> None:
    """What somebody stopped counts by itself, with what was said."""
    report = of(failures(Verdict.CANCELLED), [ended(root(), Verdict.REAPED, error="reaped after 1 h")])
    assert numbers(report, "terminated", "failed", "skipped", "succeeded") == (2, 0, 0, 0)
    assert [row.reason for row in report.rows] == ["asked", "reaped after 1 h"]
    assert report.result is Result.FAILED


def test_a_persons_retry_is_no_rules() -> None:
    """A task that only a person retried counts as retried, and as skipped by automation."""
    report = of(failures(Verdict.DEADLINE, Verdict.DEADLINE, by=Origin.USER))
    assert numbers(report, "retried", "failed", "skipped") == (1, 1, 1)


def test_its_own_rules_decide() -> None:
    """The reasons are those of the batch's rules, not of the built-in ones."""
    chain, _ = follow([MOUNT] * 9, [rule(MOUNT, limit=1)], 6)
    assert (
        of(chain, rules=(rule(MOUNT, limit=1),))
        .rows[0]
        .reason.endswith("all 1 retries of spec[0] are used up")
    )


def test_nothing_yet() -> None:
    """A batch without tasks has no result."""
    assert (of().result, of().found, of().rows) == (None, 0, ())


def test_attempts_must_come_grouped() -> None:
    """A stream in another order would count a task twice, and is refused."""
    reporter = Reporter("sweep", (), 6)
    reporter.add(root("1"))
    reporter.add(root("2"))
    with pytest.raises(ValueError, match="not grouped by task: sweep-1"):
        reporter.add(child([root("1")]))


@given(st.lists(st.lists(st.sampled_from(Verdict), min_size=1, max_size=5), max_size=8))
def test_sums_add_up(histories: list[list[Verdict]]) -> None:
    """Every task is in exactly one of the sums, and every ended one has a verdict that counts."""
    report = of(*[failures(*history) for history in histories])
    assert report.found == len(report.rows) == len(histories)
    assert sum(numbers(report, "succeeded", "failed", "terminated", "waiting", "active")) == report.found
    assert report.skipped == sum(report.skips.values()) <= report.failed
    assert report.succeeded_after_retry <= min(report.succeeded, report.retried)
    assert sum(report.verdicts.values()) == report.found
    assert all(row.reason for row in report.rows)


# ------------------------------------------------------------------------------- the expectation

EXPECTATION: dict[str, Any] = {
    "batch": "sweep",
    "result": "partial",
    "totals": {"found": 2, "succeeded": "1", "failed": 1, "skipped": 1},
    "tasks": {
        "0": {"status": "completed", "verdict": "succeeded", "attempts": 1},
        1: {"status": "error", "verdict": "configuration-error", "attempts": "1"},
    },
}


def test_an_expectation_that_is_met() -> None:
    """Numbers may have been read as numbers or as text; nothing differs."""
    assert compare(of(failures(OK), failures(CONFIG)), EXPECTATION) == []


@pytest.mark.parametrize(
    ("path", "value", "line"),
    [
        (("batch",), "other", "the batch: batch is sweep, expected other"),
        (("result",), "completed", "the batch: result is partial, expected completed"),
        (("totals", "found"), 3, "the totals: found is 2, expected 3"),
        (("totals", "fuond"), 2, "the totals: fuond is not a field of the report, expected 2"),
        (("totals",), {}, "the totals: the expectation says nothing about it"),
        (("totals",), None, "the totals: the expectation says nothing about it"),
        (("tasks", "0", "status"), "error", "task 0: status is completed, expected error"),
        (("tasks", "0", "verdict"), "lost", "task 0: verdict is succeeded, expected lost"),
        (("tasks", "0", "attempts"), 2, "task 0: attempts is 1, expected 2"),
        (("tasks", "0"), {}, "task 0: the expectation says nothing about it"),
        (("tasks", "0"), "completed", "task 0: the expectation says nothing about it"),
        (("tasks", "9"), {"status": "error"}, "task 9: not found"),
    ],
)
def test_each_difference_is_one_line(path: tuple[str, ...], value: Any, line: str) -> None:
    """Whatever differs, or can't be compared, is named with what is and what was expected."""
    expected = copy.deepcopy(EXPECTATION)
    place: Any = expected
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    assert compare(of(failures(OK), failures(CONFIG)), expected) == [line]


def test_a_task_that_nobody_expected() -> None:
    """A task beyond the expectation is a difference."""
    lines = compare(of(failures(OK), failures(CONFIG), failures(OK)), EXPECTATION)
    assert "task 2: not expected" in lines


def test_an_empty_expectation_is_never_met() -> None:
    """A file that says nothing can't pass by saying nothing."""
    lines = compare(of(failures(OK)), {})
    assert "the expectation names no tasks" in lines
    assert "the batch: result is completed, expected None" in lines


def test_the_examples_expectation_can_be_met() -> None:
    """The committed expectation fits this report: a batch that ended so, task by task, differs in nothing."""
    expected = YAML(typ="base").load(EXPECTED)
    reporter = Reporter(expected["batch"], (), 6)
    for task, end in expected["tasks"].items():
        attempts, verdict = int(end["attempts"]), Verdict(end["verdict"])
        before = MOUNT if verdict is OK else verdict
        chain = failures(*[before] * (attempts - 1), verdict)
        for attempt in chain:
            reporter.add(replace(attempt, task_id=task))
    assert compare(reporter.report(), expected) == []
