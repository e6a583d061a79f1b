"""A look at the cluster that takes longer than a pass may: it comes to its end, and keeps nobody else."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pytest

from controller import surroundings
from controller.core.model import Attempt, BatchStatus, Status, Verdict
from controller.core.sight import Observation, joined
from controller.daemon import Daemon
from controller.engine import Engine
from controller.looks import Looks
from controller.ports import Unavailable
from tests.engine.acting import drop_elsewhere
from tests.fakes.memory_objects import End
from tests.simulation.stage import Stage, perform

PASS = 60.0
"""After so many seconds the timetable gives a pass up."""
SLOW = 90.0
LONG = End(0.0, 10_000.0)


@dataclass
class Slowly:
    """Lists that show what was there when they were asked for, and take so many seconds, by namespace."""

    stage: Stage
    seconds: dict[str, float] = field(default_factory=dict)
    fails: str = ""
    at_once: int = 0
    most: int = 0
    begun: list[float] = field(default_factory=list)
    live: list[str] = field(default_factory=list)
    """Names that were asked about live."""

    def __post_init__(self) -> None:
        cluster = self.stage.world.cluster
        self._observe, self._get = cluster.observe, cluster.get
        self.stage.world.cluster.observe = self.observe  # type: ignore[method-assign]
        self.stage.world.cluster.get = self.get  # type: ignore[method-assign]

    async def observe(self, namespaces: Sequence[str]) -> Observation:
        """As the cluster does, only later."""
        seconds = max(self.seconds.get(name, 0.0) for name in namespaces)
        if not seconds:
            return await self._observe(namespaces)
        self.begun.append(self.stage.world.loop.time())
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        try:
            seen = await self._observe(namespaces)
            await asyncio.sleep(seconds)
            if self.fails:
                raise Unavailable(self.fails)
            return seen
        finally:
            self.at_once -= 1

    async def get(self, namespace: str, name: str, job_id: str) -> Any:
        """As the cluster does."""
        self.live.append(name)
        return await self._get(namespace, name, job_id)


async def passes(stage: Stage, daemon: Daemon, seconds: float) -> None:
    """Full passes as the timetable runs them: given up after a while, and asked for by the agenda too."""
    until = stage.world.loop.time() + seconds
    while stage.world.loop.time() < until:
        with suppress(TimeoutError):
            async with asyncio.timeout(PASS):
                await daemon.full_pass()
        asked = asyncio.ensure_future(daemon.agenda.take())
        await asyncio.wait([asked], timeout=daemon.engine.settings.interval.total_seconds())
        if asked.done():
            daemon.agenda.done(asked.result()[0])
        else:
            asked.cancel()


def looks() -> list[str]:
    """Looks that are under way."""
    return [task.get_name() for task in asyncio.all_tasks() if task.get_name().startswith("look at")]


def test_a_look_that_takes_longer_than_a_pass_comes_to_its_end() -> None:
    """Each pass gave it up and began it anew: no end was ever recorded, and nothing went on for ever."""

    async def trace(stage: Stage) -> None:
        daemon, slowly = await stage.leader(), Slowly(stage)
        await stage.drop(6, 2)
        await passes(stage, daemon, 1)
        assert stage.job("scan-t0").status is Status.QUEUED
        slowly.seconds["lab"] = SLOW
        await passes(stage, daemon, 4 * SLOW)
        assert [stage.job(f"scan-t{n}").status for n in (0, 1)] == [Status.COMPLETED] * 2
        assert slowly.most == 1, "one look at a time"
        assert len(slowly.begun) <= 5
        seen = daemon.engine.seen
        assert seen is not None
        asked = seen.asked_for("lab")
        assert any(0 <= at - asked < 0.1 for at in slowly.begun), "it is as old as it is"
        assert stage.job("scan-t2").status is Status.WAITING, "no list was new enough to start anything by"
        slowly.seconds.clear()
        await stage.until_over(daemon)
        assert not looks()

    assert perform(trace).batch.status is BatchStatus.FINISHED


def test_a_look_outlives_the_pass_that_is_given_up() -> None:
    """Whoever waits for it longer than the timetable lets him: the next pass takes it all the same."""

    async def trace(stage: Stage) -> None:
        daemon, slowly = await stage.leader(), Slowly(stage)
        await stage.drop(1, 1)
        await passes(stage, daemon, 1)
        daemon.engine.settings = replace(daemon.engine.settings, interval=timedelta(hours=1))
        slowly.seconds["lab"] = SLOW
        for _ in range(2):
            with suppress(TimeoutError):
                async with asyncio.timeout(PASS):
                    await daemon.full_pass()
        assert stage.job("scan-t0").status is Status.COMPLETED
        assert len(slowly.begun) == 1
        slowly.seconds.clear()
        await stage.until_over(daemon)

    perform(trace)


def test_what_is_absent_from_a_long_look_is_noticed() -> None:
    """Its records were read before it was begun; those of the pass that takes it are not."""

    async def trace(stage: Stage) -> None:
        daemon, slowly = await stage.leader(), Slowly(stage)
        await stage.drop(1, 1)
        await passes(stage, daemon, 10)
        assert stage.job("scan-t0").status is Status.RUNNING
        slowly.seconds["lab"] = SLOW
        await passes(stage, daemon, 1)
        stage.by_hand("scan-t0")
        await passes(stage, daemon, 4 * SLOW)
        assert stage.job("scan-t0").verdict is Verdict.LOST
        slowly.seconds.clear()
        await stage.until_over(daemon)

    perform(trace, ends={"scan-t0": LONG})


def test_what_came_while_a_look_was_under_way_is_not_missed_in_it() -> None:
    """An object that was made after the list is not in it: that is no absence, and nobody is asked."""

    async def trace(stage: Stage) -> None:
        daemon, slowly = await stage.leader(), Slowly(stage)
        await stage.drop(2, 1)
        slowly.seconds["lab"] = 20.0
        beside = asyncio.ensure_future(daemon.full_pass())
        await asyncio.sleep(1)
        slowly.seconds.clear()
        engine = daemon.engine
        engine.seen = await stage.world.cluster.observe(["lab"])
        await daemon.batch_pass(stage.batch.id, None)
        assert stage.job("scan-t0").status is Status.QUEUED
        await beside
        slowly.live.clear()
        await asyncio.sleep(10)
        await daemon.full_pass()
        assert "lab" in engine.listed, "the long look has ended, and was taken"
        assert not slowly.live
        await stage.until_over(daemon)

    perform(trace, ends={"scan-t0": End(0.0, 60.0)})


def test_a_namespace_beside_it_goes_on() -> None:
    """One namespace's lists took minutes, and batches in others waited for them as long."""

    async def trace(stage: Stage) -> None:
        daemon, slowly = await stage.leader(), Slowly(stage)
        await stage.drop(2, 2)
        await drop_elsewhere(stage, 6, 2)
        slowly.seconds["lab"] = 10 * SLOW
        await passes(stage, daemon, 1)
        assert daemon.engine.unseen == {"lab"}
        assert daemon.engine.listed == {"elsewhere"}
        assert daemon.saw
        await passes(stage, daemon, 5 * SLOW)
        away = [job.status for job in stage.world.records() if job.namespace == "elsewhere"]
        assert away == [Status.COMPLETED] * 6
        assert "lab" not in (daemon.engine.good_at or {})
        slowly.seconds.clear()
        await passes(stage, daemon, 6 * SLOW)
        await stage.until_over(daemon)

    perform(trace)


