"""A retry whose name a job of another batch has: ``scan-t0-r1`` is also task ``r1`` of ``scan-t0``."""

from __future__ import annotations

from dataclasses import replace

from controller import intake, requests
from controller.requests import Caller
from tests.fakes.memory_objects import End
from tests.simulation.people import OWNER, spec_of
from tests.simulation.scenario import BatchPlan
from tests.simulation.stage import Stage, perform


def test_whoever_retries_is_told_who_has_the_name() -> None:
    """It said that another retry, by the name of the very job that had failed, stood in line."""

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        await stage.drop(1, 1)
        spec = spec_of(BatchPlan("scan-t0", 1, 1), stage.world.scenario)
        (task,) = spec.tasks
        other = replace(spec, tasks=(replace(task, id="r1"),))
        await intake.accept(stage.world.store, other, source="other.yaml")
        await stage.until_over(daemon)
        failed, taken = stage.job("scan-t0"), stage.job("scan-t0-r1")
        assert failed.batch_id != taken.batch_id
        for request_id in (None, "once"):
            (answer,) = await requests.retry(stage.people, Caller(OWNER), [failed.id], request_id=request_id)
            assert (answer.did, answer.retry_id, answer.stage) == ("", "", "record")
            assert answer.error.startswith(
                "the job name scan-t0-r1 is taken by a job of another batch: submit"
            )

    perform(trace, ends={"scan-t0": End(0.0, 1.0, 1)})
