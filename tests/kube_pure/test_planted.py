"""Bugs planted into what a Job is rendered as: the test that is there for each finds it.

Each is a Job that an API server accepts and that runs; what goes wrong shows weeks later.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from controller.adapters import kube_render
from tests.kube_pure import test_render as rendered

Json = dict[str, Any]
Patch = pytest.MonkeyPatch


@dataclass(frozen=True, slots=True)
class Bug:
    """What is done to each Job that is rendered, and the test that must find it."""

    change: Callable[[Json], object]
    found_by: Callable[[], object]


def _policy(job: Json) -> list[Json]:
    rules: list[Json] = job["spec"]["podFailurePolicy"]["rules"]
    return rules


def _pod(job: Json) -> Json:
    spec: Json = job["spec"]["template"]["spec"]
    return spec


def _deadline_of_the_job(job: Json) -> None:
    """It runs while nothing is scheduled: a job that waits for its place in the cluster fails by it."""
    job["spec"]["activeDeadlineSeconds"] = _pod(job).pop("activeDeadlineSeconds", None)


def _named_by_the_server(job: Json) -> None:
    job["metadata"]["generateName"] = job["metadata"].pop("name") + "-"


def _avoided_for_good(job: Json) -> None:
    """Required: a task that failed on each node once has none left."""
    affinity = _pod(job).get("affinity", {}).get("nodeAffinity", {})
    if terms := affinity.pop("preferredDuringSchedulingIgnoredDuringExecution", None):
        required = {"nodeSelectorTerms": [term["preference"] for term in terms]}
        affinity["requiredDuringSchedulingIgnoredDuringExecution"] = required


def _spread_for_good(job: Json) -> None:
    for constraint in _pod(job).get("topologySpreadConstraints", ()):
        constraint["whenUnsatisfiable"] = "DoNotSchedule"


BUGS: Mapping[str, Bug] = {
    "a disruption is ignored": Bug(
        lambda job: _policy(job)[0].update(action="Ignore"),
        rendered.test_the_jobs_condition_keeps_the_evidence,
    ),
    "a disruption is asked for last": Bug(
        lambda job: _policy(job).reverse(), rendered.test_the_jobs_condition_keeps_the_evidence
    ),
    "the deadline is the Job's": Bug(
        _deadline_of_the_job,
        lambda: rendered.test_what_a_job_is_born_without("activeDeadlineSeconds"),
    ),
    "the deadline is nobody's": Bug(
        lambda job: _pod(job).pop("activeDeadlineSeconds", None),
        lambda: rendered.test_what_a_job_asks_of_its_pod(
            {"deadline": timedelta(hours=24)}, "activeDeadlineSeconds", 86400
        ),
    ),
    "a pod is replaced while it goes": Bug(
        lambda job: job["spec"].update(podReplacementPolicy="TerminatingOrFailed"),
        rendered.test_a_job_has_one_pod_ever,
    ),
    "a Job tries again by itself": Bug(
        lambda job: job["spec"].update(backoffLimit=6), rendered.test_a_job_has_one_pod_ever
    ),
    "a pod starts its container again": Bug(
        lambda job: _pod(job).update(restartPolicy="OnFailure"), rendered.test_a_pod_by_default
    ),
    "born to expire": Bug(
        lambda job: job["spec"].update(ttlSecondsAfterFinished=3600),
        lambda: rendered.test_what_a_job_is_born_without("ttlSecondsAfterFinished"),
    ),
    "the server names it": Bug(_named_by_the_server, rendered.test_a_name_is_given_and_never_generated),
    "nodes are avoided for good": Bug(_avoided_for_good, rendered.test_nodes_are_avoided_softly),
    "spread for good": Bug(_spread_for_good, rendered.test_pods_are_spread_softly),
}


@pytest.mark.parametrize("name", BUGS)
def test_a_planted_bug_is_found(name: str) -> None:
    """The test is good without it, and says so with it."""
    bug, original = BUGS[name], kube_render.render_job
    bug.found_by()

    def render(*given: Any) -> Json:
        job = original(*given)
        bug.change(job)
        return job

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rendered, "render_job", render)
        with pytest.raises((AssertionError, KeyError)):
            bug.found_by()
