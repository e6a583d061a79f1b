"""What has ended may go: nobody waits for it but the end of its own batch."""

from __future__ import annotations

import asyncio

from controller.core.model import BatchStatus
from controller.core.sight import ClusterJob
from controller.ending import end_all
from controller.ports import Unavailable
from tests.engine.acting import batch_named, drop
from tests.fakes.memory_objects import End
from tests.simulation.stage import Stage, perform

SILENCE = 20.0
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
