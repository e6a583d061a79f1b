"""What stops submissions stops them all: also those that a crash left half-way."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from typing import cast

import pytest

from controller import requests
from controller.core.change import Change
from controller.core.machine import Event
from controller.core.model import Attempt, Hold, Status
from controller.explaining import explanation_of_job
from controller.ports import Created, NewJob, Store
from controller.requests import Caller
from tests.engine.acting import batch_named, drop, running
from tests.fakes.memory_objects import End
from tests.simulation.faults import Fault
from tests.simulation.people import OWNER
from tests.simulation.stage import Stage, perform


def test_halted_retries_do_not_start_at_the_end_of_a_batch() -> None:
    """Retries were halted, and those that wait for the batch's end started nevertheless."""
    backoff = {"base": "30s", "factor": 1, "max": "30s"}
    rule = {"on": {"verdict": ["mount-failure"]}, "limit": 1, "when": "batch-end", "backoff": backoff}

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        await drop(stage, "scan", 1, 1, retry=(rule,))
        await requests.halt(stage.people, Caller(OWNER, admin=True), "retries", "look first")
        await stage.passes(daemon, 400)
        assert stage.names() == ["scan-t0", "scan-t0-r1"]
        assert not [entry for entry in stage.world.cluster.history if entry.name == "scan-t0-r1"]
        await requests.unhalt(stage.people, Caller(OWNER, admin=True), "retries")
        await stage.until_over(daemon)

    perform(trace, ends={"scan-t0": End(0.0, 1.0, 2)})


@pytest.mark.parametrize(
    ("what", "when", "says"),
    [
        ("", "now", "starts with the next free place"),
        ("", "batch-end", "starts when nothing else of the batch waits or is active (when: batch-end)"),
        ("retries", "now", "automatic retries are halted by local:alice: look first; until"),
        ("retries", "batch-end", "automatic retries are halted by local:alice"),
        ("submissions", "now", "all submissions are halted by local:alice: look first; until"),
    ],
)
def test_a_hurried_retry_is_promised_no_place_that_it_does_not_get(what: str, when: str, says: str) -> None:
    """``retry --now`` said that it starts with the next free place, while retries were halted."""
    backoff = {"base": "30s", "factor": 1, "max": "30s"}
    rule = {"on": {"verdict": ["mount-failure"]}, "limit": 1, "when": when, "backoff": backoff}
    admin = Caller(OWNER, admin=True)

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        await drop(stage, "scan", 2, 1, retry=(rule,))
        await stage.passes(daemon, 10)
        if what:
            await requests.halt(stage.people, admin, what, "look first")
        for dry_run in (True, False):
            (answer,) = await requests.hurry(
                stage.people, Caller(OWNER), [stage.job("scan-t0").id], dry_run=dry_run
            )
            assert answer.did.startswith("scan-t0-r1 ")
            assert says in answer.did
        assert stage.job("scan-t0-r1").not_before is None
        await stage.passes(daemon, 120)
        assert (stage.job("scan-t0-r1").status is Status.WAITING) is bool(what)
        if what:
            await requests.unhalt(stage.people, admin, what)
        await stage.until_over(daemon)

    perform(trace, ends={"scan-t0": End(0.0, 1.0, 2), "scan-t1": End(0.0, 60.0)})


def test_what_people_hurry_and_give_up_is_told_where_the_engines_own_changes_are() -> None:
    """Once each, when it was written; a dry run, and what could not be done, tell nothing."""
    backoff = {"base": "30s", "factor": 1, "max": "30s"}
    rule = {"on": {"verdict": ["mount-failure"]}, "limit": 1, "when": "now", "backoff": backoff}
    told: list[tuple[str, Event]] = []

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        await drop(stage, "scan", 2, 2, retry=(rule,))
        await stage.passes(daemon, 10)
        assert stage.job("scan-t0-r1").not_before

        def wrote(before: Attempt, after: Attempt, change: Change) -> None:
            assert (before.id, before.updated) != (after.id, after.updated)
            told.append((after.name, change.event))

        people, me = replace(stage.people, wrote=wrote), Caller(OWNER)
        waits, failed = stage.job("scan-t0").id, stage.job("scan-t1").id
        for dry_run in (True, False, False):
            await requests.hurry(people, me, [waits], dry_run=dry_run)
            await requests.cancel_jobs(people, me, [failed], "not needed", dry_run=dry_run)
        await stage.until_over(daemon)

    perform(trace, ends={"scan-t0": End(0.0, 1.0, 2), "scan-t1": End(0.0, 1.0, 1)})
    assert told == [("scan-t0-r1", Event.HURRIED), ("scan-t1", Event.NO_RETRY)]


