"""Shrinking: a smaller world and fewer faults, as long as the same invariant still breaks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from tests.simulation.play import Played, play
from tests.simulation.scenario import Scenario

MOST = 200
"""Schedules that are played for it, at most."""
_OFF: Mapping[str, Any] = {
    "bulk": 0,
    "edits": 0,
    "requests": 0,
    "mishaps": 0,
    "failovers": 0,
    "leftovers": False,
    "lingering": 0.0,
    "silent": 0.0,
    "orphans": 0,
    "torn": 0.0,
    "slow_lists": 0.0,
    "set_backs": 0,
    "refusals": 0,
    "reordered": 0.0,
    "hints_lost": 0.0,
    "skews": (),
    "total": None,
    "per_namespace": None,
    "per_user": None,
    "rate": 0.0,
    "running_after": 0.0,
    "replicas": 1,
    "split_brain": False,
}
"""What a schedule may go wrong without."""


@dataclass(slots=True)
class _Search:
    """The smallest failure so far. ``left``: schedules that may still be played."""

    scenario: Scenario
    best: Played
    broke: frozenset[str]
    """The invariants that the failure broke that is being shrunk: a smaller one must break one of them."""
    without: frozenset[int] = frozenset()
    left: int = MOST

    def tries(self, scenario: Scenario, without: frozenset[int]) -> bool:
        """Keep a smaller schedule if it still breaks what broke."""
        if self.left <= 0:
            return False
        self.left -= 1
        played = play(scenario, without=without)
        if not self.broke & set(played.invariants):
            return False
        self.scenario, self.best, self.without = scenario, played, without
        return True


def shrink(scenario: Scenario, failed: Played) -> Played:
    """The same failure in as small a world and after as few faults as can be found; ``small`` tells of it.

    The same seed is shrunk to the same story.
    """
    search, smaller = _Search(scenario, failed, frozenset(failed.invariants)), True
    while smaller:
        smaller = sum(search.tries(one, search.without) for one in _smaller(lambda: search.scenario)) > 0
    _leave_out(search)
    return replace(search.best, small=_figures(search.scenario))


def _smaller(now: Callable[[], Scenario]) -> Iterator[Scenario]:
    """One step smaller each, from what there is by then."""
    for name in [plan.name for plan in now().batches]:
        if len(left := tuple(plan for plan in now().batches if plan.name != name)):
            yield replace(now(), batches=left)
    for name, off in _OFF.items():
        if getattr(now(), name) != off:
            yield replace(now(), **{name: off})
    for fault in list(now().rates):
        yield replace(now(), rates={kind: rate for kind, rate in now().rates.items() if kind is not fault})
    for number in range(len(now().batches)):
        plan = now().batches[number]
        for tasks in sorted({1, plan.tasks // 2, plan.tasks - 1} - {0, plan.tasks}):
            few = [replace(p, tasks=tasks) if p.name == plan.name else p for p in now().batches]
            yield replace(now(), batches=tuple(few))


def _leave_out(search: _Search) -> None:
    """Faults, half of them at once at first, one by one at last."""
    size = max(1, len(search.best.faults) // 2)
    while size:
        numbers = sorted(_numbers(search.best))
        for at in range(0, len(numbers), size):
            search.tries(search.scenario, search.without | set(numbers[at : at + size]))
        size //= 2


def _numbers(played: Played) -> set[int]:
    """The numbers of the faults that struck."""
    return {int(fault.split("fault ")[1].split(":")[0]) for fault in played.faults}


def _figures(scenario: Scenario) -> str:
    """What is left of the world, in one line."""
    batches = ", ".join(f"{plan.name} of {plan.tasks} tasks, {plan.max} at once" for plan in scenario.batches)
    values = {name: getattr(scenario, name) for name in _OFF}
    left = [f"{name}={value}" for name, value in values.items() if value != _OFF[name]]
    rates = [f"{fault} {rate:g}" for fault, rate in scenario.rates.items()]
    return "; ".join((batches, *left, f"chances per call: {', '.join(rates) or 'none'}"))
