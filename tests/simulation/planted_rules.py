"""Bugs to plant, one for each rule that the first ones left whole, those of ``planted_gate`` among them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from controller import acting, deeds, looking
from controller.core import decide, plan, retry, rules, verdict
from controller.core.change import Change
from controller.core.decide import Act, Move, Reason, Sight
from controller.core.machine import Event, Guard
from controller.core.model import Attempt, Status, Verdict
from controller.core.verdict import Ruling
from controller.core.view import View
from controller.engine import Engine
from controller.ports import NewJob, StaleEpoch, Unavailable
from tests.fakes import memory_changes
from tests.fakes.memory_batches import MemoryBatches
from tests.fakes.memory_store import MemoryStore
from tests.simulation.faults import Fault
from tests.simulation.planted import Bug, Patch, without_guards
from tests.simulation.planted_gate import (
    any_prefix,
    foreign_not_asked_again,
    halts_ignored,
    known_by_name,
    limits_forgotten,
    lost_gate_stays_lost,
    max_not_asked_again,
    old_list_will_do,
    owed_retry_lost_with_the_gate,
    place_given_back,
    shut_not_asked_again,
    unanchored,
)

# ------------------------------------------------------------------------------------------------- retries


def stop_forgotten(patch: Patch) -> None:
    """How it ended is judged as if nobody had ordered it: exit 2 during a cancel is a mount failure."""
    allows = memory_changes._allows

    def as_ordered(job: Attempt, otherwise: Verdict) -> tuple[Status, dict[str, object]]:
        return Status.ERROR, {"verdict": otherwise}

    def allowed(job: Attempt, row: Any, change: Change, target: Status | None, *more: Any) -> bool:
        unordered = replace(job, stop=None) if target is Status.ERROR and change.event is Event.ENDED else job
        return allows(unordered, row, change, target, *more)

    original = verdict.judge
    patch.setattr(decide, "judge", lambda found, **more: original(found, **(more | {"stop": None})))
    patch.setattr(decide, "_as_ordered", as_ordered)
    patch.setattr(memory_changes, "_allows", allowed)
    patch.setattr(retry, "_was_stopped", lambda attempt: False)


def no_retry_ignored(patch: Patch) -> None:
    """A cancel that comes while a retry is due changes nothing."""
    original = retry._never
    patch.setattr(retry, "_never", lambda newest: original(replace(newest, no_retry=False)))
    patch.setattr(plan, "forbidden_retry", lambda job, view: False)


def person_resets_nothing(patch: Patch) -> None:
    """A person's retry gives automation no new budget."""
    patch.setattr(rules, "since_last_person", lambda chain: chain)


def at_end_is_now(patch: Patch) -> None:
    """A ``batch-end`` retry takes the next place that is free."""
    original = looking._with_line

    async def with_line(engine: Engine, view: View) -> View:
        seen = await original(engine, view)
        late = await engine.store.waiting_for_end(view.batch.id, max(0, view.gate.free), view.now)
        return replace(seen, at_end=tuple(late))

    def candidates(view: View) -> tuple[Attempt, ...]:
        held = {holder.job for holder in view.gate.holders}
        return tuple(job for job in (*view.at_end, *view.due) if job.id not in held)

    patch.setattr(looking, "_with_line", with_line)
    patch.setattr(plan, "candidates", candidates)


def parent_is_the_one_before(patch: Patch) -> None:
    """A retry's parent is the attempt before it, not the root."""
    original = retry.new_child

    def child(chain: Sequence[Attempt], *more: Any, **rest: Any) -> Attempt:
        return replace(original(chain, *more, **rest), retry_parent=chain[-1].id)

    patch.setattr(acting, "new_child", child)


def lists_are_lists(patch: Patch) -> None:
    """``child_jobs`` is appended to, whatever is in it."""

    async def list_children(store: MemoryStore, batch_id: str, ids: Iterable[str]) -> None:
        new = tuple(ids)
        store._children[batch_id].update(dict.fromkeys(new))
        store._log("child_jobs", batch_id, None, new)

    patch.setattr(MemoryStore, "list_children", list_children)


def closed_too_early(patch: Patch) -> None:
    """A batch is over once nothing runs: a retry that waits out its back-off keeps it not open."""
    original = looking._with_line

    async def with_line(engine: Engine, view: View) -> View:
        seen = await original(engine, view)
        over = not view.gate.holders and not await engine.store.has(view.batch.id, [Status.CREATED])
        return replace(seen, done=seen.done or (over and not seen.due))

    patch.setattr(looking, "_with_line", with_line)


# ---------------------------------------------------------------------------------------------------- ends


