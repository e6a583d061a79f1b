"""How jobs end in a scenario: drawn from the seed and the attempt's name, whenever it is created."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping

from controller.core.copying import replace
from controller.ports import NewJob
from tests.fakes.memory_objects import End
from tests.simulation.scenario import Scenario

_Ending = Callable[[float, float], End]

ENDINGS: Mapping[str, _Ending] = {
    "ok": lambda starts, runs: End(starts, runs, 0, log="done"),
    "mount": lambda starts, runs: End(starts, runs, 2, log="files not found"),
    "config": lambda starts, runs: End(starts, runs, 1, log="no such trait"),
    "oom": lambda starts, runs: End(starts, runs, 137, container_reason="OOMKilled"),
    "disrupted": lambda starts, runs: End(
        starts, runs, 143, pod_reason="Evicted", conditions=("DisruptionTarget",)
    ),
    "killed": lambda starts, runs: End(starts, runs, 137),
    "crash": lambda starts, runs: End(starts, runs, 3, log="Traceback"),
    "never-starts": lambda starts, runs: End(
        None, None, waiting="ContainerCreating", events=("FailedMount: timed out waiting for the condition",)
    ),
    "no-pull": lambda starts, runs: End(None, None, waiting="ImagePullBackOff"),
    "lies": lambda starts, runs: End(starts, runs, None, pod_reason="NodeLost"),
    "refused": lambda starts, runs: End(starts, runs, 0),
}
"""By name: seconds until it starts and seconds that it runs → the script."""


def _draw(scenario: Scenario, job: NewJob) -> tuple[str, random.Random]:
    rng = random.Random(f"{scenario.seed} {job.name}")
    names = list(scenario.ends or {"ok": 1.0})
    (name,) = rng.choices(names, [scenario.ends.get(name, 1.0) for name in names])
    if job.attempt >= 3 and rng.random() < 0.5:
        name = "ok"
    return name, rng


def end_of(scenario: Scenario, job: NewJob) -> End:
    """The script of this attempt."""
    name, rng = _draw(scenario, job)
    end = ENDINGS[name](rng.choice((0.0, rng.uniform(0, 10))), rng.uniform(0.1, scenario.longest_run))
    if scenario.lingering and rng.random() < scenario.lingering:
        return replace(end, lingers=rng.uniform(1, 60))
    if scenario.silent and rng.random() < scenario.silent:
        begins = rng.choice((0.0, 0.0, rng.uniform(0, 5)))
        return replace(end, silent=(begins, begins + rng.uniform(0.1, 40)))
    return end


def refusal_of(scenario: Scenario, job: NewJob) -> str:
    """Why the cluster refuses this attempt for good; empty: it does not."""
    return "admission webhook denied the request" if _draw(scenario, job)[0] == "refused" else ""


def time_to_delete(scenario: Scenario, job: NewJob) -> float:
    """How long its pod lingers once it is deleted."""
    rng = random.Random(f"{scenario.seed} {job.name} deletion")
    return rng.choice((0.0, rng.uniform(0, 5), rng.uniform(0, 40)))
