"""Bugs to plant: each takes one safety rule out of the engine, or out of a store, for the time of a test."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from controller import acting, batch_deeds, deeds, lifecycle, looking, reconcile, surroundings
from controller.core import decide, plan, reaping, retry, rules
from controller.core.change import Change
from controller.core.machine import TABLE, Event, Guard
from controller.core.model import Gate, Holder, Status, Verdict
from controller.core.view import View
from controller.engine import Engine
from controller.ports import Rejected, Unavailable
from tests.fakes import memory_changes
from tests.fakes.memory_batches import MemoryBatches
from tests.fakes.memory_cluster import MemoryCluster
from tests.simulation.faults import Fault

Patch = pytest.MonkeyPatch


@dataclass(frozen=True, slots=True)
class Bug:
    """One planted bug. ``sows`` patches it in; ``figures`` lets the scenario come to the point."""

    name: str
    sows: Callable[[Patch], None]
    figures: dict[str, Any]
    first: int = 0
    """Where the hunt begins: a rare one is not looked for from 0 on every run."""


def without_guards(patch: Patch, event: Event, *guards: Guard) -> None:
    """Take guards out of a row of the table."""
    row = TABLE[event]
    patch.setitem(TABLE, event, replace(row, guards=row.guards - frozenset(guards)))


def only_running_counts(patch: Patch) -> None:
    """The predecessor's mistake: the gate counts running jobs only."""

    async def claim(
        store: MemoryBatches, batch_id: str, places: Any, epoch: int, leaving: Iterable[str] = ()
    ) -> Gate | None:
        gate, gone = store._gates[batch_id], set(leaving)
        stay = [h for h in gate.holders if h.job not in gone]
        running = [h for h in stay if store._attempts.by_id[h.job].status is Status.RUNNING]
        if gate.epoch > epoch or not gate.open or gate.max - len(running) < len(places):
            return None
        holders = (*stay, *(Holder(job, slot) for job, slot in places))
        store._put_gate(replace(gate, holders=holders, epoch=epoch))
        return store._gates[batch_id]

    patch.setattr(MemoryBatches, "claim", claim)
    patch.setattr(plan, "room", lambda gate, view: gate.max)
    patch.setattr(looking, "_with_line", _long_line(looking._with_line))


def _long_line(original: Any) -> Any:
    async def with_line(engine: Any, view: View) -> View:
        seen = await original(engine, replace(view, gate=replace(view.gate, holders=(), foreign=())))
        shown: View = replace(seen, gate=view.gate)
        return shown

    return with_line


def freed_on_404(patch: Patch) -> None:
    """A stopped attempt ends as soon as its name answers 404, whatever is under way."""
    patch.setattr(decide, "_settled", lambda job, now, life: True)
    for event in (Event.NEVER_CREATED, Event.VANISHED):
        without_guards(patch, event, Guard.CREATES_SETTLED)


def no_uid_precondition(patch: Patch) -> None:
    """A delete goes by name alone."""

    async def delete(cluster: MemoryCluster, namespace: str, name: str, uid: str) -> None:
        cluster._reach(namespace)
        cluster._delete(cluster._things.get((namespace, name)))
        cluster._settle()

    patch.setattr(MemoryCluster, "delete", delete)


def lost_from_the_list(patch: Patch) -> None:
    """What a list doesn't show is believed to be gone, without asking live."""
    original = decide.next_move

    def next_move(job: Any, sight: Any, now: datetime, life: Any) -> Any:
        return original(job, replace(sight, live=True) if sight.job is None else sight, now, life)

    patch.setattr(plan, "next_move", next_move)


def lost_from_any_list(patch: Patch) -> None:
    """Absence is judged from lists asked for before the record was read (R11), and without asking live."""
    lost_from_the_list(patch)
    original = looking._sights

    def sights(batch: Any, jobs: Any, seen: Any, scene: Any, read_at: float) -> Any:
        return original(batch, jobs, seen, scene, float("-inf"))

    patch.setattr(looking, "_sights", sights)


def toggle_before_parents(patch: Patch) -> None:
    """The toggle is set before anybody was told."""
    original = lifecycle.complete

    async def complete(store: Any, children: Any) -> lifecycle.Completed:
        await store.toggle([child.id for child in children])
        return await original(store, children)

    patch.setattr(lifecycle, "complete", complete)