def success_is_lost(patch: Patch) -> None:
    """What was ordered to stop is terminated, also where it succeeded."""
    original = verdict.judge

    def judge(found: Any, **more: Any) -> Ruling:
        ruling = original(found, **more)
        if more["stop"] is not None and ruling.verdict is Verdict.SUCCEEDED:
            return Ruling(Verdict.CANCELLED, "it was ordered to stop")
        return ruling

    patch.setattr(decide, "judge", judge)


def killed_is_a_mount_failure(patch: Patch) -> None:
    """Exit code 137 is taken for a failed mount."""
    original = verdict.judge

    def judge(found: Any, **more: Any) -> Ruling:
        if verdict.exit_code_of(found) in (137, 143) and more["stop"] is None:
            return Ruling(Verdict.MOUNT_FAILURE, "it was killed")
        return original(found, **more)

    patch.setattr(decide, "judge", judge)


def other_uid_is_lost(patch: Patch) -> None:
    """A live object of ours with another uid than the recorded one is none of this attempt."""
    without_guards(patch, Event.VANISHED, Guard.CREATES_SETTLED)
    original = decide._present

    def present(job: Attempt, found: Any, sight: Sight, now: datetime, life: Any) -> Move | None:
        if job.status in (Status.QUEUED, Status.RUNNING) and found.uid != job.scheduler_id:
            return Move(Act.WRITE, Reason.LOST, decide._gone(job, Event.VANISHED, life))
        return original(job, found, sight, now, life)

    patch.setattr(decide, "_present", present)


def not_seen_is_gone(patch: Patch) -> None:
    """A question without an answer is taken for the answer that there is nothing."""
    original = deeds.live_sight

    async def live_sight(engine: Engine, job: Attempt) -> Sight:
        try:
            return await original(engine, job)
        except Unavailable:
            return Sight(known=True, live=True)

    patch.setattr(deeds, "live_sight", live_sight)


def deleted_is_ended(patch: Patch) -> None:
    """What is being deleted has ended, though its pod still runs."""
    original = decide._present

    def present(job: Attempt, found: Any, sight: Sight, now: datetime, life: Any) -> Move | None:
        if job.stop and found.deleting and not found.finished:
            status, fields = decide._as_ordered(job, Verdict.LOST)
            ended = Change(job.id, Event.ENDED, Reason.STOPPED, status=status, fields=fields)
            return Move(Act.WRITE, Reason.STOPPED, ended)
        return original(job, found, sight, now, life)

    patch.setattr(decide, "_present", present)


def expires_unrecorded(patch: Patch) -> None:
    """A finished object may expire first, and is recorded then."""
    original = deeds._end

    async def end(engine: Engine, view: View, job: Attempt, found: Any) -> bool:
        await engine.cluster.expire(job.namespace, job.name, found.uid, timedelta(seconds=1))
        return await original(engine, view, job, found)

    patch.setattr(deeds, "_end", end)


def new_name_each_time(patch: Patch) -> None:
    """Each create asks for a name of its own, as ``generateName`` would."""
    original = deeds.new_job

    def new_job(view: View, job: Attempt) -> NewJob:
        made = original(view, job)
        return replace(made, name=f"{made.name}-{len(job.open_creates)}{job.updated:%M%S%f}")

    patch.setattr(deeds, "new_job", new_job)


def ghost_left_alone(patch: Patch) -> None:
    """A live object whose record has ended is nobody's business."""
    original = decide._after_the_end

    def after_the_end(job: Attempt, found: Any, *more: Any) -> Move | None:
        return None if found.active else original(job, found, *more)

    patch.setattr(decide, "_after_the_end", after_the_end)


# ------------------------------------------------------------------------------------- clocks and leaders


def own_clock(patch: Patch) -> None:
    """Instants of the store are compared with this machine's own clock."""
    patch.setattr(Engine, "now", lambda engine: engine.clock.now())


def records_not_stamped(patch: Patch) -> None:
    """A new leader stamps the gates, and leaves the records to whoever has them."""

    async def stamp(store: MemoryBatches, epoch: int) -> None:
        for gate in list(store._gates.values()):
            if gate.epoch > epoch:
                raise StaleEpoch(f"epoch {epoch} is over")
            store._put_gate(replace(gate, epoch=epoch))

    patch.setattr(MemoryBatches, "stamp", stamp)


