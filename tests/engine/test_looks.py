"""Looks write nothing: what ``explain``, a status or a dry run counts is not stored."""

from __future__ import annotations

import asyncio
from typing import cast

from controller.core.model import BatchStatus, Counts, Status
from controller.explaining import explanation_of_batch, explanation_of_job, view_of
from controller.ports import Store
from controller.rehearsal import rehearse
from tests.simulation.explaining import ReadOnly
from tests.simulation.stage import Stage, perform


def test_explaining_a_closed_batch_writes_nothing() -> None:
    """Each time somebody asked why it ended, all of its records were counted, and the counts written."""

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        await stage.drop(2, 2)
        await stage.until_over(daemon)
        engine, store = daemon.engine, stage.world.store
        engine.store = cast(Store, ReadOnly(store))
        assert (await explanation_of_batch(engine, stage.batch)).cause == "finished"
        assert (await explanation_of_job(engine, stage.job("scan-t0"))).cause == "succeeded"

    perform(trace)


def test_a_dry_run_counts_the_end_of_a_batch_and_writes_nothing() -> None:
    """What it said was right, but the counts that it came to were written, beside whoever leads."""

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        await stage.drop(2, 1)
        await stage.passes(daemon, 4)
        await asyncio.sleep(10)
        stage.set_gate(max=1, paused=True)
        await stage.passes(daemon, 4)
        assert stage.job("scan-t0").status is Status.COMPLETED
        await stage.cancel("scan-t1")
        store, other = stage.world.store, stage.controller("other").engine
        await store.add_counts(stage.batch.id, Counts({Status.COMPLETED: 1}))
        other.store = cast(Store, ReadOnly(store))
        shown = [step async for step in rehearse(other, await view_of(other, stage.batch))]
        assert [step.subject for step in shown if "finished" in step.deed] == ["1 of 2 tasks completed"]
        assert stage.batch.counts.status == {Status.COMPLETED: 2, Status.TERMINATED: 1}
        await stage.until_over(daemon)
        assert stage.batch.status is BatchStatus.FINISHED
        assert stage.batch.counts.status == {Status.COMPLETED: 1, Status.TERMINATED: 1}

    perform(trace)
