"""Lies told on purpose by the fakes: the fidelity script shows each of them.

What a real adapter answers to the script is what the honest fake answers: ``test_fidelity_store`` and
``test_fidelity_cluster`` see to that. So a lie is compared with the truth of the fake itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from controller.core.model import Attempt
from controller.core.sight import Adoptable, Live, Observation
from controller.ports import Created, CreateResult, NewJob
from tests.contract.fidelity import read
from tests.contract.test_fidelity_cluster import agree
from tests.contract.test_fidelity_cluster import in_memory as clusters_answers
from tests.contract.test_fidelity_store import answers_agree
from tests.contract.test_fidelity_store import in_memory as stores_answers
from tests.fakes import memory_changes
from tests.fakes.memory_batches import MemoryBatches
from tests.fakes.memory_cluster import MemoryCluster
from tests.fakes.memory_store import MemoryStore

Patch = pytest.MonkeyPatch
Lie = Callable[[Patch], None]

# ---------------------------------------------------------------------------------------------- the store


def any_epoch_will_do(patch: Patch) -> None:
    """A change of an older leader is written."""
    original = memory_changes._allows

    def allows(job: Any, row: Any, change: Any, target: Any, epoch: Any, now: Any) -> bool:
        return original(job, row, change, target, None, now)

    patch.setattr(memory_changes, "_allows", allows)


def claims_whatever_is_full(patch: Patch) -> None:
    """A claim gets its places whether or not there are any."""
    original = MemoryBatches.claim

    async def claim(store: MemoryBatches, batch_id: str, *more: Any, **rest: Any) -> Any:
        gate = store._gates.get(batch_id)
        if gate is None:
            return await original(store, batch_id, *more, **rest)
        store._gates[batch_id] = replace(gate, max=1000)
        await original(store, batch_id, *more, **rest)
        store._gates[batch_id] = replace(store._gates[batch_id], max=gate.max)
        return store._gates[batch_id]

    patch.setattr(MemoryBatches, "claim", claim)


def toggled_as_asked(patch: Patch) -> None:
    """Toggles that were set before are counted as set."""
    original = MemoryStore.toggle

    async def toggle(store: MemoryStore, ids: Iterable[str]) -> int:
        asked = list(ids)
        await original(store, asked)
        return len(asked)

    patch.setattr(MemoryStore, "toggle", toggle)


def every_record_is_new(patch: Patch) -> None:
    """A record that was there before is said to be added."""
    original = MemoryStore.add_jobs

    async def add_jobs(store: MemoryStore, jobs: Sequence[Attempt]) -> Sequence[bool]:
        return [True for _ in await original(store, jobs)]

    patch.setattr(MemoryStore, "add_jobs", add_jobs)


def lines_of_any_order(patch: Patch) -> None:
    """Who waits stands in line as he came, not as he is due."""
    original = MemoryStore.waiting

    async def waiting(store: MemoryStore, *given: Any, **more: Any) -> Sequence[Attempt]:
        return sorted(await original(store, *given, **more), key=lambda job: job.id)[::-1]

    patch.setattr(MemoryStore, "waiting", waiting)


# -------------------------------------------------------------------------------------------- the cluster


def deletes_by_name(patch: Patch) -> None:
    """A delete reaches whatever has the name."""

    async def delete(cluster: MemoryCluster, namespace: str, name: str, uid: str) -> None:
        thing = cluster._things.get((namespace, name))
        cluster._delete(thing if thing and thing.job else None)
        cluster._settle()

    patch.setattr(MemoryCluster, "delete", delete)


def takes_a_tombstone_for_ours(patch: Patch) -> None:
    """Under a tombstone a create is told that its own object is there."""
    original = MemoryCluster.create

    async def create(cluster: MemoryCluster, job: NewJob) -> Created:
        made = await original(cluster, job)
        buried = made.result is CreateResult.EXISTS_TOMBSTONE
        return replace(made, result=CreateResult.EXISTS_OURS) if buried else made

    patch.setattr(MemoryCluster, "create", create)


def foreign_pods_are_free(patch: Patch) -> None:
    """A list shows nothing of others."""
    original = MemoryCluster.observe

    async def observe(cluster: MemoryCluster, namespaces: Sequence[str]) -> Observation:
        return replace(await original(cluster, namespaces), foreign=())

    patch.setattr(MemoryCluster, "observe", observe)


def pods_are_not_asked_for(patch: Patch) -> None:
    """A live look tells nothing of pods."""
    original = MemoryCluster.get

    async def get(cluster: MemoryCluster, namespace: str, name: str, job_id: str) -> Live:
        return replace(await original(cluster, namespace, name, job_id), pods=0)

    patch.setattr(MemoryCluster, "get", get)


def expires_at_once(patch: Patch) -> None:
    """What has ended goes as soon as it is given a time to live, however long."""
    original = MemoryCluster.expire

    async def expire(cluster: MemoryCluster, namespace: str, name: str, uid: str, ttl: timedelta) -> None:
        await original(cluster, namespace, name, uid, timedelta())

    patch.setattr(MemoryCluster, "expire", expire)


def finds_tombstones(patch: Patch) -> None:
    """What only occupies a name is found under it."""
    original = MemoryCluster.find

    async def find(cluster: MemoryCluster, namespace: str, prefix: str) -> Sequence[Adoptable]:
        buried = [thing for thing in cluster._things.values() if thing.tombstone]
        under = [one for one in buried if one.namespace == namespace and one.name.startswith(prefix)]
        shown = [Adoptable(one.kind, cluster._shown(one)) for one in under]
        return [*await original(cluster, namespace, prefix), *shown]

    patch.setattr(MemoryCluster, "find", find)


STORE_LIES: Sequence[Lie] = (
    any_epoch_will_do,
    claims_whatever_is_full,
    toggled_as_asked,
    every_record_is_new,
    lines_of_any_order,
)
CLUSTER_LIES: Sequence[Lie] = (
    deletes_by_name,
    takes_a_tombstone_for_ours,
    foreign_pods_are_free,
    pods_are_not_asked_for,
    expires_at_once,
    finds_tombstones,
)
DIFFER = "replies differ"


@pytest.mark.parametrize("lie", STORE_LIES, ids=lambda lie: lie.__name__)
async def test_a_store_that_lies_is_found_out(lie: Lie) -> None:
    """Its answers are not those of the truth; the truth told twice is."""
    operations = read("store")
    honest = await stores_answers(operations)
    answers_agree(operations, await stores_answers(operations), honest)
    with pytest.MonkeyPatch.context() as patch:
        lie(patch)
        lied = await stores_answers(operations)
    with pytest.raises(AssertionError, match=DIFFER):
        answers_agree(operations, lied, honest)


@pytest.mark.parametrize("lie", CLUSTER_LIES, ids=lambda lie: lie.__name__)
async def test_a_cluster_that_lies_is_found_out(lie: Lie) -> None:
    """Its answers are not those of the truth; the truth told twice is."""
    honest = await clusters_answers()
    agree(await clusters_answers(), honest)
    with pytest.MonkeyPatch.context() as patch:
        lie(patch)
        lied = await clusters_answers()
    with pytest.raises(AssertionError, match=DIFFER):
        agree(lied, honest)
