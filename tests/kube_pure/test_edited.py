"""Jobs of ours that are not as they were rendered: an admission webhook, or a hand, has changed them."""

from __future__ import annotations

from typing import Any

import pytest

from controller.adapters.kube_listing import needs_events
from controller.adapters.kube_reading import job_of
from tests.kube_pure.things import INSTANCE, condition, job, ours, pod

Json = dict[str, Any]
RENDERED: Json = {"backoffLimit": 0, "completions": 1, "parallelism": 1}


def test_a_time_to_live_that_others_gave_it_is_no_word_of_ours() -> None:
    """As an admission webhook does to every Job: its end is not recorded, and Events still tell of it."""
    spec = {"ttlSecondsAfterFinished": 600}
    theirs, let_go = job("a", spec=spec, marks=ours()), job("a", spec=spec, marks=ours(expiring=INSTANCE))
    told = [(shown.expiring, needs_events(shown)) for shown in map(job_of, (theirs, let_go))]
    assert told == [(False, True), (True, False)]


@pytest.mark.parametrize("edited", [{"backoffLimit": 6}, {"completions": 2}, {"parallelism": 2}])
def test_a_job_that_may_get_another_pod_has_not_ended_with_this_one(edited: Json) -> None:
    """Its failure policy knows no pod without an exit code, as one that its node would not take: the Job
    controller tries again, beside the next attempt. The Job's own word is waited for."""
    rejected = pod("p", "Failed", status={"reason": "UnexpectedAdmissionError"})
    for spec, ended in ((RENDERED, True), (RENDERED | edited, False)):
        shown = job_of(job("a", spec=spec, marks=ours()), [rejected])
        assert (shown.finished, shown.pod_ended, shown.active) == (ended, True, not ended)
        assert job_of(job("a", condition("Failed"), spec=spec, marks=ours()), [rejected]).finished
