"""A full pass that its time limit breaks off: the next one goes on where it was."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from controller.core.model import Status
from controller.ports import Created, NewJob
from tests.engine.acting import drop
from tests.simulation.stage import Stage, perform

A_WHILE, HOURS = 60.0, 7200.0


def test_what_a_pass_did_not_come_to_is_first_in_the_next_one() -> None:
    """Each pass began with the same batch, whose creates took until it was given up: the others starved."""

    async def trace(stage: Stage) -> None:
        daemon, cluster = await stage.leader(), stage.world.cluster
        create = cluster.create

        async def created(job: NewJob) -> Created:
            await asyncio.sleep(HOURS if job.batch == "aaa" else 0)
            return await create(job)

        cluster.create = created  # type: ignore[method-assign]
        for name in ("aaa", "bbb", "ccc"):
            await drop(stage, name, 1, 1)
        for _ in range(2):
            with suppress(TimeoutError):
                async with asyncio.timeout(A_WHILE):
                    await daemon.full_pass()
        assert [stage.job(f"{name}-t0").status for name in ("bbb", "ccc")] == [Status.QUEUED] * 2

    perform(trace)
