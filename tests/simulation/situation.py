"""A situation: one small story of the engine with a known end, to be crashed at each of its side effects."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from controller.core.model import Attempt, Batch, BatchStatus, Gate, Result, Status, Verdict
from controller.ports import NewJob
from controller.requests import Caller, People
from tests.fakes.memory_objects import End
from tests.oracle.state import Budget
from tests.simulation.faults import Fault
from tests.simulation.scenario import BatchPlan, Scenario
from tests.simulation.world import World

OK, ERROR, ENDED = Status.COMPLETED, Status.ERROR, Status.TERMINATED
Outcome = tuple[Status, Verdict]
DONE: Outcome = (OK, Verdict.SUCCEEDED)
FINISHED: tuple[BatchStatus, Result | None] = (BatchStatus.FINISHED, Result.COMPLETED)


class Asker(Protocol):
    """Who asks: a process that may die and comes back."""

    world: World
    people: People
    caller: Caller


@dataclass(frozen=True, slots=True)
class Rule:
    """One retry after so many seconds."""

    after: int = 1
    when: str = "now"


Ask = Callable[[Any], Awaitable[bool]]
"""Ask for something of an ``Asker`` once it is time for it; True: it is done, also by an earlier life."""
Happening = Callable[[World], bool]
"""What third parties do once it is time for it; True: it is done."""


Weather = Callable[[str, int], Fault | None]
"""Faults that belong to the story, by the call's name and how many calls of that name went before."""


@dataclass(frozen=True, slots=True)
class Situation:
    """The story. Asks come one after the other, and so do the others' doings; both once a second."""

    name: str
    tasks: int = 1
    most: int = 1
    ends: Mapping[str, End] = field(default_factory=dict)
    """By attempt name; everything else completes after five seconds."""
    wanted: Mapping[str, Outcome] = field(default_factory=dict)
    """How each record must have ended, whatever was struck."""
    results: Mapping[str, tuple[BatchStatus, Result | None]] = field(
        default_factory=lambda: {"scan": FINISHED}
    )
    """How each batch must have ended."""
    spared: frozenset[str] = frozenset()
    """Names of records whose end, or being, depends on the crash, and with them the batches' results."""
    rules: Mapping[Verdict, Rule] = field(default_factory=dict)
    """The spec's, by the verdict that each retries once."""
    more: tuple[BatchPlan, ...] = ()
    """Batches beside ``scan``."""
    figures: Mapping[str, Any] = field(default_factory=dict)
    """Of the scenario, where they are not the usual ones."""
    weather: Weather = lambda name, n: None
    late: float = 60.0
    """After how many seconds a late create, burial or delete lands."""
    deletion: float = 0.0
    refused: Mapping[str, str] = field(default_factory=dict)
    """By attempt name: why the cluster refuses it."""
    specs: tuple[tuple[float, bytes], ...] = ()
    """What ``scan.yaml`` says from when on, where a spec pass is to read it; else its batch is handed in."""
    asks: tuple[Ask, ...] = ()
    others: tuple[Happening, ...] = ()
    before: Callable[[World], object] = lambda world: None
    """What is there before anything begins."""

    @property
    def scenario(self) -> Scenario:
        """The simulator's figures."""
        usual: dict[str, Any] = {
            "batches": (self._plan(), *self.more),
            "duration": 0.0,
            "interval": 5.0,
            "latency": 0.001,
            "repair_after": 5.0,
            "ttl": 10.0,
            "hold": 300.0,
            "created_after": 10_000.0,
            "queued_after": 10_000.0,
            "start_deadline": 10_000.0,
            "hints_lost": 0.0,
            "patience": 30.0,
            "explain_every": 101,
        }
        return Scenario(seed=0, **{**usual, **self.figures})

    def _plan(self) -> BatchPlan:
        retry = tuple(
            {
                "on": {"verdict": [verdict.value]},
                "limit": 1,
                "backoff": {"base": f"{rule.after}s", "factor": 1, "max": f"{rule.after}s"},
                "when": rule.when,
            }
            for verdict, rule in self.rules.items()
        )
        budgets = {verdict: Budget(1, rule.after, 1.0) for verdict, rule in self.rules.items()}
        return BatchPlan("scan", self.tasks, self.most, retry=retry, budgets=budgets)

    def end(self, job: NewJob) -> End:
        """How an attempt goes."""
        return self.ends.get(job.name, End(0.0, 5.0))

    def wrong(self, world: World, *, crashed: bool) -> list[str]:
        """What is not as it must be at the end, beside what the invariants say."""
        spared = self.spared if crashed else frozenset()
        ends = {job.name: (job.status, job.verdict) for job in world.records()}
        found = [
            f"{name} ended as {_told(ends.get(name))}, not as {_told(self.wanted.get(name))}"
            for name in sorted({*ends, *self.wanted} - spared)
            if ends.get(name) != self.wanted.get(name)
        ]
        batches = {batch.name: (batch.status, batch.result) for batch in world.store._batches.values()}
        if not spared and batches != self.results:
            found.append(f"the batches ended as {batches}")
        return found


def _told(outcome: tuple[object, ...] | None) -> str:
    return " ".join(map(str, outcome)) if outcome else "nothing"


# ------------------------------------------------------------------------------ what asks and doings look at


def record(world: World, name: str) -> Attempt | None:
    """The record of this cluster name."""
    return next((job for job in world.records() if job.name == name), None)


def is_in(world: World, name: str, *statuses: Status) -> bool:
    """Whether there is a record of this name, in one of these statuses."""
    job = record(world, name)
    return job is not None and job.status in statuses


def batch_of(world: World, name: str = "scan") -> Batch | None:
    """The batch of this name."""
    return next((batch for batch in world.store._batches.values() if batch.name == name), None)


def gate_of(world: World, name: str = "scan") -> Gate | None:
    """The gate of the batch of this name."""
    batch = batch_of(world, name)
    return world.store._gates.get(batch.id) if batch else None


def ids_of(world: World, names: Sequence[str]) -> list[str]:
    """The ids of the records with these names."""
    return [job.id for name in names if (job := record(world, name))]
