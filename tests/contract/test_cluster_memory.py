"""The cluster in memory keeps the contract, and does to the engine what a real one does on a bad day."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from controller.adapters.local_history import Entry
from controller.core.model import JobInput
from controller.ports import CreateResult, NewJob, Rejected, Unavailable
from tests.contract.cluster_suite import ClusterSuite
from tests.contract.cluster_world import LONG, NS, Does, World
from tests.fakes.memory_cluster import End, MemoryCluster


class ManualClock:
    """A clock that a test moves; whoever sleeps on it wakes up when it has come so far."""

    def __init__(self) -> None:
        self.elapsed = 1000.0
        self._moved = asyncio.Condition()

    def now(self) -> datetime:
        """Now."""
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self.elapsed)

    def monotonic(self) -> float:
        """Seconds since some instant."""
        return self.elapsed

    async def sleep(self, seconds: float) -> None:
        """Wait until the clock was moved so far."""
        until = self.elapsed + seconds
        async with self._moved:
            await self._moved.wait_for(lambda: self.elapsed >= until)

    async def advance(self, seconds: float) -> None:
        """Move it, and let everybody who wakes up do something."""
        self.elapsed += seconds
        async with self._moved:
            self._moved.notify_all()
        for _ in range(10):
            await asyncio.sleep(0)


SCRIPTS = {
    Does.SUCCEED: End(runs=0.2, log="first\nlast\n"),
    Does.FAIL: End(runs=0.2, exit_code=3),
    Does.STAY: End(runs=None),
    Does.IGNORE: End(runs=None),
}


class MemoryWorld(World):
    """Scripts by job name."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.scripts: dict[str, Does] = {}
        self.cluster = self.memory = MemoryCluster(
            self.clock,
            lambda job: SCRIPTS[self.scripts[job.name]],
            deletion=lambda job: 1.0 if self.scripts[job.name] is Does.IGNORE else 0.1,
        )

    def job(self, name: str, does: Does, job_id: str = "") -> NewJob:
        """Its script is remembered."""
        self.scripts[name] = does
        return NewJob(name, NS, "sweep", "0" * 24, name[-1], 0, job_id or name.rjust(24, "0"), JobInput("x"))

    async def pass_time(self) -> None:
        """Move the clock."""
        await self.clock.advance(0.05)

    def add_foreign(self, name: str) -> str:
        """By hand."""
        return self.memory.add_foreign(NS, name)

    def remove_foreign(self, name: str) -> None:
        """By hand."""
        self.memory.remove_foreign(NS, name)

    def history(self) -> Sequence[Entry]:
        """The list."""
        self.memory.snapshot([NS])
        return self.memory.history


@pytest.fixture
def memory() -> MemoryWorld:
    """A cluster in memory."""
    return MemoryWorld()


class TestMemoryCluster(ClusterSuite):
    """The suite."""

    @pytest.fixture
    def world(self, memory: MemoryWorld) -> World:
        """In memory."""
        return memory


async def test_a_create_lands_late(memory: MemoryWorld) -> None:
    """A create applied later runs the job then, unless the name has been taken meanwhile."""
    one, two = memory.job("sweep-1", Does.STAY), memory.job("sweep-2", Does.STAY)
    memory.memory.apply_later(one, 20.0)
    memory.memory.apply_later(two, 20.0)
    await memory.clock.advance(19.0)
    assert await memory.shown(one) is None
    assert (await memory.cluster.bury(two, LONG)).result is CreateResult.CREATED
    await memory.clock.advance(1.0)
    assert (await memory.started(one)).started
    assert memory.kinds(two) == ["tombstone"]


async def test_things_happen_at_their_own_instant(memory: MemoryWorld) -> None:
    """However late somebody looks, history shows when each thing happened."""
    job = memory.job("sweep-1", Does.SUCCEED)
    begun = memory.clock.now()
    await memory.cluster.create(job)
    await memory.clock.advance(3600.0)
    times = [(entry.kind, (entry.time - begun).total_seconds()) for entry in memory.history()]
    assert times == [("create", 0.0), ("start", 0.0), ("end", pytest.approx(0.2))]


async def test_a_pod_outlives_its_job(memory: MemoryWorld) -> None:
    """An object deleted by hand is gone at once while its pod still counts under the job id."""
    job = memory.job("sweep-1", Does.STAY)
    await memory.cluster.create(job)
    await memory.started(job)
    memory.memory.delete_by_hand(NS, job.name, pod_lingers=30.0)
    live = await memory.cluster.get(NS, job.name, job.job_id)
    assert (live.job, live.pods) == (None, 1)
    assert memory.kinds(job) == ["create", "start", "delete"]
    (stray,) = (await memory.cluster.observe([NS])).strays
    assert (stray.job_id, stray.left.name, stray.left.orphan) == (job.job_id, job.name, True)
    whose = (NS, job.name, stray.left.kind, stray.left.uid)
    assert await memory.cluster.get_uid(*whose)
    left = await memory.cluster.find_uid(*whose)
    assert left is not None
    assert (left.finished, left.pod_unfinished) == (False, True)
    await memory.clock.advance(30.0)
    assert await memory.cluster.find_uid(*whose) is None
    assert (await memory.cluster.get(NS, job.name, job.job_id)).pods == 0
    assert (await memory.cluster.observe([NS])).strays == ()
    assert memory.kinds(job) == ["create", "start", "delete", "end"]


