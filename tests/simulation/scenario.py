"""A scenario: every figure of one schedule, drawn from its seed, and nothing else."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from controller.core.model import Verdict
from tests.oracle.state import Budget
from tests.simulation.faults import Fault


@dataclass(frozen=True, slots=True)
class BatchPlan:
    """One batch of a scenario."""

    name: str
    tasks: int
    max: int
    priority: int = 0
    retry: tuple[Mapping[str, object], ...] = ()
    """The spec's rules, in their canonical form."""
    budgets: Mapping[Verdict, Budget] = field(default_factory=dict)
    """The same for the judge."""
    at: float = 0.0
    """When its spec is dropped, in seconds."""
    namespace: str = "lab"
    owner: str = "local:alice"


@dataclass(frozen=True, slots=True)
class Scenario:
    """One schedule's figures; durations in seconds, chances per call or per task."""

    seed: int
    batches: tuple[BatchPlan, ...]
    replicas: int = 1
    split_brain: bool = False
    duration: float = 240.0
    """How long faults strike; then everything heals."""
    interval: float = 15.0
    repair_after: float = 20.0
    latency: float = 0.05
    rate: float = 0.0
    total: int | None = None
    per_namespace: int | None = None
    per_user: int | None = None
    """The operator's limits over several batches."""
    hold: float = 600.0
    ttl: float = 120.0
    created_after: float = 120.0
    queued_after: float = 150.0
    running_after: float = 0.0
    start_deadline: float = 60.0
    longest_run: float = 30.0
    ends: Mapping[str, float] = field(default_factory=dict)
    """Weights of how attempts end, by the names in ``scripts``."""
    rates: Mapping[Fault, float] = field(default_factory=dict)
    most_faults: int = 40
    hints_lost: float = 0.1
    reordered: float = 0.0
    """The share of hints that come after later ones."""
    skews: tuple[float, ...] = ()
    requests: int = 0
    """How many things people ask for."""
    mishaps: int = 0
    """How many things happen around the engine: outages, hands, foreign objects, lost nodes, clock steps."""
    mishap_kinds: tuple[str, ...] = ()
    """Empty: all of them."""
    pause: float = 60.0
    late: float = 120.0
    patience: float = 90.0
    explain_every: int = 151
    leftovers: bool = False
    """Whether others have left objects under the batches' names."""
    hands: int = 3
    """How many of those are removed or replaced by hand, at most; the more, the faster one after another."""
    failovers: int = 0
    """How often the store's primary steps down."""
    bulk: int = 0
    """How many bulk retries a platform asks for."""
    edits: int = 0
    """How many edits of specs come beside those of maxConcurrent."""
    lingering: float = 0.0
    """The share of jobs whose object says finished while their pod still runs."""
    silent: float = 0.0
    """The share of jobs whose pod is gone for a while before their object says that it is finished."""
    orphans: int = 0
    """How many objects with our labels are there whose records are lost."""
    torn: float = 0.0
    """The share of streams of hints that end, break or tear after a while."""
    set_backs: int = 0
    """How often the database is set back to a copy from before some claims."""
    slow_lists: float = 0.0
    """The share of lists of the cluster that take long: what was read before them is old when they come."""
    refusals: int = 0
    """How often a namespace of the cluster refuses us for a while."""
    tells: bool = False
    """Whether people are told what happens."""


BIG_EVERY = 200
"""One schedule of so many is a big one."""
LEFTOVERS = 0.25
"""The share of schedules in which others have left objects under the batches' names."""
SELDOM = {
    Fault.LATE: 3.0,
    Fault.THROTTLED: 5.0,
    Fault.STALE: 5.0,
    Fault.CONFLICT: 5.0,
    Fault.DELAYED: 20.0,
    Fault.REPLACED: 20.0,
}
"""How much likelier faults are that few calls can meet."""
_LATER = (Fault.TIMEOUT, Fault.THROTTLED, Fault.CONFLICT, Fault.DELAYED, Fault.REPLACED)
_ENDS = {"ok": 10.0, "mount": 2.0, "config": 0.7, "oom": 0.7, "disrupted": 0.7}
_ODD_ENDS = {"never-starts": 0.8, "killed": 0.4, "crash": 0.5, "no-pull": 0.4, "refused": 0.3, "lies": 0.3}


def draw(seed: int) -> Scenario:
    """The scenario of a seed; the last one of every ``BIG_EVERY`` is big."""
    if seed % BIG_EVERY == BIG_EVERY - 1:
        return _with_more(_big(_drawn(seed)))
    return _with_more(_drawn(seed))


