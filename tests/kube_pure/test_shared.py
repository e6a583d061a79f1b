"""What many want to know at one time is one request, and nobody hears what was asked before he asked."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import pytest

from controller.adapters import labels
from controller.adapters.kube_client import KubeClient
from controller.adapters.kube_cluster import KubeCluster
from controller.adapters.kube_look import TOGETHER
from controller.adapters.kube_shared import Shared
from controller.adapters.system_clock import SystemClock
from controller.core.sight import ClusterJob
from controller.ports import Unavailable
from tests.kube.world import settings
from tests.kube_pure.things import INSTANCE, Read, answered, job, ours, pod

Json = dict[str, Any]

HERE = "runai-lab"


@dataclass
class Slow:
    """Reads that show what there is when they begin, and come when they are let go."""

    there: int = 0
    error: Exception | None = None
    begun: list[tuple[str, list[str]]] = field(default_factory=list)
    gates: list[asyncio.Event] = field(default_factory=list)

    async def read(self, key: str, wanted: Collection[str]) -> int:
        """How many there were."""
        gate, shown = asyncio.Event(), self.there
        self.begun.append((key, sorted(wanted)))
        self.gates.append(gate)
        await gate.wait()
        if self.error:
            raise self.error
        return shown

    def asking(self, shared: Shared[str, int], key: str, *wanted: str) -> asyncio.Task[int]:
        """Somebody who asks."""
        return asyncio.create_task(shared.ask(key, set(wanted)))

    async def let_go(self, number: int) -> None:
        """The answer of this one comes."""
        self.gates[number].set()
        await turns()


async def turns() -> None:
    """Everybody goes as far as he can."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_who_comes_while_one_is_under_way_shares_the_next() -> None:
    """It was begun before they asked, and may not have what they are asked after."""
    slow = Slow()
    shared = Shared("test", 100, slow.read)
    first = slow.asking(shared, "lab", "a")
    await turns()
    slow.there = 1
    others = [slow.asking(shared, "lab", name) for name in "abc"]
    await turns()
    assert slow.begun == [("lab", ["a"])]
    await slow.let_go(0)
    slow.there = 2
    await slow.let_go(1)
    assert slow.begun == [("lab", ["a"]), ("lab", ["a", "b", "c"])]
    assert [await first, *[await one for one in others]] == [0, 1, 1, 1]


async def test_no_request_is_for_more_than_may_be() -> None:
    """A line of a request has its limit; those who go over it make one more, and come in turn."""
    slow = Slow()
    shared = Shared("test", 3, slow.read)
    asked = [slow.asking(shared, "lab", f"{n}", f"{n + 1}") for n in range(4)]
    await turns()
    for number in range(2):
        await slow.let_go(number)
    await asyncio.gather(*asked)
    assert slow.begun == [("lab", ["0", "1", "2"]), ("lab", ["2", "3", "4"])]


async def test_namespaces_do_not_wait_for_each_other() -> None:
    """One may be slow, or be refused."""
    slow = Slow()
    shared = Shared("test", 3, slow.read)
    asked = [slow.asking(shared, namespace, "a") for namespace in ("lab", "ward")]
    await turns()
    assert [key for key, _ in slow.begun] == ["lab", "ward"]
    await slow.let_go(1)
    assert await asked[1] == 0
    assert not asked[0].done()
    await slow.let_go(0)
    await asked[0]


async def test_an_error_is_told_to_all_who_shared_it_and_to_nobody_else() -> None:
    """Whoever is cancelled takes nothing from the others; who comes next asks anew."""
    slow = Slow(error=Unavailable("no answer"))
    shared = Shared("test", 3, slow.read)
    gone, *others = (slow.asking(shared, "lab", name) for name in "abc")
    await turns()
    gone.cancel()
    late = slow.asking(shared, "lab", "a")
    await slow.let_go(0)
    for one in others:
        with pytest.raises(Unavailable):
            await one
    slow.error = None
    await slow.let_go(1)
    assert await late == 0


async def test_nothing_outlives_the_close() -> None:
    """Its requests end when the connections are let go."""
    slow = Slow()
    shared = Shared("test", 3, slow.read)
    asked = slow.asking(shared, "lab", "a")
    await turns()
    await shared.close()
    with pytest.raises(asyncio.CancelledError):
        await asked
    assert [task for task in asyncio.all_tasks() if task.get_name() == "test"] == []


@dataclass
class Api:
    """A client that finds every Job, and lists the pods that the selector chooses."""

    pods: list[Json]
    selectors: list[str] = field(default_factory=list)
    events: int = 0
    """Lists of them."""

    async def request(
        self,
        method: str,
        path: str,
        *,
        resource: str,
        query: Json | None = None,
        read: Read | None = None,
    ) -> Json:
        """One object, or one page with everything."""
        await asyncio.sleep(0)
        if query is None:
            assert (method, resource) == ("GET", "jobs")
            name = urlsplit(path).path.rsplit("/", 1)[1]
            return job(name, marks=ours(job_id=name))
        if resource == "events":
            self.events += 1
            return await answered({"metadata": {}, "items": []}, read)
        assert (method, resource) == ("GET", "pods")
        self.selectors.append(query["labelSelector"])
        wanted = query["labelSelector"].removeprefix(labels.JOB_ID)
        names = wanted.removeprefix("=").removeprefix(" in (").removesuffix(")").split(",")
        found = [one for one in self.pods if one["metadata"]["labels"][labels.JOB_ID] in names]
        return await answered({"metadata": {}, "items": found}, read)


async def test_live_answers_at_one_time_share_the_list_of_pods() -> None:
    """Of hundreds that got no pod each cost a list of its own, a second of the API server's each."""
    ids = [f"{n:024x}" for n in range(2 * TOGETHER)]
    api = Api([pod(f"p-{n}", marks=ours(job_id=one)) for n, one in enumerate(ids) if n % 3])
    cluster = KubeCluster(
        cast("KubeClient", api), settings(Path("unused"), HERE, instance=INSTANCE), SystemClock()
    )
    alone = await cluster.get(HERE, ids[1], ids[1])
    found = await asyncio.gather(*(cluster.get(HERE, one, one) for one in ids))
    assert [live.pods for live in (alone, *found)] == [1, *(int(n % 3 > 0) for n in range(len(ids)))]
    assert all(live.job and live.job.job_id == one for live, one in zip(found, ids, strict=True))
    first, *more = api.selectors
    assert first == f"{labels.JOB_ID}={ids[1]}"
    assert [one.count(",") + 1 for one in more] == [TOGETHER, TOGETHER]


async def test_a_look_at_many_that_never_started_makes_few_lists() -> None:
    """Five hundred that gave up together: eight asked at a time, and a look took longer than a pass may."""
    ids = [f"{n:024x}" for n in range(2 * TOGETHER)]
    api = Api([])
    cluster = KubeCluster(
        cast("KubeClient", api), settings(Path("unused"), HERE, instance=INSTANCE), SystemClock()
    )
    await cluster._with_events(
        {one: ClusterJob(one, HERE, f"u-{one}", one, "b", finished=True) for one in ids}
    )
    assert len(api.selectors) == 2
    assert api.events <= 4
