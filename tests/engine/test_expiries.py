"""What has ended may go: nobody waits for it but the end of its own batch."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from controller.core.model import BatchStatus
from controller.core.sight import ClusterJob
from controller.daemon import Daemon
from controller.ending import end_all
from controller.expiries import CALM, LINGER, Due, Expiries
from controller.ports import Unavailable
from tests.engine.acting import batch_named, drop
from tests.fakes.memory_objects import End
from tests.simulation.stage import Stage, perform

SILENCE = 20.0
ROUND = 0.3
"""Seconds between two passes in a rush: fewer than make a calm."""
LONG = End(0.0, 10_000.0)


def silent(stage: Stage, prefix: str) -> list[str]:
    """The kubelets of these jobs answer no more until the list that is returned is emptied; who was asked."""
    cluster = stage.world.cluster
    log_tail, asked = cluster.log_tail, [prefix]

    async def hangs(job: ClusterJob, max_bytes: int) -> str:
        if asked and job.name.startswith(prefix):
            asked.append(job.name)
            await asyncio.sleep(SILENCE)
            raise Unavailable("no answer")
        return await log_tail(job, max_bytes)

    cluster.log_tail = hangs  # type: ignore[method-assign]
    return asked


def test_silent_kubelets_of_one_batch_hold_up_no_other() -> None:
    """While their logs were waited for, each pass of every other batch waited for the same at its end."""

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        asked = silent(stage, "sick")
        following = asyncio.ensure_future(daemon.follow_events())
        await drop(stage, "sick", 41, 41)
        await asyncio.sleep(10)
        assert len(asked) > 1, "they have ended, and their logs are asked for"
        await drop(stage, "other", 3, 1)
        await asyncio.sleep(25)
        assert batch_named(stage, "other").status is BatchStatus.FINISHED
        asked.clear()
        await stage.passes(daemon, 200)
        assert batch_named(stage, "sick").status is BatchStatus.FINISHED
        await end_all([following])

    perform(trace, ends={"sick-t40": End(0.0, 150.0)})


def test_a_full_pass_waits_for_no_silent_kubelet() -> None:
    """What had given no answer was asked for again in it, and all batches after that one waited."""

    async def trace(stage: Stage) -> None:
        daemon, loop = await stage.leader(), stage.world.loop
        asked = silent(stage, "scan")
        following = asyncio.ensure_future(daemon.follow_events())
        await stage.drop(2, 2)
        await asyncio.sleep(SILENCE + 10)
        before, tries = loop.time(), len(asked)
        await daemon.full_pass()
        assert loop.time() - before < SILENCE / 2
        await asyncio.sleep(1)
        assert len(asked) == tries + 1, "it is asked for again all the same, beside the passes"
        asked.clear()
        await end_all([following])

    perform(trace, ends={"scan-t1": LONG})


def told(stage: Stage) -> list[tuple[float, str]]:
    """When each object was told its time to live, by the loop's clock; filled as it happens."""
    cluster, loop, times = stage.world.cluster, stage.world.loop, list[tuple[float, str]]()
    expire = cluster.expire

    async def noted(namespace: str, name: str, uid: str, ttl: timedelta) -> None:
        times.append((loop.time(), name))
        await expire(namespace, name, uid, ttl)

    cluster.expire = noted  # type: ignore[method-assign]
    return times


async def rush(stage: Stage, daemon: Daemon, seconds: float) -> None:
    """One pass follows another."""
    until = stage.world.loop.time() + seconds
    while stage.world.loop.time() < until:
        daemon.agenda.add(stage.batch.id, frozenset())
        await asyncio.sleep(ROUND)


def test_in_a_rush_what_has_ended_lets_others_go_first_and_is_not_forgotten() -> None:
    """What only tidies up took the API server's time while places waited to be filled."""

    async def trace(stage: Stage) -> None:
        daemon, loop, times = await stage.leader(), stage.world.loop, told(stage)
        following = asyncio.ensure_future(daemon.follow_events())
        await stage.drop(3, 3)
        await asyncio.sleep(0.1)
        ended = loop.time() + 5
        await rush(stage, daemon, 5 + LINGER + 2)
        assert sorted(name for _, name in times) == ["scan-t0", "scan-t1"]
        assert all(ended + LINGER - 1 <= at <= ended + LINGER + 1 for at, _ in times)
        await end_all([following])

    perform(trace, ends={"scan-t2": LONG})


def test_a_rush_that_never_ends_lets_them_go_a_few_at_a_time() -> None:
    """All that have waited long enough at one time would be a rush of their own."""
    most = 0

    async def trace(stage: Stage) -> None:
        nonlocal most
        daemon, times = await stage.leader(), told(stage)
        daemon.engine.settings = replace(daemon.engine.settings, concurrency=4)
        following = asyncio.ensure_future(daemon.follow_events())
        expiries, take = daemon.engine.expiries, Expiries.take

        def counted(self: Expiries, batch_id: str, at_most: int | None = None) -> list[Due]:
            nonlocal most
            taken = take(self, batch_id, at_most)
            most = max(most, len(taken))
            return taken

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Expiries, "take", counted)
            await stage.drop(21, 21)
            await rush(stage, daemon, 6)
            await daemon.full_pass()  # some events are lost
            await rush(stage, daemon, LINGER + 2)
        assert (len(times), most) == (20, 4)
        assert expiries.held(stage.batch.id) == 0
        await end_all([following])

    perform(trace, ends={"scan-t20": LONG})


def test_when_nobody_waits_it_is_let_go_soon() -> None:
    """Nothing more happens in its batch: there is nobody to make way for."""

    async def trace(stage: Stage) -> None:
        daemon, times = await stage.leader(), told(stage)
        following = asyncio.ensure_future(daemon.follow_events())
        await stage.drop(2, 2)
        await asyncio.sleep(5 + 2 * CALM + 0.5)
        assert [name for _, name in times] == ["scan-t0"]
        await end_all([following])

    perform(trace, ends={"scan-t1": LONG})
