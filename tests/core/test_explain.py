"""Why an active attempt stands where it stands, where the cluster itself has said something about it.

That there is an answer at every instant is the simulator's to ask; here are the answers that need words
of the cluster.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from controller.core.batches import RECORDING
from controller.core.decide import Lifecycle, Sight
from controller.core.explain import explain_batch, explain_job
from controller.core.model import (
    Attempt,
    Batch,
    BatchStatus,
    Counts,
    Evidence,
    Foreign,
    ForeignKind,
    Gate,
    Halt,
    Halts,
    Holder,
    OpenCreate,
    Status,
    Stop,
    TerminatedCode,
    Verdict,
)
from controller.core.moves import Reason
from controller.core.sight import ClusterJob
from controller.core.view import Allowance, View
from controller.core.waits import Line
from tests.core.chains import NOW, child, failures, root, rule

BATCH = Batch(
    "batch", "lab", "sweep", "ada", BatchStatus.RUNNING, {}, "", "", settings={}, tasks=9, inserted=NOW,
    updated=NOW,
)  # fmt: skip
OBJECT = ClusterJob("sweep-7", "lab", "u1", "7-0", "batch", node="node-3", created_at=NOW)
QUOTA = "FailedCreate: Error creating: pods is forbidden: exceeded quota: pods"
CANCELLED = Stop("not needed", "ada", NOW - timedelta(minutes=11), TerminatedCode.USER)
ASKED = replace(CANCELLED, at=NOW - timedelta(minutes=9))


def attempt(status: Status, **fields: Any) -> Attempt:
    """An active attempt of a minute's age."""
    known: dict[str, Any] = {"status": status, "slot": 0, "scheduler_id": "u1"}
    return root(**(known | {status.value: NOW - timedelta(minutes=1)} | fields))


def explained(job: Attempt, found: ClusterJob | None) -> tuple[str, str]:
    """Cause and sentence for an attempt whose object is seen like this."""
    view = View(
        batch=BATCH,
        gate=Gate("batch", max=3, holders=(Holder(job.id, 0),)),
        now=NOW,
        life=Lifecycle(),
        rules=(),
        max_auto_retries=6,
        halts=Halts(),
        holders=(job,),
        due=(),
        sights={job.id: Sight.listed(found)} if found else {},
        foreign=(),
    )
    answer = explain_job(view, job, (job,))
    return answer.cause, answer.sentence


@pytest.mark.parametrize(
    ("job", "found", "cause", "says"),
    [
        (attempt(Status.CREATED), None, "submitting", "a live look decides"),
        (
            attempt(Status.CREATED, evidence=Evidence(message="exceeded quota: jobs")),
            None,
            "throttled",
            "exceeded quota: jobs; the next pass asks again",
        ),
        (attempt(Status.QUEUED), OBJECT, "queued", "when the cluster has room"),
        (
            attempt(Status.QUEUED),
            replace(OBJECT, pod_unfinished=True, message="0/6 nodes are available: Insufficient cpu"),
            "queued",
            "(0/6 nodes are available: Insufficient cpu)",
        ),
        (attempt(Status.QUEUED, evidence=Evidence(events=(QUOTA,))), OBJECT, "queued", "exceeded quota"),
        (
            attempt(Status.QUEUED, evidence=Evidence(events=(QUOTA,))),
            replace(OBJECT, pod_unfinished=True),
            "queued",
            "when the cluster has room",
        ),
        (
            attempt(Status.RUNNING),
            replace(OBJECT, finished=True, pod_unfinished=True),
            "pod-lingers",
            "'kubectl delete node node-3'",
        ),
        (
            attempt(Status.RUNNING, stop=CANCELLED),
            replace(OBJECT, pod_unfinished=True, deleting=True),
            "node-unreachable",
            "'kubectl delete pod --force'",
        ),
        (
            attempt(Status.RUNNING),
            replace(OBJECT, pod_unfinished=True, pod_deleting_since=NOW - timedelta(minutes=11)),
            "node-unreachable",
            "should be gone since 11m: node node-3 has not confirmed its end, and its slot is held",
        ),
        (
            attempt(Status.RUNNING),
            replace(OBJECT, pod_unfinished=True, pod_deleting_since=NOW - timedelta(minutes=9)),
            "pod-deleted",
            "pod on node-3 is being deleted, and keeps slot 0",
        ),
        (
            attempt(Status.RUNNING),
            replace(OBJECT, conditions=("Suspended",)),
            "suspended",
            '"kubectl -n lab patch job sweep-7',
        ),
        (
            attempt(Status.CREATED, open_creates=(OpenCreate("t1", NOW),), evidence=Evidence(message="500")),
            None,
            "unanswered",
            "is not taken yet (created for 1m): 500; the next pass asks again; 1 create has no answer yet",
        ),
        (
            attempt(Status.RUNNING, stop=ASKED),
            replace(OBJECT, pod_unfinished=True, deleting=True),
            "terminating",
            "until its object and pods are gone",
        ),
        (
            attempt(
                Status.CREATED,
                stop=ASKED,
                reason=Reason.THROTTLED,
                evidence=Evidence(message="exceeded quota: jobs"),
                open_creates=(OpenCreate("t1", NOW),),
            ),
            None,
            "terminating",
            "its name can't be occupied yet: exceeded quota: jobs; the next pass asks again; 1 create has no",
        ),
    ],
)
def test_what_the_cluster_said_is_quoted(
    job: Attempt, found: ClusterJob | None, cause: str, says: str
) -> None:
    """The cause is a closed word, and the sentence carries the cluster's own words and the ways out."""
    answer, sentence = explained(job, found)
    assert answer == cause
    assert says in sentence


