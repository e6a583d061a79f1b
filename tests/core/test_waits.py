"""Why what waits does not start: what is said is what the plan will do."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from controller.core.decide import Lifecycle
from controller.core.explain import Explanation, explain_job
from controller.core.model import (
    Attempt,
    Batch,
    BatchStatus,
    Evidence,
    Foreign,
    ForeignKind,
    Gate,
    Halt,
    Halts,
    Holder,
    OpenCreate,
    Status,
    Verdict,
)
from controller.core.plan import startable
from controller.core.view import View
from tests.core.chains import NOW, child, failures, root

BATCH = Batch(
    "batch", "lab", "sweep", "ada", BatchStatus.RUNNING, {}, "", "", settings={}, tasks=9, inserted=NOW,
    updated=NOW,
)  # fmt: skip
HALT = Halt("ada", "the file server is down", NOW)
HALTED = Halts(submissions=HALT)
THROTTLED = Evidence(message="exceeded quota: jobs")
OTHER = Foreign("f", "x", "Job")
ORPHAN = Foreign("o", "sweep-1-r1", "Job", ForeignKind.ORPHAN)


def seen(**fields: Any) -> View:
    """A batch with three places that is seen like this."""
    known: dict[str, Any] = {"batch": BATCH, "gate": Gate("batch", max=3), "foreign": ()}
    return View(now=NOW, life=Lifecycle(), **(known | fields))


def places(jobs: list[Attempt], most: int, *foreign: Foreign) -> Gate:
    """A gate in which these have the first places."""
    holders = tuple(Holder(job.id, slot) for slot, job in enumerate(jobs))
    return Gate("batch", max=most, holders=holders, foreign=foreign)


def created(task: str, **fields: Any) -> Attempt:
    """An attempt that the cluster has refused for now, since a minute."""
    known: dict[str, Any] = {"status": Status.CREATED, "created": NOW - timedelta(minutes=1)}
    return root(task, **(known | {"evidence": THROTTLED} | fields))


def explained(view: View, job: Attempt) -> Explanation:
    """What is said of the only attempt of its task."""
    return explain_job(view, job, (job,))


@pytest.mark.parametrize(
    ("halts", "most", "foreign", "cause", "says"),
    [
        (Halts(), 2, (), "", "the next pass"),
        (HALTED, 2, (), "halted", "until 'batchkeeper unhalt submissions --as-admin'"),
        (Halts(), 1, (), "full", "2 of 1 active jobs in batch sweep: lower slots go first, and 1 must end"),
        (Halts(), 1, (OTHER,), "full", "and 1 foreign ones count: lower slots go first, and 2 must end"),
        (Halts(), 3, (ORPHAN,), "unrecorded", "job sweep-1-r1 of that task runs"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("status", [Status.WAITING, Status.CREATED])
def test_a_create_that_is_kept_back_is_not_promised_for_the_next_pass(
    status: Status, halts: Halts, most: int, foreign: tuple[Foreign, ...], cause: str, says: str
) -> None:
    """Halted, above a lowered maximum, or beside a job of its own task: the plan asks for none of them."""
    jobs = [created("0"), created("1")] if status is Status.CREATED else [root("0"), root("1")]
    view = seen(gate=places(jobs, most, *foreign), holders=jobs, halts=halts)
    answer = explained(view, jobs[1])
    assert (jobs[1].id in startable(view)) is (cause == "")
    assert answer.cause == (cause or ("throttled" if status is Status.CREATED else "has-place"))
    assert says in answer.sentence
    assert ("the next pass" in answer.sentence) is (cause == "")
    if status is Status.CREATED:
        assert "exceeded quota: jobs" in answer.sentence


def test_a_create_without_an_answer_is_not_promised_again_under_a_halt() -> None:
    """It may be there, which a look tells; is it not, it is not asked for again before the halt ends."""
    job = created("0", evidence=Evidence(), open_creates=(OpenCreate("t", NOW),))
    view = seen(gate=places([job], 3), holders=[job])
    assert "asked for again" not in explained(view, job).sentence
    answer = explained(replace(view, halts=HALTED), job)
    assert (answer.cause, "a live look decides" in answer.sentence) == ("submitting", True)
    assert (
        "not asked for again: all submissions are halted by ada: the file server is down" in answer.sentence
    )


@pytest.mark.parametrize("due", [True, False])
def test_a_retry_that_was_forbidden_is_not_said_to_be_in_line(due: bool) -> None:
    """Its task was cancelled: it was said to be due in half a minute, and was withdrawn then."""
    before = replace(failures(Verdict.DEADLINE)[0], no_retry=True)
    retry = child((before,), not_before=NOW + timedelta(seconds=0 if due else 30))
    chain = (before, retry)
    view = seen(due=(retry,), chains={before.id: chain}) if due else seen()
    answer = explain_job(view, retry, chain)
    assert answer.cause == "no-retry"
    when = "in the next pass" if due else "when its turn comes"
    assert f"is withdrawn {when}: its task was cancelled" in answer.sentence
