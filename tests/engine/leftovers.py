"""What others left under the names of a batch, and the order to take it over."""

from __future__ import annotations

from controller.adopting import ask_to_adopt
from controller.requests import Caller
from tests.fakes.memory_objects import End
from tests.simulation.people import OWNER
from tests.simulation.stage import Stage

ME = Caller(OWNER)
FAILS = End(0.0, 1.0, 2, log="no data")
NEVER_ENDS = End(0.0, None)


def leave(stage: Stage, name: str, end: End | None = None, *, active: bool = True, kind: str = "Job") -> str:
    """Somebody else's object, now; its uid."""
    return stage.world.cluster.add_foreign("lab", name, end=end, active=active, kind=kind)


def leftovers(stage: Stage) -> dict[str, str]:
    """What the scripts left: done, failed, running, pending, and two names that are no task's."""
    return {
        "scan-t0": leave(stage, "scan-t0", End(), active=False),
        "scan-t1": leave(stage, "scan-t1", FAILS, active=False),
        "scan-t2": leave(stage, "scan-t2", End(0.0, 40.0), kind="TrainingWorkload"),
        "scan-t3": leave(stage, "scan-t3", End(30.0, 30.0)),
        "scan-t0-test": leave(stage, "scan-t0-test", NEVER_ENDS),
        "scan-old": leave(stage, "scan-old", active=False),
    }


def still_theirs(stage: Stage, uids: dict[str, str]) -> None:
    """Every one of them is there as it was: same uid, nobody's labels, no time to live, no deletion."""
    things = {thing.name: thing for thing in stage.world.cluster._things.values() if thing.job is None}
    assert {name: thing.uid for name, thing in things.items()} == uids
    assert all(thing.ttl is None and not thing.deleting for thing in things.values())


async def adopt(stage: Stage) -> str:
    """A person orders it."""
    return await ask_to_adopt(stage.people, ME, stage.batch)