def leaves_before_retry(patch: Patch) -> None:
    """An ended attempt gives its place back before its retry is recorded."""
    act = acting.act

    async def acted(engine: Any, view: View, steps: Any, trial: Any) -> bool:
        trial.owed.clear()  # whether or not a retry is owed
        left = await act(engine, view, [step for step in steps if isinstance(step, plan.Leave)], trial)
        rest = [step for step in steps if not isinstance(step, plan.Leave)]
        return await act(engine, view, rest, trial) or left

    patch.setattr(reconcile, "act", acted)


def timeout_is_failure(patch: Patch) -> None:
    """A create without an answer is taken for a refusal."""
    original = deeds._post

    async def post(engine: Any, view: Any, job: Any, token: str, epoch: int) -> None:
        try:
            await original(engine, view, job, token, epoch)
        except Unavailable as error:
            await deeds._refused(engine, view.life, job, token, Rejected(str(error)))

    patch.setattr(deeds, "_post", post)


def counter_without_memory(patch: Patch) -> None:
    """The retry counter starts anew with each attempt."""
    patch.setattr(retry, "used", lambda chain, rule, all_rules: 0)
    patch.setattr(retry, "used_in_sum", lambda chain: 0)


def reaper_without_entry(patch: Patch) -> None:
    """The reaper stops without comparing what it read, and by its own wrong clock."""
    without_guards(patch, Event.OVERDUE, Guard.SAME_ENTRY, Guard.PAST_LIMIT)
    original = reaping.overdue

    def overdue(job: Any, now: datetime, reaper: Any) -> Any:
        return original(job, now, replace(reaper, trusted=True))

    patch.setattr(decide, "overdue", overdue)
    patch.setattr(Engine, "now", lambda engine: engine.clock.now())


def outages_count(patch: Patch) -> None:
    """The reaper counts the time in which nobody could look."""

    async def none(store: MemoryBatches) -> dict[str, list[tuple[datetime, datetime]]]:
        return {}

    patch.setattr(MemoryBatches, "blind_gaps", none)
    patch.setattr(surroundings, "has_been_seeing", lambda engine, namespace: True)


def epoch_ignored(patch: Patch) -> None:
    """The store asks nobody for an epoch."""
    original = memory_changes._allows

    def allows(job: Any, row: Any, change: Any, target: Any, epoch: Any, now: Any) -> bool:
        return original(job, row, change, target, None, now)

    patch.setattr(memory_changes, "_allows", allows)
    claim = MemoryBatches.claim

    async def any_claim(
        store: MemoryBatches, batch_id: str, places: Any, epoch: int, leaving: Iterable[str] = ()
    ) -> Gate | None:
        return await claim(store, batch_id, places, max(epoch, store._gates[batch_id].epoch), leaving)

    patch.setattr(MemoryBatches, "claim", any_claim)


def ends_while_pod_lingers(patch: Patch) -> None:
    """Nobody asks whether a pod is left."""
    original = decide._absent

    def absent(job: Any, sight: Any, now: datetime, life: Any) -> Any:
        return original(job, replace(sight, pods=0), now, life)

    patch.setattr(decide, "_absent", absent)


def burial_skipped(patch: Patch) -> None:
    """The record says buried, and nothing is under the name."""

    async def bury(engine: Any, view: Any, job: Any) -> bool:
        buried = Change(job.id, Event.BURIED, decide.Reason.NAME_BURIED, fields={"tombstone": True})
        return await engine.apply(job, buried) is not None

    patch.setattr(deeds, "_bury", bury)


def token_removed_on_timeout(patch: Patch) -> None:
    """A create without an answer closes its token."""
    original = deeds._post

    async def post(engine: Any, view: Any, job: Any, token: str, epoch: int) -> None:
        try:
            await original(engine, view, job, token, epoch)
        except Unavailable:
            await deeds._close(engine, job, token)
            raise

    patch.setattr(deeds, "_post", post)


def paused_ignored(patch: Patch) -> None:
    """Pause, hold and cancel keep nothing from starting."""
    patch.setattr(Gate, "open", property(lambda gate: True))
    original = plan.block

    def block(view: View) -> Any:
        return original(replace(view, gate=replace(view.gate, paused=False)))

    patch.setattr(plan, "block", block)


def exit_one_retried(patch: Patch) -> None:
    """A configuration error is retried like a mount failure."""
    patch.setattr(retry, "_never", lambda newest: None)
    rule = rules._builtin(Verdict.CONFIGURATION_ERROR, 3, 1)
    patch.setattr(rules, "BUILTIN", (*rules.BUILTIN, rule))


def foreign_not_counted(patch: Patch) -> None:
    """What others start under the prefix is not seen."""
    patch.setattr(plan, "_count_foreign", lambda view: iter(()))
    patch.setattr(plan, "room", lambda gate, view: gate.free)


