"""Weeks of batches cost no memory: of what is over nothing is held, whatever held it while it went on."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from types import BuiltinFunctionType, FunctionType, ModuleType

import pytest

from controller import engine as engine_module
from controller import intake, requests
from controller.core.model import Batch, Gate
from controller.core.view import View
from controller.daemon import Daemon
from controller.ports import SpecFile
from controller.requests import Caller
from controller.spec_pass import Reading, SpecPass
from tests.fakes.memory_objects import End
from tests.fakes.memory_source import MemorySource
from tests.simulation.people import OWNER, spec_of
from tests.simulation.scenario import BatchPlan
from tests.simulation.stage import Stage, perform

_CODE = (type, ModuleType, FunctionType, BuiltinFunctionType)


def _texts(held: object, outside: tuple[object, ...]) -> Iterator[str]:
    """All texts that can be reached from an object without leaving through what is ``outside`` of it."""
    seen, line = {id(one) for one in outside}, [held]
    while line:
        one = line.pop()
        if id(one) in seen or isinstance(one, _CODE):
            continue
        seen.add(id(one))
        if isinstance(one, str):
            yield one
        else:
            line += gc.get_referents(one)


def _traces(stage: Stage, daemon: Daemon, specs: SpecPass | None = None) -> set[str]:
    """Ids of batches that are over, and of their jobs, that this daemon or its spec pass still holds."""
    engine = daemon.engine
    ports = (engine.store, engine.cluster, engine.clock, engine.journal, stage, stage.world)
    outside = (*ports, daemon.agenda, specs and specs.source)  # nobody is at work who takes from the agenda
    over = {batch.id for batch in stage.world.store._batches.values() if batch.status.closed}
    ids = {*over, *(job.id for job in stage.world.records() if job.batch_id in over)}
    return ids.intersection(text for held in (daemon, specs) for text in _texts(held, outside))


async def _drop(stage: Stage, name: str, tasks: int) -> Batch:
    plan = BatchPlan(name, tasks, 2)
    taken = await intake.accept(stage.world.store, spec_of(plan, stage.world.scenario), source=f"{name}.yaml")
    stage.world.recorder.catch_up()
    assert taken.batch is not None
    return taken.batch


def _open(stage: Stage) -> list[str]:
    return [batch.name for batch in stage.world.store._batches.values() if not batch.status.closed]


async def _until_nothing_is_open(stage: Stage, daemon: Daemon) -> None:
    for _ in range(100):
        await stage.passes(daemon, 5)
        if not _open(stage):
            await stage.passes(daemon, 60)  # what ended is collected
            return
    raise AssertionError(f"still open: {_open(stage)}")


async def _several(stage: Stage) -> Daemon:
    """Three batches, one after another, with failures, retries and cancels in them; the daemon is left."""
    daemon = await stage.leader()
    for name in ("scan", "next", "last"):
        await _drop(stage, name, 4)
        await stage.passes(daemon, 8)
        await requests.cancel_jobs(stage.people, Caller(OWNER), [stage.job(f"{name}-t3").id], "not needed")
        await _until_nothing_is_open(stage, daemon)
    return daemon


ENDS = {f"{name}-t{n}": End(0.0, 1.0, n) for name in ("scan", "next", "last") for n in (1, 2)}
"""A configuration error, and a mount failure that heals, in each."""


def test_of_batches_that_are_over_a_leader_holds_nothing() -> None:
    """But the status to which it brought the latest records: so many, of whatever batch."""

    async def trace(stage: Stage) -> None:
        daemon = await _several(stage)
        assert any(name.endswith("-r1") for name in stage.names())
        await _drop(stage, "more", 9)
        await stage.passes(daemon, 8)  # while nothing is open, nobody looks at the cluster anew
        daemon.engine._reached.clear()
        assert not _traces(stage, daemon)
        await _until_nothing_is_open(stage, daemon)

    perform(trace, ends=ENDS)


def test_of_a_batch_that_goes_on_it_is_held_what_it_brought_where() -> None:
    """An old view must count no end again; and what is looked for above can be found."""

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        batch = await _drop(stage, "scan", 4)
        await stage.passes(daemon, 8)
        assert _open(stage)
        held = set(_texts(daemon, (daemon.engine.store, daemon.engine.cluster, stage.world)))
        assert {batch.id, stage.job("scan-t0").id} <= held
        await _until_nothing_is_open(stage, daemon)

    perform(trace)


def test_what_is_held_of_records_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The latest are kept, however many there are."""
    monkeypatch.setattr(engine_module, "REACHED", 3)

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        await _drop(stage, "scan", 9)
        for _ in range(4):
            await stage.passes(daemon, 5)
            assert len(daemon.engine._reached) <= 3
        assert daemon.engine._reached
        await _until_nothing_is_open(stage, daemon)

    perform(trace)


def test_of_specs_that_are_gone_nothing_is_held() -> None:
    """Of each batch that ever had a spec here its id was kept, whatever became of the file."""

    async def trace(stage: Stage) -> None:
        daemon, source = await stage.leader(), MemorySource()

        async def read(file: SpecFile) -> Reading:
            return Reading(spec_of(BatchPlan(file.key.removesuffix(".yaml"), 1, 1), stage.world.scenario))

        async def view_of(batch: Batch, gate: Gate) -> View:
            return View(batch, gate, daemon.engine.now(), daemon.engine.settings.life, foreign=())

        specs = SpecPass(daemon.engine, source, read, view_of)

        async def look(times: int = 2) -> None:
            for _ in range(times):
                await specs.scan()
                await specs.tell_all()

        for name in ("scan", "next"):
            source.drop(f"{name}.yaml", b"spec")
            await look()
            stage.world.recorder.catch_up()
        source.remove("next.yaml")
        await look()
        assert len(specs._batches) == 2, "it goes on, and may get its file back"
        await _until_nothing_is_open(stage, daemon)
        await look()
        assert specs._batches.keys() == {"scan.yaml"}
        assert specs._told == set(specs._batches.values())
        source.remove("scan.yaml")
        await look()
        daemon.engine.seen = None  # the last list, for nothing is open
        daemon.engine._reached.clear()
        assert not _traces(stage, daemon, specs)
        source.drop("scan.yaml", b"spec")
        await look()
        assert "finished" in str(source.status("scan.yaml")), "whoever drops it again is told"
        assert specs._told == set(specs._batches.values()) != set()

    perform(trace)
