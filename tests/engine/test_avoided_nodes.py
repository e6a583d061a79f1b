"""A retry is not to land where its task failed, whoever asked for it and however often it is created."""

from __future__ import annotations

import pytest

from controller.ports import Created, NewJob
from tests.fakes.memory_objects import End
from tests.simulation.faults import Fault
from tests.simulation.stage import Stage, perform


@pytest.mark.parametrize("by_a_person", [False, True])
def test_every_create_of_a_retry_avoids_the_node(by_a_person: bool) -> None:
    """One that a person asked for did not, nor did one whose first create had no answer."""
    asked: list[tuple[str, tuple[str, ...]]] = []

    async def trace(stage: Stage) -> None:
        daemon, create = await stage.leader(), stage.world.cluster.create

        async def seen(job: NewJob) -> Created:
            asked.append((job.name, job.avoid_nodes))
            return await create(job)

        stage.world.cluster.create = seen  # type: ignore[method-assign]
        await stage.drop(1, 1)
        await stage.passes(daemon, 12)
        if by_a_person:
            await stage.retry("scan-t0")
        else:
            stage.script.lines.append(("create", Fault.FAILED))
        await stage.passes(daemon, 60)
        assert asked == [("scan-t0", ()), ("scan-t0-r1", (stage.job("scan-t0").node,))]
        await stage.until_over(daemon)

    perform(trace, ends={"scan-t0": End(0.0, 4.0, 1 if by_a_person else 2)})
