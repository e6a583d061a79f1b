"""Why an active attempt stands where it stands, where the cluster itself has said something about it.

That there is an answer at every instant is the simulator's to ask; here are the answers that need words
of the cluster.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from controller.core.decide import Lifecycle, Sight
from controller.core.explain import explain_job
from controller.core.model import (
    Attempt,
    Batch,
    BatchStatus,
    Evidence,
    Gate,
    Halts,
    Holder,
    Status,
    Stop,
    TerminatedCode,
)
from controller.core.sight import ClusterJob
from controller.core.view import View
from tests.core.chains import NOW, root

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
            attempt(Status.RUNNING, stop=ASKED),
            replace(OBJECT, pod_unfinished=True, deleting=True),
            "terminating",
            "until its object and pods are gone",
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
