"""The simulated world: one store, one cluster, the weather, who holds the lock, and the judge."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, cast

from controller.core.decide import Lifecycle
from controller.core.model import Attempt, Status
from controller.core.notices import EVERY
from controller.core.reaping import Reaper
from controller.core.sharing import Limits
from controller.engine import EngineSettings
from controller.ports import Cluster, EventWriter, Notifier, Store, Unavailable
from tests.fakes.memory_store import MemoryStore
from tests.fakes.memory_tellers import MemoryEvents, MemoryWebhook
from tests.oracle.history import Side
from tests.oracle.oracle import Oracle
from tests.oracle.state import Facts
from tests.simulation.answers import Answers
from tests.simulation.cluster import VirtualCluster
from tests.simulation.ears import Ears
from tests.simulation.explaining import Explainer, drive
from tests.simulation.failover import Primary
from tests.simulation.faults import Faults, Faulty
from tests.simulation.loop import VirtualLoop
from tests.simulation.process import Process, TrueClock
from tests.simulation.recorder import BY_UID, Recorder
from tests.simulation.scenario import Scenario
from tests.simulation.scripts import end_of, refusal_of, time_to_delete

SHORTEST = 0.0005
"""Seconds that a call takes at least."""
LEASE = 12.0
"""Seconds after which a lock whose holder is dead or paused may be taken by another."""


@dataclass(slots=True)
class Lock:
    """Who may lead. For efficiency only: safety must not rest on it, and split brain shows that."""

    holder: Process | None = None

    def take(self, process: Process, now: float) -> bool:
        """Take the lock, or keep it."""
        if self.holder is None or self.holder is process or self._lost(now):
            self.holder = process
            return True
        return False

    def _lost(self, now: float) -> bool:
        holder = self.holder
        assert holder is not None
        if holder.dead:
            return now - holder.died_at > LEASE
        return holder.paused_until - now > LEASE


def settings_of(scenario: Scenario) -> EngineSettings:
    """The engine's figures in this scenario: as in life, only shorter."""
    reaper = Reaper(
        created_after=timedelta(seconds=scenario.created_after),
        queued_after=timedelta(seconds=scenario.queued_after),
        running_after=timedelta(seconds=scenario.running_after) if scenario.running_after else None,
    )
    life = Lifecycle(
        hold=timedelta(seconds=scenario.hold), ttl=timedelta(seconds=scenario.ttl), reaper=reaper
    )
    return EngineSettings(
        life=life,
        interval=timedelta(seconds=scenario.interval),
        repair_after=timedelta(seconds=scenario.repair_after),
        limits=Limits(scenario.total, scenario.per_namespace, scenario.per_user),
        rate=scenario.rate,
        burst=10,
        concurrency=4,
        channels=EVERY if scenario.tells else frozenset(),
    )


def facts_of(scenario: Scenario) -> Facts:
    """What the judge is told about this scenario."""
    life = settings_of(scenario).life
    limits = {
        status: limit
        for status in (Status.CREATED, Status.QUEUED, Status.RUNNING)
        if (limit := life.reaper.limit(status))
    }
    return Facts(
        hold=life.hold,
        limits=limits,
        budgets={batch.name: batch.budgets for batch in scenario.batches},
        list_age=timedelta(seconds=scenario.interval * 1.5),
        patience=timedelta(seconds=scenario.patience),
        silence=timedelta(seconds=scenario.interval * 2),
        total=scenario.total,
        per_namespace=scenario.per_namespace,
        per_user=scenario.per_user,
        shows_ends=True,
        may_grow=False,
    )


