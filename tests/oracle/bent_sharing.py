"""Places beyond an operator's limits, and a request that is answered twice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from controller.core.model import Origin
from tests.oracle.histories import Tale
from tests.oracle.invariants import Invariant


def _two_places(tale: Tale, **limits: int) -> None:
    facts: Any = limits
    tale.oracle.state.facts = replace(tale.oracle.state.facts, **facts)
    tale.begin("a", "c")
    tale.run("a")
    tale.run("c", "v", 1)


def beyond_the_total(tale: Tale) -> None:
    """Two places where all batches may have one."""
    _two_places(tale, total=1)


def beyond_the_namespace(tale: Tale) -> None:
    """Two places where a namespace may have one."""
    _two_places(tale, per_namespace=1)


def beyond_the_user(tale: Tale) -> None:
    """Two places where a user may have one."""
    _two_places(tale, per_user=1)


def answered_twice(tale: Tale) -> None:
    """A request that was sent again retries what it had retried."""
    tale.begin("a")
    tale.run("a")
    tale.end("a", exit_code=1)
    child = tale.retry("a", origin=Origin.USER, request_id="bulk")
    tale.run(child, "v")
    tale.end(child, "v", exit_code=1)
    tale.retry(child, origin=Origin.USER, request_id="bulk")


BENT_SHARES: tuple[tuple[Callable[[Tale], None], Invariant], ...] = (
    (beyond_the_total, Invariant.PLACES),
    (beyond_the_namespace, Invariant.PLACES),
    (beyond_the_user, Invariant.PLACES),
    (answered_twice, Invariant.ONCE),
)
