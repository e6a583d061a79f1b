"""Bugs to plant into what holds starts back, and into what a retry is: of which task, how late, how often."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, cast

from controller import acting, batch_deeds, deeds, retrying
from controller.core import plan, retry, rules, systemic
from controller.core.model import Attempt, Halts
from controller.core.sight import Observation
from controller.core.view import View
from controller.daemon import Daemon
from controller.ports import Store, Unavailable
from tests.fakes.memory_cluster import MemoryCluster
from tests.simulation.faults import Fault
from tests.simulation.planted import Bug, Patch
from tests.simulation.scenario import BatchPlan


def _creates_as_if(patch: Patch, seen: Callable[[View], View]) -> None:
    original = plan.startable

    def startable(view: View) -> frozenset[str]:
        return original(seen(view))

    patch.setattr(plan, "startable", startable)
    patch.setattr(deeds, "startable", startable)


def creates_while_halted(patch: Patch) -> None:
    """A halt keeps places from being taken, and no create of what has its place."""
    _creates_as_if(patch, lambda view: replace(view, halts=Halts()))


def creates_when_full(patch: Patch) -> None:
    """What has its place is created whatever has come into the gate since."""
    _creates_as_if(patch, lambda view: replace(view, gate=replace(view.gate, max=10_000)))


def waits_twice_as_long(patch: Patch) -> None:
    """A back-off takes twice its time."""
    patch.setattr(retry, "delay", lambda *given: 2 * rules.delay(*given))


def _children(patch: Patch, bent: Callable[[Attempt], Attempt]) -> None:
    original = retry.new_child
    for module in (acting, retrying):
        patch.setattr(module, "new_child", lambda *given, **more: bent(original(*given, **more)))


def retries_another_image(patch: Patch) -> None:
    """A retry takes the image as it is called today."""

    def newest(child: Attempt) -> Attempt:
        return replace(child, job_input=replace(child.job_input, image="image:latest"))

    _children(patch, newest)


def retries_for_another(patch: Patch) -> None:
    """A retry belongs to the daemon."""
    _children(patch, lambda child: replace(child, user="batchkeeper"))


def gives_up_early(patch: Patch) -> None:
    """A limit counts attempts, and not retries."""
    original = retry._not_by

    def not_by(rule: Any, chain: Any, all_rules: Any, most: int) -> Any:
        if rules.used(chain, rule, all_rules) >= rule.limit - 1:
            return retry._no(retry.RetryReason.LIMIT, "all attempts are used up", rule)
        return original(rule, chain, all_rules, most)

    patch.setattr(retry, "_not_by", not_by)


def counts_for_ever(patch: Patch) -> None:
    """What others ran goes on counting when it is over."""

    async def check(*given: Any) -> bool:
        return False

    patch.setattr(batch_deeds, "check_foreign", check)


def refused_is_empty(patch: Patch) -> None:
    """A namespace that may not be listed is one in which nothing is."""

    async def observe(cluster: MemoryCluster, namespaces: Sequence[str]) -> Observation:
        cluster._reach()
        seen = cluster.snapshot([name for name in namespaces if name not in cluster.blind])
        return replace(seen, namespaces=frozenset(namespaces))

    patch.setattr(MemoryCluster, "observe", observe)


def brake_for_five(patch: Patch) -> None:
    """Five that failed alike are nearly all."""
    patch.setattr(systemic, "ENOUGH", 5)


def brake_never(patch: Patch) -> None:
    """Whatever fails alike, the rest is burnt too."""
    patch.setattr(plan, "systemic_failure", lambda first: None)


class _Sure:
    """A store whose stamp is taken for done when it has no answer."""

    def __init__(self, store: Any) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def stamp(self, epoch: int) -> None:
        """Whatever came of it."""
        with contextlib.suppress(Unavailable):
            await self._store.stamp(epoch)


def half_a_stamp_will_do(patch: Patch) -> None:
    """A new leader takes its stamp for done when it has no answer."""
    original = Daemon.lead

    async def lead(daemon: Daemon, who: str) -> int:
        store = daemon.engine.store
        daemon.engine.store = cast(Store, _Sure(store))
        try:
            return await original(daemon, who)
        finally:
            daemon.engine.store = store

    patch.setattr(Daemon, "lead", lead)


_PATIENT: dict[str, Any] = {"pause": 5.0, "patience": 20.0, "requests": 30, "most_faults": 200}
_REFUSED = _PATIENT | {"rates": {Fault.CONFLICT: 0.5, Fault.FAILED: 0.02}}
_CROWDED = _PATIENT | {
    "rates": {Fault.CONFLICT: 0.9},
    "most_faults": 2000,
    "interval": 5.0,
    "mishaps": 30,
    "mishap_kinds": ("foreign",),
}
_FAILING: dict[str, Any] = {"ends": {"mount": 5.0, "ok": 1.0}, "rates": {}, "mishaps": 0}
_NEIGHBOURS = {"mishaps": 20, "mishap_kinds": ("foreign",), "interval": 5.0, "longest_run": 60.0} | _PATIENT
_UNSURE: dict[str, Any] = {
    "replicas": 1,
    "split_brain": False,
    "rates": {Fault.REPLY_LOST: 0.15, Fault.CRASH_BEFORE: 0.02},
    "longest_run": 60.0,
    "requests": 0,
    "mishaps": 0,
    "most_faults": 4000,
    "skews": (),
}
_FORBIDDEN = _PATIENT | {
    "batches": (BatchPlan("scan", 12, 8),),
    "ends": {"mount": 5.0, "ok": 1.0},
    "longest_run": 10.0,
    "interval": 5.0,
    "refusals": 8,
    "rates": {},
    "mishaps": 0,
    "requests": 0,
}
_DOOMED = _PATIENT | {
    "batches": (BatchPlan("scan", 40, 4),),
    "ends": {"oom": 1.0},
    "rates": {},
    "mishaps": 0,
    "requests": 0,
}

BRAKE_BUGS: tuple[Bug, ...] = (
    Bug("a halt keeps no create back", creates_while_halted, _REFUSED),
    Bug("a full gate keeps no create back", creates_when_full, _CROWDED),
    Bug("a back-off takes twice its time", waits_twice_as_long, {}),
    Bug("a retry runs another image", retries_another_image, {}),
    Bug("a retry is another's", retries_for_another, {}),
    Bug("given up one retry early", gives_up_early, _FAILING),
    Bug("a refused namespace is empty", refused_is_empty, _FORBIDDEN),
    Bug("the brake for five", brake_for_five, _DOOMED),
    Bug("no brake", brake_never, _DOOMED),
    Bug("half a stamp will do", half_a_stamp_will_do, _UNSURE),
    Bug("what is over goes on counting", counts_for_ever, _NEIGHBOURS),
)