_PATIENT: dict[str, Any] = {"pause": 5.0, "patience": 35.0}
_MOVED = {
    "requests": 200,
    "latency": 1.5,
    "interval": 15.0,
    "rates": {},
    "mishaps": 0,
    "refusals": 0,
    "longest_run": 9.0,
}
_NEIGHBOURS = {"mishaps": 25, "mishap_kinds": ("foreign",), "latency": 0.4}
_LATE = {"rates": {Fault.LATE: 0.2, Fault.SLOW: 0.02}, "requests": 12, "split_brain": False}
_FAILING = {"ends": {"mount": 5.0, "ok": 1.0}, "rates": {}, "mishaps": 0}
_BRIEF = {"ends": {"mount": 3.0, "ok": 1.0}, "longest_run": 5.0, "requests": 0}
_OUTAGES = _PATIENT | {
    "mishaps": 40,
    "mishap_kinds": ("outage of the cluster",),
    "rates": {},
    "most_faults": 400,
    "interval": 5.0,
    "longest_run": 60.0,
    "hints_lost": 0.0,
}
_PREFIXES = _PATIENT | {"interval": 5.0, "mishaps": 40, "mishap_kinds": ("foreign",), "duration": 250.0}
_REPLACED = {
    "rates": {Fault.LATE: 0.3},
    "late": 40.0,
    "most_faults": 200,
    "mishaps": 25,
    "mishap_kinds": ("hand",),
    "longest_run": 60.0,
}
_UNANSWERED: dict[str, Any] = {
    "ends": {"never-starts": 3.0, "ok": 1.0},
    "start_deadline": 400.0,
    "queued_after": 20.0,
    "duration": 600.0,
    "rates": {Fault.FAILED: 0.1},
    "most_faults": 2000,
    "skews": (),
}
_KILLED = {"ends": {"killed": 5.0, "ok": 1.0}, "rates": {}, "requests": 40, "duration": 300.0}
_OUTLIVED = _LATE | {"late": 150.0, "longest_run": 5.0, "ttl": 5.0, "requests": 0, "mishaps": 0}
_CANCELS = {"requests": 40, "longest_run": 60.0, "rates": {}, "mishaps": 0}
_CRASHES = {"rates": {Fault.CRASH_AFTER: 0.03, Fault.REPLY_LOST: 0.03}, "most_faults": 200, "requests": 12}

RULE_BUGS: tuple[Bug, ...] = (
    Bug("maximum not asked again", max_not_asked_again, _MOVED),
    Bug("shut gate not asked again", shut_not_asked_again, _MOVED),
    Bug("foreign not asked again", foreign_not_asked_again, _NEIGHBOURS),
    Bug("place given back", place_given_back, _LATE),
    Bug("a lost gate stays lost", lost_gate_stays_lost, {"set_backs": 3}),
    Bug("a lost gate forgets owed retries", owed_retry_lost_with_the_gate, _BRIEF | {"set_backs": 4}, 90),
    Bug("an old list will do", old_list_will_do, _OUTAGES),
    Bug("any prefix will do", any_prefix, _PREFIXES),
    Bug("prefix not anchored", unanchored, _PREFIXES | {"leftovers": True}),
    Bug("limit over batches forgotten", limits_forgotten, {"total": 2, "split_brain": False}),
    Bug("halt ignored", halts_ignored, _CANCELS | _PATIENT),
    Bug("stop forgotten at the end", stop_forgotten, _CANCELS),
    Bug("no-retry ignored", no_retry_ignored, _FAILING | _PATIENT | {"requests": 40}),
    Bug("a person's retry resets nothing", person_resets_nothing, _KILLED),
    Bug("batch's end is now", at_end_is_now, _FAILING | _PATIENT),
    Bug("a retry of a retry", parent_is_the_one_before, _FAILING),
    Bug("lists are no sets", lists_are_lists, _CRASHES),
    Bug("closed while a retry waits", closed_too_early, _FAILING | _PATIENT | {"requests": 0}),
    Bug("success in spite of a stop is lost", success_is_lost, _CANCELS),
    Bug("killed is a mount failure", killed_is_a_mount_failure, {"ends": {"killed": 1.0, "ok": 3.0}}),
    Bug("another uid is lost", other_uid_is_lost, _REPLACED),
    Bug("ended once its delete was asked", deleted_is_ended, _CANCELS),
    Bug("not seen is gone", not_seen_is_gone, _UNANSWERED),
    Bug("expires before it is recorded", expires_unrecorded, {}),
    Bug("a new name each time", new_name_each_time, _CRASHES),
    Bug("own clock", own_clock, _OUTLIVED | {"skews": (3600.0, 3600.0, 3600.0)}),
    Bug("records not stamped", records_not_stamped, {"replicas": 3, "split_brain": True}),
)
GHOST = Bug("ghost left alone", ghost_left_alone, {})
"""It needs a third party that takes away what was kept, and a create that lands then: a situation's story."""
NAMESAKE = Bug("known by its name", known_by_name, {})
"""It needs a namesake that comes between two looks: trace A8 tells of it."""
