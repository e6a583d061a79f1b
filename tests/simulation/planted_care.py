"""Bugs to plant into what is done once and no more, what must go on, and instants: requests, orphans."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, timedelta, timezone
from typing import Any

from controller import acting, batch_deeds, deeds, lifecycle, looking, reconcile, requests, retrying
from controller.agenda import ALL
from controller.core import decide, retry, verdict
from controller.core.machine import Event, Guard
from controller.core.model import Attempt, Foreign, ForeignKind
from controller.core.moves import Move
from controller.core.plan import CountForeign
from controller.core.sight import ClusterJob, ForeignObject
from controller.core.view import View
from controller.daemon import Daemon
from controller.engine import Engine
from controller.ports import BatchkeeperError
from tests.fakes import memory_table
from tests.fakes.memory_batches import MemoryBatches
from tests.simulation.faults import Fault
from tests.simulation.planted import Bug, Patch, without_guards
from tests.simulation.planted_rules import success_is_lost

# ------------------------------------------------------------------------------------------------ requests


def another_each_time(patch: Patch) -> None:
    """A request that is sent again is another one: nobody looks for its id, and no index keeps it once."""
    original = memory_table._unique_keys

    def unique_keys(job: Attempt) -> Iterator[Hashable]:
        return original(replace(job, request_id=None))

    patch.setattr(retrying, "_same_request", lambda chain, request_id: None)
    patch.setattr(memory_table, "_unique_keys", unique_keys)


def request_forgotten(patch: Patch) -> None:
    """The retry's record does not say which request it is the answer to."""
    original = retry.new_child

    def child(*given: Any, **more: Any) -> Attempt:
        return original(*given, **(more | {"request_id": None}))

    patch.setattr(retrying, "new_child", child)


def stopped_twice(patch: Patch) -> None:
    """A second cancel takes the place of the first one: who ordered the end is told wrongly."""
    without_guards(patch, Event.STOP_ASKED, Guard.STOP_NOT_CODED)
    original = requests._cancelling

    def cancelling(job: Attempt, *more: Any) -> Any:
        return original(replace(job, stop=None), *more)

    patch.setattr(requests, "_cancelling", cancelling)


def cancelled_again(patch: Patch) -> None:
    """A batch's cancel that was carried out stays in its gate, for whatever is asked for later."""

    async def lift_cancel(store: MemoryBatches, batch_id: str, cancel: Any) -> bool:
        return True

    patch.setattr(MemoryBatches, "lift_cancel", lift_cancel)


# ------------------------------------------------------------------------------------------------- orphans


def orphan_deleted(patch: Patch) -> None:
    """What has our labels and no record is ours to clear away."""
    original = batch_deeds.take_for_batch

    async def take(engine: Engine, view: View, step: Any) -> bool:
        for thing in step.objects if isinstance(step, CountForeign) else ():
            if thing.cause is ForeignKind.ORPHAN:
                await engine.cluster.delete(view.batch.namespace, thing.name, thing.uid)
        return await original(engine, view, step)

    patch.setattr(acting, "take_for_batch", take)


def orphan_not_counted(patch: Patch) -> None:
    """What has our labels and no record takes no place."""
    original = looking.look

    async def look(*given: Any) -> View:
        view = await original(*given)
        foreign = view.foreign and tuple(thing for thing in view.foreign if not thing.orphan)
        return replace(view, orphans=(), foreign=foreign)

    patch.setattr(reconcile, "look", look)


def waiting_orphan_not_counted(patch: Patch) -> None:
    """What has our labels and a record that waits takes no place, and keeps nobody of its task."""

    def orphans(seen: Mapping[str, ClusterJob], strange: Sequence[str], found: Sequence[Attempt]) -> Any:
        known = {job.id for job in found}
        return tuple(seen[job_id] for job_id in strange if job_id not in known and seen[job_id].active)

    patch.setattr(looking, "_orphans", orphans)


def counted_as_others(patch: Patch) -> None:
    """What runs in its place counts as others' beside it."""
    original = looking.look

    async def look(*given: Any) -> View:
        view = await original(*given)
        if view.foreign is None:
            return view
        shown = (view.sight(job).job for job in view.holders if not job.kind)
        ours = [ForeignObject(job.name, job.namespace, job.uid, "Job") for job in shown if job and job.active]
        return replace(view, foreign=(*view.foreign, *ours))

    patch.setattr(reconcile, "look", look)


def lost_as_others(patch: Patch) -> None:
    """A success in spite of a stop is taken for somebody else's: it counts so, and is not recorded."""
    success_is_lost(patch)
    original = deeds._end

    async def end(engine: Engine, view: View, job: Attempt, found: Any) -> bool:
        if job.stop and verdict.exit_code_of(found) == 0:
            await engine.store.enter_foreign(view.batch.id, [Foreign(found.uid, found.name, "Job")])
        return await original(engine, view, job, found)

    patch.setattr(deeds, "_end", end)


# ------------------------------------------------------------------------------------------- old records


def who_left_holds(patch: Patch) -> None:
    """What a full pass read before its list still holds its place, whoever has left the gate since."""
    patch.setattr(looking, "_still_there", lambda gate, holders: list(holders))
    patch.setattr(reconcile, "LONG_AGO", math.inf)
    original = Engine.__post_init__

    def deaf(engine: Engine) -> None:
        original(engine)
        engine.passed = _Deaf()

    patch.setattr(Engine, "__post_init__", deaf)