def test_a_pass_that_saw_nothing_is_no_good_one() -> None:
    """It is neither told as one nor does its time count."""

    async def trace(stage: Stage) -> None:
        daemon, slowly = await stage.leader(), Slowly(stage)
        await stage.drop(1, 1)
        slowly.seconds["lab"] = SLOW
        await daemon.full_pass()
        assert not daemon.trouble
        assert not daemon.saw
        assert daemon.engine.good_at == {}
        await asyncio.sleep(SLOW)
        await daemon.full_pass()
        assert daemon.saw
        assert set(daemon.engine.good_at or {}) == {"lab"}
        slowly.seconds.clear()
        await stage.until_over(daemon)

    perform(trace)


def test_a_look_that_fails_late_is_told_and_begun_anew() -> None:
    """The first pass after its end says why; the next one looks again."""

    async def trace(stage: Stage) -> None:
        daemon, slowly = await stage.leader(), Slowly(stage)
        await stage.drop(1, 1)
        slowly.seconds["lab"], slowly.fails = SLOW, "the list expired"
        await daemon.full_pass()
        await asyncio.sleep(SLOW)
        await daemon.full_pass()
        assert daemon.trouble == daemon.engine.blind == "the list expired"
        slowly.seconds.clear()
        await daemon.full_pass()
        assert not daemon.trouble
        await stage.until_over(daemon)

    perform(trace)


def test_a_look_ends_with_the_lead() -> None:
    """Nobody else's cluster is listed on and on, and the next lead takes nothing that this one began."""

    async def trace(stage: Stage) -> None:
        daemon, slowly = await stage.leader(), Slowly(stage)
        await stage.drop(1, 1)
        slowly.seconds["lab"] = SLOW
        waiting = asyncio.ensure_future(daemon.full_pass())
        await asyncio.sleep(1)
        assert looks()
        daemon.step_down("the lock was lost")
        await waiting
        assert not looks()
        slowly.seconds.clear()
        await daemon.lead("one")
        await stage.until_over(daemon)

    perform(trace)