@dataclass(slots=True)
class World:
    """Everything outside the processes. ``trouble``: what must not happen, beside the oracle's finds."""

    scenario: Scenario
    loop: VirtualLoop
    faults: Faults
    rng: random.Random
    clock: TrueClock = field(init=False)
    store: MemoryStore = field(init=False)
    cluster: VirtualCluster = field(init=False)
    events: MemoryEvents = field(init=False)
    webhook: MemoryWebhook = field(init=False)
    oracle: Oracle = field(init=False)
    recorder: Recorder = field(init=False)
    explainer: Explainer = field(init=False)
    primary: Primary = field(init=False)
    ears: Ears = field(init=False)
    answers: Answers = field(init=False)
    lock: Lock = field(default_factory=Lock)
    out: set[Side] = field(default_factory=set)
    trouble: list[str] = field(default_factory=list)
    calls: int = 0

    def __post_init__(self) -> None:
        self.clock = TrueClock(self.loop)
        self.store = MemoryStore(self.clock, seed=1)
        # This is no new installation: before the first good pass ever no silence is known as one.
        namespaces = sorted({batch.namespace for batch in self.scenario.batches})
        drive(self.store.note_good_pass(self.clock.now(), timedelta(), namespaces))
        self.primary = Primary(self)
        self.answers = Answers(self.trouble)
        self.ears = Ears(2 * self.scenario.patience, self.trouble)
        self.cluster = VirtualCluster(
            self.clock,
            lambda job: end_of(self.scenario, job),
            deletion=lambda job: time_to_delete(self.scenario, job),
            refuse=lambda job: refusal_of(self.scenario, job),
            nodes=("node-1", "node-2", "node-3"),
        )
        self.events, self.webhook = MemoryEvents(self.clock), MemoryWebhook(self.clock)
        self.oracle = Oracle(facts_of(self.scenario))
        self.recorder = Recorder(self.clock, self.store, self.cluster, self.oracle)
        settings = settings_of(self.scenario)
        self.explainer = Explainer(self.store, self.cluster, self.clock, settings, self.trouble)

    def ports(self, process: Process) -> tuple[Cluster, Store]:
        """The world as this process reaches it."""
        cluster = Faulty(self, process, "cluster", self.cluster)
        store = Faulty(self, process, "store", self.store)
        return cast(Cluster, cluster), cast(Store, store)

    def ways(self, process: Process) -> tuple[EventWriter, Notifier]:
        """Where people are told, as this process reaches it."""
        events = Faulty(self, process, "cluster", self.events)
        webhook = Faulty(self, process, "cluster", self.webhook)
        return cast(EventWriter, events), cast(Notifier, webhook)

    def delay(self, process: Process) -> float:
        """How long a call is under way, in seconds."""
        return SHORTEST + (self.scenario.latency - SHORTEST) * process.rng.random()

    def spoil(self) -> int:
        """How often a hint is heard: mostly once; -1: only after a later one."""
        if self.faults.healed:
            return 1
        chance, lost = self.rng.random(), self.scenario.hints_lost
        if chance < lost:
            return 0
        return -1 if chance < lost + self.scenario.reordered else 2 if chance > 0.97 else 1

    def reach(self, side: str) -> None:
        """Raise ``Unavailable`` while this side is out of reach."""
        if self.out and side in self.out:
            raise Unavailable(f"the {side} is out of reach")

    def set_weather(self, side: Side, *, out: bool) -> None:
        """Let a side go, or come back."""
        self.recorder.weather(side, out=out)
        if out:
            self.out.add(side)
        else:
            self.out.discard(side)

    def refuse(self, namespace: str, *, out: bool) -> None:
        """Let one namespace of the cluster go, or come back."""
        self.recorder.weather(Side.CLUSTER, out=out, namespace=namespace)
        if out:
            self.cluster.blind[namespace] = f"{namespace}: 403, forbidden"
        else:
            self.cluster.blind.pop(namespace, None)

    async def apply(
        self, process: Process, side: str, name: str, bound: Any, args: tuple[Any, ...], more: dict[str, Any]
    ) -> Any:
        """One call takes effect, in one instant; the judge sees what was before and what came of it."""
        self.calls += 1
        recorder = self.recorder
        recorder.catch_up()
        if name in BY_UID:
            recorder.asked(name, args)
        held = recorder.held(args[0], args[1]) if name == "delete" else None
        try:
            answer = await bound(*args, **more)
        finally:
            if held is not None:
                recorder.reached(held, args[2])
            recorder.catch_up(process.minted, ours=side == "cluster")
        if name == "next_epoch":
            process.minted = answer
        if self.calls % self.scenario.explain_every == 0:
            self.explainer.ask()
        return answer

    # -- what third parties see and do

    def objects(self) -> list[tuple[str, str, str]]:
        """Namespace, name and job id of everything in the cluster."""
        things = self.cluster._things.values()
        return [(thing.namespace, thing.name, thing.job_id) for thing in things]

    def records(self) -> list[Attempt]:
        """All records, in the order of their insertion."""
        return list(self.store._attempts.by_id.values())
