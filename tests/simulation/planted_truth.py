"""Bugs to plant into what is recorded of an end: its exit code, and what it is called."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from controller import deeds
from controller.core import decide, verdict
from controller.core.change import Change
from controller.core.model import Attempt, Status, Verdict
from controller.core.verdict import Ruling
from tests.simulation.planted import Bug, Patch


def exit_one_is_unknown(patch: Patch) -> None:
    """Exit 1 is an end that nobody can explain: its people look for it in the cluster."""

    def exit_one(case: Any) -> Ruling | None:
        return Ruling(Verdict.UNKNOWN, "exit code 1") if case.exit_code == 1 else None

    rules = tuple(exit_one if rule is verdict._exit_one else rule for rule in verdict.RULES)
    patch.setattr(verdict, "RULES", rules)


def _recorded(patch: Patch, fields: Callable[[Mapping[str, object]], Mapping[str, object]]) -> None:
    original = decide.ended

    def ended(*given: Any) -> Change:
        change = original(*given)
        return replace(change, fields=dict(fields(change.fields)))

    patch.setattr(deeds, "ended", ended)


def failure_is_lost(patch: Patch) -> None:
    """What failed by itself, and shows how, is lost: it is tried again for what nobody did to it."""

    def fields(told: Mapping[str, object]) -> Mapping[str, object]:
        own = told["verdict"] in (Verdict.APPLICATION_ERROR, Verdict.OUT_OF_MEMORY)
        return {**told, "verdict": Verdict.LOST} if own else told

    _recorded(patch, fields)


def exit_code_left_out(patch: Patch) -> None:
    """The verdict says it all."""
    _recorded(patch, lambda told: {**told, "exit_code": None})


def cancelled_is_reaped(patch: Patch) -> None:
    """Whoever ordered an end, automation did."""
    original = decide._as_ordered

    def as_ordered(job: Attempt, otherwise: Verdict) -> tuple[Status, dict[str, object]]:
        status, more = original(job, otherwise)
        return status, more | ({"verdict": Verdict.REAPED} if status is Status.TERMINATED else {})

    patch.setattr(decide, "_as_ordered", as_ordered)


def given_up_is_lost(patch: Patch) -> None:
    """Why an attempt was given up is forgotten by the time it has ended."""
    original = decide._as_ordered

    def as_ordered(job: Attempt, otherwise: Verdict) -> tuple[Status, dict[str, object]]:
        status, more = original(job, otherwise)
        return status, more | ({"verdict": Verdict.LOST} if status is Status.ERROR and job.stop else {})

    patch.setattr(decide, "_as_ordered", as_ordered)


_STOPPED: dict[str, Any] = {"requests": 40, "longest_run": 60.0, "rates": {}, "mishaps": 0}

TRUTH_BUGS: tuple[Bug, ...] = (
    Bug("exit 1 is unknown", exit_one_is_unknown, {}),
    Bug("a failure is lost", failure_is_lost, {}),
    Bug("the exit code is left out", exit_code_left_out, {}),
    Bug("a cancel is a reaping", cancelled_is_reaped, _STOPPED),
    Bug("given up is lost", given_up_is_lost, {"ends": {"never-starts": 1.0, "ok": 1.0}}),
)
