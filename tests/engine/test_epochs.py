"""Two leaders: from the new one's stamps on, an older one's decisions change nothing (R12)."""

from __future__ import annotations

import asyncio
from collections import Counter

from controller.core.model import Status
from controller.ports import StaleEpoch
from tests.engine.acting import drop, gate_of
from tests.fakes.memory_objects import End
from tests.simulation.faults import Fault
from tests.simulation.stage import Stage, perform


def test_a_stale_leader_claims_nothing_in_a_batch_that_came_after_its_successor() -> None:
    """A new batch's gate had no epoch yet: the leader of old could take all its places."""

    async def trace(stage: Stage) -> None:
        old = await stage.leader("old")
        new = await stage.leader("new")
        batch = await drop(stage, "scan", 2, 2)
        await old.batch_pass(batch.id, None)
        assert not gate_of(stage, batch).holders
        await stage.until_over(new)

    perform(trace)


def test_places_whose_records_never_move_starve_nobody() -> None:
    """Two retries held places and could not be recorded so; the free places saw only those two in line."""

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        await drop(stage, "scan", 6, 4)
        real = stage.world.store.change
        stuck = {stage.job("scan-t0").id, stage.job("scan-t1").id}

        async def refuse(change: object, epoch: int | None = None) -> object:
            if change.job in stuck:  # type: ignore[attr-defined]
                return None
            return await real(change, epoch)  # type: ignore[arg-type]

        stage.world.store.change = refuse  # type: ignore[method-assign,assignment]
        await stage.passes(daemon, 60)
        done = [job.name for job in stage.world.records() if job.status.terminal]
        assert done == ["scan-t2", "scan-t3", "scan-t4", "scan-t5"]
        stuck.clear()
        await stage.until_over(daemon)

    perform(trace, ends={f"scan-t{n}": End(0.0, 3.0) for n in range(6)})


def test_what_a_lead_did_not_count_is_not_counted_by_the_next() -> None:
    """A stale pass broke off between a move and its count; the next lead counts the records anew."""

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        await drop(stage, "scan", 4, 2)
        real = stage.world.store.change
        moved: list[object] = []

        async def overtaken(change: object, epoch: int | None = None) -> object:
            moved.append(change)
            if len(moved) == 3:
                raise StaleEpoch("another leads")
            return await real(change, epoch)  # type: ignore[arg-type]

        stage.world.store.change = overtaken  # type: ignore[method-assign,assignment]
        await daemon.full_pass()
        assert daemon.stepped_down.is_set(), "a pass was broken off"
        await daemon.lead("one")
        await daemon.full_pass()
        counted = {status: number for status, number in stage.batch.counts.status.items() if number}
        assert counted == Counter(job.status for job in stage.world.records())
        await stage.until_over(daemon)

    perform(trace)


def test_a_retry_that_has_a_place_is_forbidden_like_any_other() -> None:
    """A crash left it with its place and waiting, the task was cancelled, and the next leader, whose gate was
    full, read nobody's chain and submitted it. It is withdrawn, and its place is free again."""

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        await stage.drop(2, 1)
        while "scan-t0-r1" not in stage.names():
            await stage.passes(daemon, 1)
        stage.script.lines.append(("claim", Fault.REPLY_LOST))
        while stage.job("scan-t0-r1").id not in {holder.job for holder in stage.gate.holders}:
            await asyncio.sleep(1)
            await daemon.full_pass()
        assert stage.job("scan-t0-r1").status is Status.WAITING
        daemon.step_down("its process has died")
        await stage.cancel("scan-t0")
        await asyncio.sleep(120)
        await stage.until_over(await stage.leader("two"))
        assert stage.job("scan-t0-r1").status is Status.TERMINATED
        assert stage.job("scan-t1").status is Status.COMPLETED

    perform(trace, ends={"scan-t0": End(0.0, 1.0, 2)})
