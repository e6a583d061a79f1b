"""The program with a bug sown, unknown to the product: ``python -m tests.kube.sown <bug> controller …``."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

import pytest

from controller.adapters import kube_cluster, kube_listing, kube_reading
from controller.adapters.kube_reading import job_of, pod_ended
from controller.adapters.kube_render import render_job
from controller.cli import main
from controller.core.copying import replace
from tests.kube.planted import only_running_counts

Patch = pytest.MonkeyPatch
HOUR = round(timedelta(hours=1).total_seconds())


def born_to_expire(patch: Patch) -> None:
    """Each Job is made with a time to live, so that it may go before its end is recorded."""

    def rendered(job: Any, rendering: Any) -> dict[str, Any]:
        body = render_job(job, rendering)
        body["spec"]["ttlSecondsAfterFinished"] = HOUR
        return body

    patch.setattr(kube_cluster, "render_job", rendered)


def first_pod_tells(patch: Patch) -> None:
    """Of several pods that have ended the first by name tells how the job did."""

    def telling(pods: Any, job_ends: Any) -> Any:
        return min(pods, key=lambda one: (pod_ended(one), one["metadata"]["name"]), default=None)

    patch.setattr(kube_reading, "_telling", telling)


def reasons_unread(patch: Patch) -> None:
    """Of how a pod ended only the exit code is read, not who took it away."""
    patch.setattr(
        kube_listing, "job_of", lambda *parts: replace(job_of(*parts), pod_reason="", conditions=())
    )


SOWN: Mapping[str, Callable[[Patch], None]] = {
    "born to expire": born_to_expire,
    "only running foreign counts": only_running_counts,
    "the first pod tells": first_pod_tells,
    "reasons are not read": reasons_unread,
}

if __name__ == "__main__":
    SOWN[sys.argv[1]](pytest.MonkeyPatch())
    sys.exit(main(sys.argv[2:]))