def test_no_look_outlives_the_daemon() -> None:
    """It ends when what follows events ends, as at a SIGTERM."""

    async def trace(stage: Stage) -> None:
        daemon, slowly = await stage.leader(), Slowly(stage)
        await stage.drop(1, 1)
        slowly.seconds["lab"] = SLOW
        following = asyncio.ensure_future(daemon.follow_events())
        await asyncio.sleep(30)
        assert looks()
        following.cancel()
        await asyncio.wait([following])
        assert not looks()
        slowly.seconds.clear()
        await stage.until_over(daemon)

    perform(trace)


# ------------------------------------------------------------------------------------------- planted


def dated_when_it_comes(patch: pytest.MonkeyPatch) -> None:
    """A list is as new as its arrival, however long it took."""
    original = surroundings._look

    async def look(engine: Engine, namespace: str, *known: frozenset[str]) -> Observation:
        seen = replace(await original(engine, namespace, *known), asked=engine.clock.monotonic())
        engine.seen = joined(engine.seen, seen)
        return seen

    patch.setattr(surroundings, "_look", look)


def given_up_with_its_pass(patch: pytest.MonkeyPatch) -> None:
    """Who waits for a look no longer has no use for it."""
    original = Looks.miss

    def miss(looks: Looks, namespaces: Sequence[str]) -> None:
        original(looks, namespaces)
        looks.break_off()

    patch.setattr(Looks, "miss", miss)


def judges_everybody(patch: pytest.MonkeyPatch) -> None:
    """Whoever is not in a list is missing, also who was made after it."""
    original = surroundings.observe

    async def observe(*given: Any) -> tuple[Observation | None, dict[str, Attempt]]:
        seen, judged = await original(*given)
        now = {job.id: job for jobs in given[3].values() for job in jobs}
        return seen, judged | now

    patch.setattr("controller.reconcile.observe", observe)


def judges_nobody(patch: pytest.MonkeyPatch) -> None:
    """What was read before a look was begun is forgotten with the pass that read it."""
    original = surroundings.observe

    async def observe(*given: Any) -> tuple[Observation | None, dict[str, Attempt]]:
        return (await original(*given))[0], {}

    patch.setattr("controller.reconcile.observe", observe)


def outlives_the_lead(patch: pytest.MonkeyPatch) -> None:
    """Who leads no more lets his looks go on."""
    patch.setattr(Looks, "break_off", lambda looks: None)


BUGS: Mapping[Callable[[pytest.MonkeyPatch], None], Callable[[], None]] = {
    dated_when_it_comes: test_a_look_that_takes_longer_than_a_pass_comes_to_its_end,
    given_up_with_its_pass: test_a_look_that_takes_longer_than_a_pass_comes_to_its_end,
    judges_everybody: test_what_came_while_a_look_was_under_way_is_not_missed_in_it,
    judges_nobody: test_what_is_absent_from_a_long_look_is_noticed,
    outlives_the_lead: test_a_look_ends_with_the_lead,
}


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.__name__)
def test_a_planted_bug_is_found(bug: Callable[[pytest.MonkeyPatch], None]) -> None:
    """What these tests say they would notice they notice."""
    with pytest.MonkeyPatch.context() as patch:
        bug(patch)
        with pytest.raises(AssertionError):
            BUGS[bug]()


def test_who_waits_for_the_same_look_is_told_that_it_failed() -> None:
    """The full pass took what it had died of; the other one went on, and judged in an outage."""

    async def trace(stage: Stage) -> None:
        daemon, slowly = await stage.leader(), Slowly(stage)
        await stage.drop(1, 1)
        await daemon.full_pass()
        await asyncio.sleep(4)
        found, engine = stage.found("scan-t0"), daemon.engine
        assert found is not None
        assert found.finished
        engine.news[stage.batch.id] = {found.job_id: found}
        await asyncio.sleep(engine.settings.foreign_age)
        slowly.seconds["lab"], slowly.fails = 0.5, "out of reach"
        full = asyncio.ensure_future(daemon.full_pass())
        await asyncio.sleep(0.1)
        await daemon.batch_pass(stage.batch.id, frozenset({found.job_id}))
        await full
        assert stage.job("scan-t0").status is Status.QUEUED
        slowly.fails = ""
        await stage.until_over(daemon)

    perform(trace, ends={"scan-t0": End(0.0, 2.0)})
