"""Bugs that the fault matrix is there for, each on the one pair of request and fault where it shows.

The whole matrix plays minutes of two replicas; here one adapter asks once, is struck once on its way to the
real API server, and what it believes then is compared with what is there.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from controller.adapters.kube_access import rules_for
from controller.adapters.kube_cluster import KubeCluster
from controller.adapters.kube_pace import Pace
from controller.ports import CreateResult, NewJob, Rejected, Unavailable
from tests.contract.cluster_world import Does
from tests.control_plane.admin import Refused
from tests.control_plane.jobs import jobs_path
from tests.control_plane.plane import ControlPlane
from tests.control_plane.recorder import recorded
from tests.kube.place import rules
from tests.kube.planted import Patch, server_errors_are_refusals, taken_is_made
from tests.kube.strikes import Fault, Pair, Striking, faults_of
from tests.kube.way import a_way_of
from tests.kube.world import KubeWorld, opened, settings

RETRY_AFTER = 1.0
"""Seconds of silence that the way asks for with a 429."""


class Once(Striking):
    """Strikes one kind of request with one fault, once; ``asked``: when a request came, after the strike."""

    pair: Pair | None = None
    fault: Fault | None = None
    struck_at = 0.0

    def __init__(self, *where: Any) -> None:
        super().__init__(*where)
        self.asked: list[float] = []

    def will(self, pair: Pair, fault: Fault) -> None:
        """The next one is struck."""
        assert fault in faults_of(pair)
        self.pair, self.fault, self.asked = pair, fault, []

    def befalling(self, pair: Pair) -> Fault | None:
        """What befalls this request."""
        if pair != self.pair:
            self.asked.append(time.monotonic())
            return None
        self.pair, self.struck_at = None, time.monotonic()
        return self.fault


@dataclass(frozen=True)
class There:
    """An adapter on its way."""

    way: Once
    world: KubeWorld

    def is_there(self, job: NewJob) -> bool:
        """What the admin sees, whatever the adapter believes."""
        try:
            found = self.world.plane.admin.get(jobs_path(job.namespace, job.name))
        except Refused:
            return False
        return "deletionTimestamp" not in found["metadata"]


async def creates(there: There, name: str) -> None:
    """A create that is said to be refused has made nothing, and one that is said to be there is."""
    job = there.world.job(name, Does.STAY)
    there.way.will(*WHERE[creates])
    try:
        made = await there.world.cluster.create(job)
    except Rejected:
        assert not there.is_there(job)
    except Unavailable:
        pass
    else:
        assert there.is_there(job), made
    again = await there.world.cluster.create(job)
    assert again.result in (CreateResult.CREATED, CreateResult.EXISTS_OURS)


async def met_by_a_conflict(there: There, name: str) -> None:
    """A create that met a conflict has made nothing, whoever's the name is."""
    job = there.world.job(name, Does.STAY)
    there.way.will(*WHERE[met_by_a_conflict])
    with suppress(Rejected, Unavailable):
        made = await there.world.cluster.create(job)
        assert there.is_there(job), made


async def deletes(there: There, name: str) -> None:
    """A delete that is said to be done is done."""
    job = there.world.job(name, Does.STAY)
    made = await there.world.cluster.create(job)
    there.way.will(*WHERE[deletes])
    with suppress(Unavailable):
        await there.world.cluster.delete(job.namespace, job.name, made.uid)
        assert not there.is_there(job)


async def asks(there: There, name: str) -> None:
    """Who is asked to be quiet for a second asks nothing for so long."""
    job = there.world.job(name, Does.STAY)
    there.way.will(*WHERE[asks])
    with suppress(Unavailable):
        await there.world.cluster.get(job.namespace, job.name, job.job_id)
    await there.world.cluster.get(job.namespace, job.name, job.job_id)
    assert there.way.asked
    assert there.way.asked[0] - there.way.struck_at >= RETRY_AFTER


Situation = Callable[[There, str], Awaitable[None]]
WHERE: dict[Situation, tuple[Pair, Fault]] = {
    creates: (("create", "jobs"), Fault.LATE_AFTER),
    met_by_a_conflict: (("create", "jobs"), Fault.CONFLICT),
    deletes: (("delete", "jobs"), Fault.RESET_BEFORE),
    asks: (("get", "jobs"), Fault.BUSY),
}


# ------------------------------------------------------------------------------------------------ the bugs


def no_answer_is_done(patch: Patch) -> None:
    """A delete that nobody answered is taken for done."""
    original = KubeCluster.delete

    async def delete(cluster: KubeCluster, namespace: str, name: str, uid: str) -> None:
        with suppress(Unavailable):
            await original(cluster, namespace, name, uid)

    patch.setattr(KubeCluster, "delete", delete)


def never_quiet(patch: Patch) -> None:
    """Nobody reads how long the API server wants to be left alone."""
    patch.setattr(Pace, "keep_quiet", lambda pace, seconds, code: None)


SOWN: dict[str, tuple[Callable[[Patch], None], Situation]] = {
    "a 504 is a failure": (server_errors_are_refusals, creates),
    "a 409 is ours": (taken_is_made, met_by_a_conflict),
    "no answer to a delete is done": (no_answer_is_done, deletes),
    "Retry-After ignored": (never_quiet, asks),
}


@pytest.fixture
def way(control_plane: ControlPlane, namespace: str) -> Iterator[Once]:
    """The daemon's way, with the daemon's rights."""
    account = control_plane.service_account(namespace, "struck", rules(rules_for(())))
    with a_way_of(account, Once) as found:
        yield found


@pytest.mark.parametrize("bug", SOWN)
async def test_a_bug_that_the_matrix_is_for_is_found(
    bug: str, control_plane: ControlPlane, namespace: str, way: Once
) -> None:
    """What the adapter believes is not so with it, and is so without it, on the very same way."""
    sows, situation = SOWN[bug]
    kubeconfig: Path = way.kubeconfig
    cluster = await opened(settings(kubeconfig, namespace))
    with recorded(control_plane.admin, namespace) as recorder:
        there = There(way, KubeWorld(control_plane, namespace, cluster, recorder))
        try:
            with pytest.MonkeyPatch.context() as patch:
                sows(patch)
                with pytest.raises(AssertionError):
                    await situation(there, "sweep-1")
            assert way.pair is None, "not struck"
            await situation(there, "sweep-2")
            assert way.pair is None, "not struck"
        finally:
            await cluster.close()