def back_off_ignored(patch: Patch) -> None:
    """A retry waits for nothing."""
    patch.setattr(retry, "delay", lambda backoff, n, jitter: timedelta())


def expired_at_once(patch: Patch) -> None:
    """A finished object may go while a create that timed out can still land on its name."""
    original = decide._after_the_end

    def after_the_end(job: Any, found: Any, sight: Any, now: datetime, life: Any) -> Any:
        return original(replace(job, open_creates=()), found, sight, now, replace(life, ttl=timedelta()))

    patch.setattr(decide, "_after_the_end", after_the_end)


def acts_on_foreign(patch: Patch) -> None:
    """The oldest mistake: whoever sits on the name is deleted."""
    original = deeds._post

    async def post(engine: Any, view: Any, job: Any, token: str, epoch: int) -> None:
        await original(engine, view, job, token, epoch)
        live = await engine.cluster.get(job.namespace, job.name, job.id)
        if live.foreign_uid:
            await engine.cluster.delete(job.namespace, job.name, live.foreign_uid)

    async def delete(cluster: MemoryCluster, namespace: str, name: str, uid: str) -> None:
        cluster._reach(namespace)
        cluster._delete(cluster._held(namespace, name, uid))
        cluster._settle()

    patch.setattr(deeds, "_post", post)
    patch.setattr(MemoryCluster, "delete", delete)


def dropped_unasked(patch: Patch) -> None:
    """A foreign object that a list does not show is counted no more, without asking live."""

    async def check(engine: Any, view: View, step: Any) -> bool:
        await engine.store.drop_foreign(view.batch.id, step.object.uid)
        return True

    patch.setattr(batch_deeds, "check_foreign", check)


_LATE = {"rates": {Fault.LATE: 0.2, Fault.SLOW: 0.02}, "requests": 12, "split_brain": False}
_OUTLIVED = _LATE | {"late": 150.0, "longest_run": 5.0, "requests": 0, "mishaps": 0}
_CRASHES = {"rates": {Fault.CRASH_BEFORE: 0.03}, "most_faults": 200, "duration": 200.0, "requests": 0}
_HANDS = {"mishaps": 20, "mishap_kinds": ("hand",), "requests": 0, "longest_run": 60.0}
_OTHERS = {"mishaps": 12, "mishap_kinds": ("foreign", "squatter")}
_OUTAGES = {
    "mishaps": 12,
    "mishap_kinds": ("outage of the cluster", "outage of the store"),
    "rates": {},
    "requests": 0,
    "queued_after": 60.0,
    "interval": 5.0,
}
_REPLACED = {"rates": {Fault.REPLACED: 0.3}, "requests": 20, "longest_run": 60.0}

BUGS: tuple[Bug, ...] = (
    Bug("only running jobs count", only_running_counts, {}),
    Bug("slot freed on 404", freed_on_404, _LATE),
    Bug("no uid precondition", no_uid_precondition, _REPLACED),
    Bug("lost judged from the list", lost_from_any_list, {}),
    Bug("toggle before parents", toggle_before_parents, {}),
    Bug("leaves before the retry is recorded", leaves_before_retry, _CRASHES),
    Bug("timeout taken for a failure", timeout_is_failure, _LATE),
    Bug("retry counter without memory", counter_without_memory, {}),
    Bug("reaper without compare-and-set", reaper_without_entry, {}),
    Bug("outages count for the reaper", outages_count, _OUTAGES),
    Bug("epoch ignored", epoch_ignored, {}),
    Bug("terminal write while a pod lingers", ends_while_pod_lingers, _HANDS),
    Bug("burial skipped", burial_skipped, _LATE),
    Bug("token removed on timeout", token_removed_on_timeout, _LATE),
    Bug("paused ignored", paused_ignored, {}),
    Bug("exit 1 retried", exit_one_retried, {}),
    Bug("foreign not counted", foreign_not_counted, _OTHERS),
    Bug("back-off ignored", back_off_ignored, {}),
    Bug("result expires while a create is open", expired_at_once, _OUTLIVED),
    Bug("foreign object deleted", acts_on_foreign, _OTHERS),
    Bug("foreign object dropped unasked", dropped_unasked, _OTHERS),
)


@contextmanager
def planted(bug: Bug) -> Iterator[None]:
    """The engine with this bug in it."""
    with pytest.MonkeyPatch.context() as patch:
        bug.sows(patch)
        yield