def test_the_batch_names_what_is_stuck_and_what_is_not_counted() -> None:
    """Who asks about the batch is led to the job that keeps a place, and told of an API that is not there."""
    job = attempt(Status.RUNNING)
    lost = replace(OBJECT, pod_unfinished=True, pod_deleting_since=NOW - timedelta(minutes=11))
    view = View(
        batch=BATCH,
        gate=Gate("batch", max=1, holders=(Holder(job.id, 0),)),
        now=NOW,
        life=Lifecycle(),
        holders=(job,),
        sights={job.id: Sight.listed(lost)},
        foreign=(),
        unserved=frozenset({"run.ai/v1"}),
    )
    why = explain_batch(view)
    assert why.cause == "full"
    assert f"1 job is out of reach: 'batchkeeper explain {job.name}' has the ways out" in why.sentence
    assert "run.ai/v1 is not served by this cluster" in why.sentence


def test_a_task_whose_unrecorded_job_runs_says_so() -> None:
    """The attempt and, when nothing else is due, the batch name the job that must end first."""
    gate = Gate("batch", max=3, foreign=(Foreign("o", "sweep-7-r1", "Job", ForeignKind.ORPHAN),))
    job = root("7")
    seen = View(batch=BATCH, gate=gate, now=NOW, life=Lifecycle(), due=(job,), foreign=())
    for answer in (explain_job(seen, job, (job,)), explain_batch(seen)):
        assert answer.cause == "unrecorded"
        assert "sweep-7-r1 of that task runs, and no record follows it" in answer.sentence


PLACES = tuple(Holder(f"j{n}", n) for n in range(8))


READY, EMPTY, LATER = Line(True, ready=(root("1"),)), Line(False), Line(True)


def why(batch: Batch = BATCH, line: Line | None = None, **fields: Any) -> tuple[str, str]:
    """Cause and sentence for a batch that is seen like this."""
    known: dict[str, Any] = {"gate": Gate("batch", max=8), "foreign": ()}
    answer = explain_batch(View(batch=batch, now=NOW, life=Lifecycle(), **(known | fields)), line)
    return answer.cause, answer.sentence


@pytest.mark.parametrize(
    ("most", "line", "cause", "says"),
    [
        (8, READY, "full", "8 of 8 active jobs in batch sweep: the next one starts when an active job ends"),
        (4, READY, "full", "8 of 4 active jobs in batch sweep: the next one starts when 5 of them have"),
        (8, None, "full", "8 of 8 active jobs in batch sweep: the next one starts when an active job ends"),
        (8, EMPTY, "all-started", "8 of 8 active jobs in batch sweep: nothing waits; it ends when they have"),
        (8, replace(LATER, next_due=NOW + timedelta(minutes=1)), "back-off", "the next retry is due in 1m"),
        (8, replace(LATER, at_end=True), "batch-end", "3 retries wait, to start when nothing else of the"),
    ],
)
def test_a_full_batch_says_what_must_end(most: int, line: Line | None, cause: str, says: str) -> None:
    """Above a lowered maximum one end starts nothing; nor does it where nobody waits for a place."""
    counted = replace(BATCH, counts=Counts({Status.RUNNING: 8, Status.WAITING: 3}))
    found, sentence = why(counted, line, gate=Gate("batch", max=most, holders=PLACES))
    assert (found, says in sentence) == (cause, True)


def test_who_waits_for_a_job_of_its_own_task_is_promised_no_place() -> None:
    """The first in line would not take the next free place: a job of its task runs, without a record."""
    lost = ClusterJob("sweep-1-r1", "lab", "u2", "lost", "batch")
    cause, sentence = why(BATCH, READY, gate=Gate("batch", max=8, holders=PLACES), orphans=(lost,))
    assert (cause, "sweep-1-r1 of that task runs" in sentence) == ("unrecorded", True)


def test_retries_that_are_halted_wait_for_nothing_else() -> None:
    """Full or not, due or not: what waits are automatic retries, and none starts before the halt ends."""
    halts = Halts(retries=Halt("ada", "look first", NOW))
    for line in (LATER, replace(LATER, next_due=NOW + timedelta(minutes=1)), replace(LATER, at_end=True)):
        for gate in (Gate("batch", max=8, holders=PLACES), Gate("batch", max=9, holders=PLACES)):
            cause, sentence = why(BATCH, line, gate=gate, halts=halts)
            assert cause == "retries-halted"
            assert "retries wait; automatic retries are halted by ada: look first; until" in sentence
    full = Gate("batch", max=8, holders=PLACES)
    assert why(BATCH, READY, gate=full, halts=halts)[0] == "full"
    assert why(BATCH, EMPTY, gate=full, halts=halts)[0] == "all-started"


