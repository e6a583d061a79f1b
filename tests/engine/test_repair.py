"""Repair costs each lifecycle only what is its own: what can't be completed is told, the others are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest

from controller import lifecycle
from controller.core.model import BatchStatus, Result, Status
from controller.engine import Engine
from controller.ports import Rejected
from tests.contract.store_world import SECOND, StoreWorld
from tests.fakes.memory_objects import End
from tests.fakes.memory_store import MemoryStore
from tests.simulation.stage import Stage, perform


class _Still:
    """A clock that stands still."""

    def now(self) -> datetime:
        """Always the same."""
        return datetime(2026, 3, 1, 12, tzinfo=UTC)


@dataclass
class _Telling:
    """A journal that keeps what was said, and the last value of each gauge."""

    lines: list[tuple[str, Mapping[str, Any]]] = field(default_factory=list)
    gauges: dict[str, float] = field(default_factory=dict)

    def said(self, event: str, **facts: Any) -> None:
        """One line."""
        self.lines.append((event, facts))

    def gauge(self, name: str, value: float) -> None:
        """A value."""
        self.gauges[name] = value

    def of(self, event: str) -> list[Mapping[str, Any]]:
        """What was said under this key."""
        return [facts for key, facts in self.lines if key == event]

    def __getattr__(self, name: str) -> Any:
        return lambda *_, **__: None


@pytest.fixture
def store() -> MemoryStore:
    """An empty one."""
    return MemoryStore(_Still(), seed=1)


@pytest.fixture
def world(store: MemoryStore) -> StoreWorld:
    """The store, and what is put into it."""

    async def tick() -> None:
        """Nothing moves."""

    return StoreWorld(store, tick, store.clock.now())


def _engine(store: MemoryStore) -> tuple[Engine, _Telling]:
    journal, settings = _Telling(), SimpleNamespace(repair_after=timedelta(0))
    return cast(Engine, SimpleNamespace(store=store, journal=journal, settings=settings)), journal


def _refuse(store: MemoryStore, name: str, parent: str) -> set[str]:
    """From now on this call of the store's is refused wherever it is about a parent that is in the answer."""
    real, refused = getattr(store, name), {parent}

    async def call(which: str | Mapping[str, Iterable[str]], *more: Any) -> Any:
        if refused & ({which} if isinstance(which, str) else set(which)):
            raise Rejected("mongodb: the document would be too large")
        return await real(which, *more)

    setattr(store, name, call)
    return refused


@pytest.mark.parametrize("name", ["list_children", "set_batch"])
async def test_a_batch_that_refuses_costs_no_other_its_repair(
    world: StoreWorld, store: MemoryStore, name: str
) -> None:
    """Its own children stay unfinished and are told in one line; those of the other batch are complete."""
    closed: dict[str, Any] = {"status": BatchStatus.FINISHED, "result": Result.FAILED, "finished": world.now}
    sick = await world.add_batch("sick", **closed)
    lost = [await world.put_retry(await world.put(Status.ERROR), inserted=world.now - SECOND) for _ in "ab"]
    await world.add_batch("well")
    child = await world.put_retry(await world.put(Status.ERROR), inserted=world.now - SECOND)
    _refuse(store, name, sick.id)
    engine, journal = _engine(store)
    assert len(await lifecycle.repair(engine)) == 3
    assert (await world.read(child.id)).retry_toggle is True
    assert [(await world.read(job.id)).retry_toggle for job in lost] == [False, False]
    (line,) = journal.of("unlisted")
    assert (line["batch"], line["retries"], line["first"]) == (sick.id, 2, lost[0].name)
    assert "too large" in line["why"]
    assert [line["task"] for line in journal.of("repaired")] == [child.task_id]


async def test_a_root_that_refuses_costs_no_other_its_repair(world: StoreWorld, store: MemoryStore) -> None:
    """Where the roots together are refused, each is written by itself."""
    batch = await world.add_batch()
    roots = [await world.put(Status.ERROR) for _ in range(3)]
    children = [await world.put_retry(root, inserted=world.now - SECOND) for root in roots]
    _refuse(store, "list_retries", roots[1].id)
    engine, journal = _engine(store)
    await lifecycle.repair(engine)
    assert [(await world.read(job.id)).retry_toggle for job in children] == [True, False, True]
    assert [(line["batch"], line["first"]) for line in journal.of("unlisted")] == [
        (batch.id, children[1].name)
    ]


async def test_children_without_a_root_are_told_and_not_called_repaired(
    world: StoreWorld, store: MemoryStore
) -> None:
    """Nobody refused anything: there is no list that they could be in."""
    await world.add_batch()
    await world.put_retry(world.attempt(Status.ERROR), inserted=world.now - SECOND)
    engine, journal = _engine(store)
    await lifecycle.repair(engine)
    assert [line["why"] for line in journal.of("unlisted")] == [lifecycle.NO_LIST]
    assert journal.of("repaired") == []


async def test_children_that_never_get_complete_starve_no_younger_one(
    world: StoreWorld, store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page of them is met first in every pass, and the pass goes on after it."""
    monkeypatch.setattr(lifecycle, "REPAIR_AT_ONCE", 3)
    await world.add_batch()
    for n in range(6):
        await world.put_retry(world.attempt(Status.ERROR), inserted=world.now - (99 - n) * SECOND)
    young = await world.put_retry(await world.put(Status.ERROR), inserted=world.now - SECOND)
    engine, journal = _engine(store)
    assert len(await lifecycle.repair(engine)) == 7
    assert (await world.read(young.id)).retry_toggle is True
    assert journal.gauges == {"retry_lifecycle_incomplete": 7, "oldest_incomplete_retry_seconds": 99}
    assert len(await lifecycle.repair(engine, dry_run=True)) == 6


def test_an_automatic_retry_whose_batch_takes_no_more_is_recorded_all_the_same() -> None:
    """The pass goes on: the failed attempt gives its place back; that its retry is not listed is told."""

    async def trace(stage: Stage) -> None:
        daemon, journal = await stage.leader(), _Telling()
        daemon.engine.journal = cast(Any, journal)
        await stage.drop(1, 1)
        refused = _refuse(stage.world.store, "list_children", stage.batch.id)
        await stage.passes(daemon, 14)
        assert stage.job("scan-t0-r1").retry_toggle is False
        assert stage.world.store._gates[stage.batch.id].holders == ()
        told = {(line["first"], line["batch"]) for line in journal.of("unlisted")}
        assert told == {("scan-t0-r1", stage.batch.id)}
        refused.clear()
        await daemon.repair_pass()
        await stage.until_over(daemon)
        assert stage.job("scan-t0-r1").status is Status.COMPLETED

    perform(trace, ends={"scan-t0": End(0.0, 1.0, 2)})