def test_many_are_hurried_in_a_few_reads() -> None:
    """Each task's attempts were read by themselves: of ten thousand that is a minute."""
    backoff = {"base": "30s", "factor": 1, "max": "30s"}
    rule = {"on": {"verdict": ["mount-failure"]}, "limit": 1, "when": "now", "backoff": backoff}
    read: Counter[str] = Counter()

    class Counting:
        """The store, whose calls are counted."""

        def __init__(self, store: object) -> None:
            self.store = store

        def __getattr__(self, name: str) -> object:
            read[name] += 1
            return getattr(self.store, name)

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        await drop(stage, "scan", 8, 8, retry=(rule,))
        await stage.passes(daemon, 10)
        people = replace(stage.people, store=cast(Store, Counting(stage.people.store)))
        ids = [stage.job(f"scan-t{number}").id for number in range(8)]
        answers = await requests.hurry(people, Caller(OWNER), ids, dry_run=True)
        assert [answer.error for answer in answers] == [""] * 8
        await stage.until_over(daemon)

    perform(trace, ends={f"scan-t{number}": End(0.0, 1.0, 2) for number in range(8)})
    assert max(read.values()) == 1, read


async def _halt(stage: Stage) -> None:
    await requests.halt(stage.people, Caller(OWNER, admin=True), "submissions", "look first")


async def _pause(stage: Stage) -> None:
    await requests.pause(stage.people, Caller(OWNER), stage.batch)


async def _hold(stage: Stage) -> None:
    stage.set_gate(hold=f"{Hold.ADOPTION_NEEDED.value}: others run what it would")


async def _lower(stage: Stage) -> None:
    await requests.scale(stage.people, Caller(OWNER), stage.batch, 1)


@pytest.mark.parametrize("stop", [_halt, _pause, _hold])
def test_places_taken_before_a_crash_start_nothing_once_it_is_forbidden(
    stop: Callable[[Stage], Awaitable[None]],
) -> None:
    """A leader took three places and died; halted, paused or held meanwhile, the next submitted."""

    async def trace(stage: Stage) -> None:
        first = await stage.leader("one")
        await drop(stage, "scan", 3, 3)
        stage.script.lines.append(("claim", Fault.REPLY_LOST))
        await first.full_pass()
        assert len(stage.gate.holders) == 3
        await stop(stage)
        second = await stage.leader("two")
        await stage.passes(second, 20)
        assert running(stage, stage.batch) == []
        assert not stage.world.cluster.history
        stage.set_gate(hold="")
        await requests.unhalt(stage.people, Caller(OWNER, admin=True), "submissions")
        await requests.resume(stage.people, Caller(OWNER), batch_named(stage, "scan"))
        await stage.until_over(second)

    perform(trace)


@pytest.mark.parametrize("line", [[("claim", Fault.REPLY_LOST)], [("create", Fault.FAILED)] * 3])
def test_places_taken_before_the_maximum_was_lowered_start_no_more_than_it(
    line: list[tuple[str, Fault]],
) -> None:
    """Three places were taken and nothing created, the maximum was lowered to one, and three started."""

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        await drop(stage, "scan", 3, 3)
        stage.script.lines += line
        await daemon.full_pass()
        assert len(stage.gate.holders) == 3
        assert not stage.world.cluster.history
        await _lower(stage)
        await stage.until_over(daemon)
        assert _most_at_once(stage) == 1

    perform(trace)


def _most_at_once(stage: Stage) -> int:
    alive = most = 0
    for entry in stage.world.cluster.history:
        alive += (entry.kind == "create") - (entry.kind == "end")
        most = max(most, alive)
    return most


def _creates_take(stage: Stage, seconds: float) -> None:
    """The cluster is slow from now on."""
    create = stage.world.cluster.create

    async def slowly(job: NewJob) -> Created:
        await asyncio.sleep(seconds)
        return await create(job)

    stage.world.cluster.create = slowly  # type: ignore[method-assign]