async def test_a_pod_that_was_left_keeps_the_next_object_unfinished(memory: MemoryWorld) -> None:
    """As on Kubernetes: both have the job id, so the object that came after is shown with a living pod until
    that has gone; then there is news of it."""
    job = memory.job("sweep-1", Does.STAY)
    await memory.cluster.create(job)
    await memory.started(job)
    memory.memory.delete_by_hand(NS, job.name, pod_lingers=30.0)
    memory.scripts[job.name] = Does.SUCCEED
    await memory.cluster.create(job)
    await memory.clock.advance(1.0)
    shown = await memory.shown(job)
    assert shown is not None
    assert (shown.finished, shown.pod_unfinished) == (True, True)
    heard = memory.memory.changes()
    await anext(heard)
    await memory.clock.advance(30.0)
    later = (await asyncio.wait_for(anext(heard), 1)).job
    assert later is not None
    assert (later.uid, later.finished, later.pod_unfinished) == (shown.uid, True, False)


async def test_a_listener_that_leaves_deafens_nobody(memory: MemoryWorld) -> None:
    """Of two who listen the first goes; the other still hears what happens."""
    job = memory.job("sweep-1", Does.STAY)
    stays, goes = memory.memory.changes(), memory.memory.changes()
    await anext(stays)
    await anext(goes)
    assert isinstance(goes, AsyncGenerator)
    await goes.aclose()
    await memory.cluster.create(job)
    assert (await asyncio.wait_for(anext(stays), 1)).job_id == job.job_id


async def test_a_lost_node_takes_its_jobs(memory: MemoryWorld) -> None:
    """Jobs of a lost node end as lost after the time given, those of another go on."""
    jobs = [memory.job(f"sweep-{n}", Does.STAY) for n in range(2)]
    for job in jobs:
        await memory.cluster.create(job)
    first, second = [await memory.started(job) for job in jobs]
    assert first.node != second.node
    memory.memory.lose_node(first.node, after=40.0)
    await memory.clock.advance(39.0)
    assert not (await memory.started(jobs[0])).finished
    await memory.clock.advance(1.0)
    lost = await memory.finished(jobs[0])
    assert (lost.pod_reason, lost.exit_code, lost.succeeded) == ("NodeLost", None, False)
    assert (await memory.started(jobs[1])).active


async def test_a_late_delete_spares_the_next_object(memory: MemoryWorld) -> None:
    """A delete that lands after the name has passed to another uid does nothing."""
    job = memory.job("sweep-1", Does.STAY)
    first = await memory.cluster.create(job)
    memory.memory.delete_later(NS, job.name, first.uid, 50.0)
    await memory.cluster.delete(NS, job.name, first.uid)
    await memory.clock.advance(1.0)
    second = await memory.cluster.create(job)
    await memory.clock.advance(100.0)
    shown = await memory.started(job)
    assert (shown.uid, shown.deleting) == (second.uid, False)


async def test_what_is_deleted_before_its_start_never_starts(memory: MemoryWorld) -> None:
    """A pending job that is deleted runs nothing on its way out."""
    memory.memory.ends = lambda job: End(starts=0.5)
    memory.memory.deletion = lambda job: 1.0
    job = memory.job("sweep-1", Does.STAY)
    created = await memory.cluster.create(job)
    await memory.cluster.delete(NS, job.name, created.uid)
    await memory.clock.advance(5.0)
    assert memory.kinds(job) == ["create", "end", "delete"]


async def test_an_avoided_node_is_only_a_preference(memory: MemoryWorld) -> None:
    """A job goes to another node than the one it avoids, and to any when it avoids them all."""
    for avoid, taken in ((("node-1",), {"node-2"}), (("node-1", "node-2"), {"node-1", "node-2"})):
        job = memory.job(f"sweep-{len(avoid)}", Does.STAY)
        await memory.cluster.create(replace(job, avoid_nodes=avoid))
        assert (await memory.started(job)).node in taken


async def test_a_snapshot_can_be_served_later(memory: MemoryWorld) -> None:
    """A snapshot keeps showing what was, with the stamp of its own time."""
    job = memory.job("sweep-1", Does.SUCCEED)
    stale = memory.memory.snapshot([NS])
    await memory.cluster.create(job)
    assert stale.jobs == {}
    assert stale.asked == memory.clock.monotonic()


async def test_an_outage_shows_and_changes_nothing(memory: MemoryWorld) -> None:
    """While it is down everything is unavailable; a blind namespace only blinds itself."""
    job = memory.job("sweep-1", Does.STAY)
    memory.memory.down = "the API server is away"
    for call in (memory.cluster.create(job), memory.cluster.observe([NS]), memory.cluster.get(NS, "a", "b")):
        with pytest.raises(Unavailable, match="away"):
            await call
    assert memory.history() == []
    memory.memory.down = ""
    memory.memory.blind = {NS: "403"}
    seen = await memory.cluster.observe([NS, "elsewhere"])
    assert (seen.namespaces, seen.blind) == (frozenset({"elsewhere"}), {NS: "403"})
    with pytest.raises(Unavailable):
        await memory.cluster.observe([NS])


async def test_a_refused_create_leaves_nothing(memory: MemoryWorld) -> None:
    """A create that is refused raises the reason and makes no object."""
    memory.memory.refuse = lambda job: "denied by policy"
    with pytest.raises(Rejected, match="denied by policy"):
        await memory.cluster.create(memory.job("sweep-1", Does.SUCCEED))
    assert memory.history() == []
