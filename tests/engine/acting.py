"""What these tests add to the simulator's stage: batches of any kind, and answers that refuse."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from controller import intake
from controller.core.model import Attempt, Batch, Gate
from controller.ports import BatchkeeperError, Created, NewJob
from tests.simulation.explaining import drive
from tests.simulation.people import spec_of
from tests.simulation.scenario import BatchPlan
from tests.simulation.stage import Stage


async def drop(
    stage: Stage, name: str, tasks: int, most: int, *, retry: tuple[Mapping[str, object], ...] = ()
) -> Batch:
    """A spec of this name is taken in."""
    spec = spec_of(BatchPlan(name, tasks, most, retry=retry), stage.world.scenario)
    await intake.accept(stage.world.store, spec, source=f"{name}.yaml")
    stage.world.recorder.catch_up()
    return batch_named(stage, name)


async def drop_elsewhere(stage: Stage, tasks: int, most: int) -> None:
    """The batch ``away`` is taken in, in a namespace of its own."""
    spec = replace(spec_of(BatchPlan("away", tasks, most), stage.world.scenario), namespace="elsewhere")
    await intake.accept(stage.world.store, spec, source="away.yaml")
    stage.world.recorder.catch_up()


def batch_named(stage: Stage, name: str) -> Batch:
    """The batch as it is now."""
    batch = drive(stage.world.store.batch_named("lab", name))
    assert batch is not None
    return batch


def gate_of(stage: Stage, batch: Batch) -> Gate:
    """Its gate as it is now."""
    return stage.world.store._gates[batch.id]


def running(stage: Stage, batch: Batch) -> list[str]:
    """Names of the batch's active records."""
    return [job.name for job in records(stage, batch) if job.status.active]


def records(stage: Stage, batch: Batch) -> list[Attempt]:
    """The batch's records, in the order of their insertion."""
    return [job for job in stage.world.records() if job.batch_id == batch.id]


def refusing(stage: Stage, port: str, call: str, error: BatchkeeperError, when: Callable[..., bool]) -> None:
    """From now on these calls are refused for good; ``when`` is asked with their arguments."""
    world = stage.world
    target = world.cluster if port == "cluster" else world.store
    real = getattr(target, call)

    async def refused(*args: Any, **more: Any) -> Any:
        if when(*args, **more):
            raise error
        return await real(*args, **more)

    setattr(target, call, refused)


def asked_digests(stage: Stage) -> list[str]:
    """From now on, by which digest each job is asked for; empty: by the image's name alone."""
    asked: list[str] = []
    create = stage.world.cluster.create

    async def noted(job: NewJob) -> Created:
        asked.append(job.image_digest)
        return await create(job)

    stage.world.cluster.create = noted  # type: ignore[method-assign]
    return asked
