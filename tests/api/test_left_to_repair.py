"""A retry of many whose process dies between two steps, and that nobody repeats: the repair pass ends it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from controller.adapters.mongo_lineage import FEW
from controller.daemon import Daemon
from controller.ports import BatchkeeperError
from tests.api.place import place


class Crash(BatchkeeperError):
    """The process died here."""


@pytest.mark.parametrize("step", ["list_children", "list_retries", "gates", "listed", "toggle"])
@pytest.mark.parametrize("tasks", [FEW // 2, FEW + 5], ids=["few", "many"])
async def test_the_repair_pass_completes_it_once(
    tmp_path: Path,
    mongo_uri: str,
    mongo_database: str,
    monkeypatch: pytest.MonkeyPatch,
    step: str,
    tasks: int,
) -> None:
    """Every child is in both lists once and its toggle is true; the next pass finds nothing to do."""
    async with place(tmp_path, mongo_uri, mongo_database, repair={"after": "0s"}) as here:
        batch, jobs = await here.failed(tasks=tasks)
        real, died = getattr(here.store, step), []

        async def die(*args: Any, **kwargs: Any) -> Any:
            if step == "gates" and not await here.store._jobs.count_documents({"attempt": 1}):
                return await real(*args, **kwargs)  # the preflight's look at the gate
            died.append(step)
            raise Crash("died")

        with monkeypatch.context() as patch:
            patch.setattr(here.store, step, die)
            asked = await here.ada.post("/api/v1/jobs/retry", {"job_ids": [job.id for job in jobs]})
        assert (asked.status, died) == (500, [step])
        world = here.api.context.world
        assert world
        daemon = Daemon(world.engine)
        assert await daemon.repair_pass() == tasks
        assert await daemon.repair_pass() == 0
        records = await here.jobs(batch)
        children = {job.id: job for job in records if job.attempt}
        assert len(children) == tasks
        assert all(child.retry_toggle for child in children.values())
        assert {job.id: job.retry_ids for job in records if not job.attempt} == {
            child.retry_parent: (child.id,) for child in children.values()
        }
        parent = await here.store._jobs.find_one({"batch_job": True})
        assert parent
        assert Counter(map(str, parent["child_jobs"])) == Counter(job.id for job in records)


async def test_kept_requests_go_after_a_day(tmp_path: Path, mongo_uri: str, mongo_database: str) -> None:
    """The database itself drops them: an index says so."""
    async with place(tmp_path, mongo_uri, mongo_database) as here:
        indexes = await here.store._kept.index_information()
        assert indexes["kept"]["expireAfterSeconds"] == 24 * 60 * 60