def test_a_halt_reaches_the_rest_of_a_pass_that_takes_long() -> None:
    """The first batch's create took a minute; whoever came after it went by what was said before that."""

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        _creates_take(stage, 20)
        daemon.engine.settings = replace(daemon.engine.settings, interval=timedelta(minutes=1))
        await drop(stage, "scan", 1, 1)
        await drop(stage, "other", 1, 1)
        full = asyncio.ensure_future(daemon.full_pass())
        await asyncio.sleep(1)
        await _halt(stage)
        await full
        assert stage.job("scan-t0").status is Status.QUEUED
        assert stage.job("other-t0").status is Status.WAITING
        await requests.unhalt(stage.people, Caller(OWNER, admin=True), "submissions")
        await stage.until_over(daemon)

    perform(trace)


def test_a_halt_reaches_a_pass_that_waited_for_another() -> None:
    """A full pass kept the batch for long; the pass that had read the halts before that claimed by them."""

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        _creates_take(stage, 2)
        await drop(stage, "scan", 2, 1)
        full = asyncio.ensure_future(daemon.full_pass())
        await asyncio.sleep(1)
        after = asyncio.ensure_future(daemon.batch_pass(stage.batch.id, None))
        await asyncio.sleep(0.5)
        await _halt(stage)
        stage.set_gate(max=2)
        await asyncio.gather(full, after)
        assert stage.job("scan-t1").status is Status.WAITING
        await requests.unhalt(stage.people, Caller(OWNER, admin=True), "submissions")
        await stage.until_over(daemon)

    perform(trace)


def test_a_halt_of_retries_reaches_one_that_got_its_place_before_a_crash() -> None:
    """A leader took a place for it and died; retries were halted, and the next leader submitted it."""

    async def trace(stage: Stage) -> None:
        first = await stage.leader("one")
        await drop(stage, "scan", 1, 1)
        await stage.passes(first, 10)
        assert stage.job("scan-t0-r1").status is Status.WAITING
        await asyncio.sleep(30)
        stage.script.lines.append(("claim", Fault.REPLY_LOST))
        await first.full_pass()
        assert [holder.job for holder in stage.gate.holders] == [stage.job("scan-t0-r1").id]
        operator = Caller(OWNER, admin=True)
        await requests.halt(stage.people, operator, "retries", "look first")
        second = await stage.leader("two")
        await stage.passes(second, 30)
        assert stage.job("scan-t0-r1").status is Status.WAITING
        why = await explanation_of_job(second.engine, stage.job("scan-t0-r1"))
        assert why.cause == "retries-halted"
        assert why.sentence.startswith("scan-t0-r1 has a place: automatic retries are halted")
        await requests.unhalt(stage.people, operator, "retries")
        await stage.until_over(second)
        assert stage.job("scan-t0-r1").status is Status.COMPLETED

    perform(trace, ends={"scan-t0": End(0.0, 1.0, 2)})


@pytest.mark.parametrize(
    ("shut", "says"),
    [
        ({"paused": True}, "but its batch is paused: until 'batchkeeper resume'"),
        ({"hold": "systemic-failure: all failed"}, "but its batch is held as systemic-failure: all failed"),
    ],
)
def test_a_hurried_retry_is_promised_no_place_in_a_shut_batch(shut: dict[str, object], says: str) -> None:
    """``retry --now`` said that it starts with the next free place, and its batch was paused, or held."""

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        await drop(stage, "scan", 1, 1)
        await stage.passes(daemon, 10)
        stage.set_gate(**shut)
        (answer,) = await requests.hurry(stage.people, Caller(OWNER), [stage.job("scan-t0").id])
        assert answer.did == f"scan-t0-r1 waits for no time any more, {says}"
        await stage.passes(daemon, 20)
        assert stage.job("scan-t0-r1").status is Status.WAITING
        await requests.resume(stage.people, Caller(OWNER), batch_named(stage, "scan"))
        stage.set_gate(paused=False)
        await stage.until_over(daemon)
        stage.world.oracle.violations.clear()

    perform(trace, ends={"scan-t0": End(0.0, 1.0, 2)})