def _with_more(scenario: Scenario) -> Scenario:
    """What came to the simulator later, each from a stream of its own: earlier seeds stay what they were."""
    seed, batches = scenario.seed, scenario.batches
    more: dict[str, Any] = {}
    rng = random.Random(f"limits {seed}")
    if len(batches) > 1 and rng.random() < 0.5:
        space, owner = rng.choice(("lab", "other-lab")), rng.choice(("local:alice", "local:bob"))
        more["batches"] = (*batches[:-1], replace(batches[-1], namespace=space, owner=owner))
        more["per_namespace"] = rng.choice((None, 2, 5))
        more["per_user"] = rng.choice((None, 2, 5))
    rng = random.Random(f"failovers {seed}")
    more["failovers"] = rng.choice((0, 0, 1, 2))
    rng = random.Random(f"reordered {seed}")
    more["reordered"] = rng.choice((0.0, 0.0, 0.1, 0.3))
    rng = random.Random(f"bulk {seed}")
    more["bulk"] = rng.choice((0, 0, 0, 1, 3))
    rng = random.Random(f"edits {seed}")
    more["edits"] = rng.choice((0, 0, 2, 5))
    rng = random.Random(f"lingering {seed}")
    more["lingering"] = rng.choice((0.0, 0.0, 0.2))
    rng = random.Random(f"silent {seed}")
    more["silent"] = rng.choice((0.0, 0.0, 0.0, 0.3))
    rng = random.Random(f"orphans {seed}")
    more["orphans"] = rng.choice((0, 0, 0, 2, 6))
    rng = random.Random(f"torn {seed}")
    more["torn"] = rng.choice((0.0, 0.0, 0.0, 0.5))
    rng = random.Random(f"set back {seed}")
    more["set_backs"] = rng.choice((0, 0, 0, 0, 1, 2))
    rng = random.Random(f"refusals {seed}")
    more["refusals"] = rng.choice((0, 0, 0, 1, 2))
    rng = random.Random(f"slow lists {seed}")
    more["slow_lists"] = rng.choice((0.0, 0.0, 0.0, 0.1))
    rng = random.Random(f"more rates {seed}")
    rates = dict(scenario.rates)
    for fault in _LATER:
        if rng.random() < 0.5:
            rates[fault] = rng.choice((0.002, 0.01))
    more["rates"] = {fault: rate * SELDOM.get(fault, 1.0) for fault, rate in rates.items()}
    return replace(scenario, **more)


def _big(scenario: Scenario) -> Scenario:
    """The same weather over hundreds of tasks: fewer faults, and everything goes faster."""
    rng = random.Random(f"big {scenario.seed}")
    tasks = int(50 * 10 ** rng.random())
    batches = tuple(
        replace(plan, tasks=max(1, tasks // len(scenario.batches)), max=rng.randint(10, 60))
        for plan in scenario.batches
    )
    return replace(
        scenario,
        batches=batches,
        most_faults=rng.randint(5, 30),
        duration=rng.uniform(40, 100),
        rates={fault: rate / 5 for fault, rate in scenario.rates.items()},
        rate=0.0,
        total=rng.choice((None, None, 40)),
        longest_run=30.0,
        explain_every=4999,
        leftovers=False,
    )


def _drawn(seed: int) -> Scenario:
    rng = random.Random(f"scenario {seed}")
    replicas = rng.choice((1, 1, 2, 2, 3))
    pause = rng.uniform(20, 90)
    return Scenario(
        seed=seed,
        batches=_batches(rng),
        replicas=replicas,
        split_brain=replicas > 1 and rng.random() < 0.5,
        duration=rng.uniform(60, 200),
        interval=rng.choice((5.0, 10.0, 15.0)),
        latency=rng.choice((0.002, 0.05, 0.4)),
        rate=rng.choice((0.0, 0.0, 5.0, 1.0)),
        total=rng.choice((None, None, None, 3, 5)),
        hold=rng.choice((240.0, 600.0)),
        ttl=rng.choice((5.0, 60.0, 300.0)),
        created_after=rng.uniform(60, 200),
        queued_after=rng.uniform(60, 200),
        running_after=rng.choice((0.0, 0.0, 100.0)),
        start_deadline=rng.choice((30.0, 60.0, 400.0)),
        longest_run=rng.choice((5.0, 30.0, 60.0)),
        ends=_ENDS | (_ODD_ENDS if rng.random() < 0.5 else {}),
        rates=_rates(rng),
        most_faults=rng.randint(5, 40),
        hints_lost=rng.choice((0.0, 0.1, 0.5, 1.0)),
        skews=tuple(rng.choice((0.0, 0.0, 5.0, -5.0, 3600.0, -3600.0)) for _ in range(replicas)),
        requests=rng.choice((0, 4, 12)),
        mishaps=rng.choice((0, 3, 8)),
        pause=pause,
        late=rng.uniform(10, 150),
        patience=pause + 30,
        leftovers=random.Random(f"leftovers {seed}").random() < LEFTOVERS,
    )


def _batches(rng: random.Random) -> tuple[BatchPlan, ...]:
    names = rng.choice((("scan",), ("scan",), ("scan", "scan-iron"), ("scan", "scan-iron", "leaf")))
    return tuple(_batch(rng, name) for name in names)


def _batch(rng: random.Random, name: str) -> BatchPlan:
    retry, budgets = _rules(rng)
    return BatchPlan(
        name,
        tasks=rng.randint(3, 14),
        max=rng.randint(1, 5),
        priority=rng.choice((0, 0, 5)),
        retry=retry,
        budgets=budgets,
        at=rng.choice((0.0, rng.uniform(0, 30))),
    )


def _rules(rng: random.Random) -> tuple[tuple[Mapping[str, object], ...], Mapping[Verdict, Budget]]:
    """Rules on verdicts only, so that the judge can count by verdict."""
    rules, budgets = [], {}
    for verdict in (Verdict.MOUNT_FAILURE, Verdict.OUT_OF_MEMORY, Verdict.LOST):
        if rng.random() < 0.6:
            limit, base = rng.randint(1, 4), rng.choice((2, 10))
            rules.append(
                {
                    "on": {"verdict": [verdict.value]},
                    "limit": limit,
                    "backoff": {"base": f"{base}s", "factor": 2, "max": "20s"},
                    "when": rng.choice(("now", "now", "batch-end")),
                }
            )
            budgets[verdict] = Budget(limit, base, 2.0, 20.0)
    return tuple(rules), budgets


def _rates(rng: random.Random) -> Mapping[Fault, float]:
    """Some kinds of faults, each with its own chance per call."""
    kinds = [fault for fault in Fault if fault not in _LATER and rng.random() < 0.6]
    return {fault: rng.choice((0.002, 0.01, 0.03)) for fault in kinds}