def test_what_waits_for_the_end_takes_the_next_place_once_all_else_is_over() -> None:
    """Others have filled the prefix: what waits for the batch's end waits for one of these."""
    taken = Gate("batch", max=1, foreign=(Foreign("f", "x", "Job"),))
    assert why(BATCH, replace(LATER, at_end=True), gate=taken, idle=True)[0] == "full"


def test_what_is_to_be_withdrawn_is_no_start() -> None:
    """All that is due are retries of tasks that were cancelled: it said that nothing waits."""
    before = replace(failures(Verdict.DEADLINE)[0], no_retry=True)
    retry = child((before,))
    cause, sentence = why(BATCH, LATER, due=(retry,), chains={before.id: (before, retry)})
    assert (cause, "is withdrawn in the next pass" in sentence) == ("no-retry", True)


@pytest.mark.parametrize(("places", "says"), [(100, "2 more may start"), (1, "1 more may start")])
def test_what_may_start_is_what_waits_and_is_allowed(places: int, says: str) -> None:
    """Eight places are free: two wait, and the rate or a limit may allow less."""
    _, sentence = why(due=(root("1"), root("2")), allowance=Allowance(places))
    assert says in sentence


def test_a_batch_whose_tasks_can_not_be_recorded_says_why() -> None:
    """It was said to start when all are recorded, and never was: a job of another batch has a name."""
    reason = "task 5: the job name sweep-5 is taken: cancel it and choose another name"
    expanding = replace(BATCH, status=BatchStatus.EXPANDING)
    assert reason in why(replace(expanding, reason=reason))[1]
    assert "9 tasks are being recorded" in why(replace(expanding, reason="its tasks are being recorded"))[1]
    assert "the same spec again goes on" in why(expanding)[1]


def test_a_batch_that_was_left_half_recorded_says_so() -> None:
    """Whoever recorded its tasks was ended in the middle: it said that they are being recorded, for ever."""
    begun = NOW - timedelta(minutes=12)
    left = replace(
        BATCH, status=BatchStatus.EXPANDING, reason=RECORDING, inserted=begun, source="ada: s.yaml"
    )
    cause, sentence = why(left)
    assert cause == "expanding"
    assert "recording its 9 tasks was begun 12m ago from ada: s.yaml and has not ended" in sentence
    assert "'batchkeeper submit' of the same spec goes on, 'batchkeeper cancel sweep' gives it up" in sentence
    taken = "task 5: the job name sweep-5 is taken"
    assert "begun" not in why(replace(left, reason=taken))[1]
    assert "begun" not in why(replace(left, inserted=NOW - timedelta(seconds=30)))[1]


def test_a_cancelled_batch_is_not_said_to_go_on_being_recorded() -> None:
    """The same spec again was said to help, and was refused: the batch was being cancelled."""
    left = replace(BATCH, status=BatchStatus.EXPANDING, reason=RECORDING, inserted=NOW - timedelta(hours=1))
    cancelled = Gate("batch", max=8, cancel=replace(CANCELLED, at=NOW - timedelta(seconds=20)))
    cause, sentence = why(left, gate=cancelled)
    assert cause == "cancelling"
    assert "cancelled by ada; its tasks were still being recorded, so it is over in 40s" in sentence
    assert "is over when every active job is gone" in why(gate=cancelled)[1]


@pytest.mark.parametrize("held", [True, False])
def test_a_rule_that_came_after_the_end_retries_nothing(held: bool) -> None:
    """A retry was promised for the next pass, of a failure whose place had been given to the next job."""
    chain = failures(Verdict.DEADLINE)
    job, rules = chain[-1], (rule(Verdict.DEADLINE),)
    gate = Gate("batch", max=8, holders=(Holder(job.id, 0),) if held else ())
    view = View(batch=BATCH, gate=gate, now=NOW, life=Lifecycle(), rules=rules, foreign=())
    answer = explain_job(view, job, chain)
    assert ("is recorded in the next pass" in answer.sentence) is held
    assert (f"'batchkeeper retry {job.name}' makes one" in answer.sentence) is not held


def test_a_place_lets_nothing_start_while_that_is_forbidden() -> None:
    """A crash left an attempt with its place and no record of it, and then somebody halted submissions."""
    job = root("7")
    gate = Gate("batch", max=8, holders=(Holder(job.id, 0),))
    seen = View(batch=BATCH, gate=gate, now=NOW, life=Lifecycle(), foreign=())
    assert explain_job(seen, job, (job,)).cause == "has-place"
    halted = replace(seen, halts=Halts(submissions=Halt("ada", "the file server is down", NOW)))
    answer = explain_job(halted, job, (job,))
    assert (answer.cause, "the file server is down" in answer.sentence) == ("halted", True)