class _Deaf(dict[str, float]):
    """Remembers no pass."""

    def __setitem__(self, key: str, value: float) -> None:
        """Nothing."""


# ---------------------------------------------------------------------------------------- ears, and eyes


def over_for_good(patch: Patch) -> None:
    """A stream of hints that is over is not asked for again: the pass on its interval does as well."""

    async def listen(
        daemon: Daemon, stream: Callable[[], AsyncIterator[Any]], heard: Callable[[Any], None], whose: str
    ) -> None:
        try:
            async for hint in stream():
                heard(hint)
        except BatchkeeperError as error:
            daemon.journal.trouble(f"hints of the {whose}", error)

    patch.setattr(Daemon, "_listen", listen)


def dead_ear_ignored(patch: Patch) -> None:
    """Whatever ends a listener ends it alone, and the daemon goes on."""
    original = Daemon._listen

    async def listen(daemon: Daemon, *given: Any) -> None:
        try:
            await original(daemon, *given)
        except Exception as error:  # noqa: BLE001 -- the very bug
            daemon.journal.said("deaf", why=str(error))

    patch.setattr(Daemon, "_listen", listen)


def looks_when_told(patch: Patch) -> None:
    """After its first pass a leader looks only when it is told of something."""
    original = Daemon.full_pass
    looked = set[Callable[[], str]]()

    async def full_pass(daemon: Daemon) -> int:
        if daemon.engine.new_token in looked and ALL not in daemon.agenda._in_hand:
            return 0
        looked.add(daemon.engine.new_token)
        return await original(daemon)

    patch.setattr(Daemon, "full_pass", full_pass)


def never_repaired(patch: Patch) -> None:
    """The repair pass finds nothing to do."""

    async def repair(engine: Engine, *, dry_run: bool = False) -> Sequence[Attempt]:
        return ()

    patch.setattr(lifecycle, "repair", repair)


_CANCELS: dict[str, Any] = {"requests": 60, "longest_run": 60.0}
_CALLED_OFF: dict[str, Any] = {"requests": 60, "bulk": 6, "pause": 5.0, "patience": 35.0, "duration": 400.0}
_ORPHANS: dict[str, Any] = {
    "slow_lists": 0.0,  # the patience is shorter than a slow list
    "orphans": 20,
    "mishaps": 0,
    "interval": 5.0,
    "pause": 5.0,
    "patience": 35.0,
    "longest_run": 120.0,
    "duration": 250.0,
    "most_faults": 100,
}
_CRASHES: dict[str, Any] = {"rates": {Fault.CRASH_BEFORE: 0.02, Fault.CRASH_AFTER: 0.02}, "most_faults": 200}
_SLOW_LISTS: dict[str, Any] = {
    "slow_lists": 0.5,
    "set_backs": 0,
    "requests": 40,
    "hints_lost": 0.0,
    "rates": {},
    "mishaps": 0,
    "pause": 90.0,
    "patience": 120.0,
    "most_faults": 200,
}
CALLED_OTHERS = Bug("a success is called others'", lost_as_others, _CANCELS, 17)


def ghost_of_a_moment(patch: Patch) -> None:
    """What has no pod and does not say that it is finished lives, although the record has seen its end."""
    original = decide._after_the_end

    def after_the_end(job: Attempt, *seen: Any) -> Move | None:
        return original(replace(job, scheduler_id=""), *seen)

    patch.setattr(decide, "_after_the_end", after_the_end)


def naive_datetimes(patch: Patch) -> None:
    """A retry's instant is written as a wall clock west of Greenwich shows it, without its zone."""
    original = retry.new_child

    def child(*given: Any, **more: Any) -> Attempt:
        made = original(*given, **more)
        due = made.not_before
        return replace(made, not_before=due and due.astimezone(_WEST).replace(tzinfo=UTC))

    patch.setattr(acting, "new_child", child)


_WEST = timezone(timedelta(hours=-5))

CARE_BUGS: tuple[Bug, ...] = (
    Bug("a request is another each time", another_each_time, {}, 5),
    Bug("a request's id is forgotten", request_forgotten, {}, 5),
    Bug("a second cancel takes the first one's place", stopped_twice, _CANCELS, 10),
    Bug("a cancel is carried out again", cancelled_again, _CALLED_OFF),
    Bug("an orphan is deleted", orphan_deleted, {}),
    Bug("an orphan is not counted", orphan_not_counted, _ORPHANS),
    Bug("an orphan with a waiting record is not counted", waiting_orphan_not_counted, {"set_backs": 3}),
    Bug("our own are counted as others'", counted_as_others, {}),
    CALLED_OTHERS,
    Bug("who has left still holds a place", who_left_holds, _SLOW_LISTS, 45),
    Bug("a stream that is over is not asked for again", over_for_good, {}, 5),
    Bug("a dead ear is ignored", dead_ear_ignored, {}, 65),
    Bug("nobody looks unless told", looks_when_told, {}),
    Bug("what has just ended is a ghost", ghost_of_a_moment, {}),
    Bug("a repair that never looks", never_repaired, _CRASHES, 15),
    Bug("naive datetimes", naive_datetimes, {}),
)
