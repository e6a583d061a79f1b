"""An operator's limits over several batches (S13), where the batches themselves move."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from controller import intake, requests
from controller.acting import Pass
from controller.allowance import demands_of, held_now
from controller.core.decide import Reason
from controller.core.model import Batch, BatchStatus, Result, Status
from controller.core.plan import Claim
from controller.core.sharing import Limits
from controller.daemon import Daemon
from controller.ports import Unavailable
from controller.requests import Caller, People
from tests.engine.acting import batch_named, drop, records, running
from tests.fakes.memory_objects import End
from tests.simulation.faults import Fault
from tests.simulation.people import OWNER, spec_of
from tests.simulation.process import Process
from tests.simulation.scenario import BatchPlan
from tests.simulation.stage import Stage, perform


async def _limited(stage: Stage, total: int) -> Daemon:
    daemon = await stage.leader()
    daemon.engine.settings = replace(daemon.engine.settings, limits=Limits(total=total))
    stage.world.oracle.state.facts = replace(stage.world.oracle.state.facts, total=total)
    return daemon


def test_a_closed_batch_with_a_retry_in_line_takes_its_share() -> None:
    """A retry stood in line while its batch was closed still: every pass under limits failed (KeyError)."""

    async def trace(stage: Stage) -> None:
        daemon = await _limited(stage, 2)
        await drop(stage, "scan", 1, 1)
        await stage.until_over(daemon)
        assert batch_named(stage, "scan").status is BatchStatus.FINISHED
        clock = daemon.engine.clock
        assert isinstance(clock, Process)
        _, store = stage.world.ports(clock)
        stage.script.lines.append(("list_children", Fault.FAILED))
        with pytest.raises(Unavailable):
            await requests.retry(People(store, clock), Caller(OWNER), [stage.job("scan-t0").id])
        assert batch_named(stage, "scan").status is BatchStatus.FINISHED, "nobody has reopened it yet"
        await daemon.full_pass()
        await stage.until_over(daemon)
        assert stage.job("scan-t0-r1").status is Status.COMPLETED

    perform(trace, ends={"scan-t0": End(0.0, 1.0, 1)})


def test_a_batch_that_was_reopened_since_the_pass_began_is_counted() -> None:
    """Two batches that were over were reopened by one request: each was counted without the other's places,
    and together they exceeded the limit over all batches."""

    async def trace(stage: Stage) -> None:
        daemon = await _limited(stage, 2)
        await drop(stage, "scan", 1, 1)
        await drop(stage, "leaf", 1, 1)
        await stage.until_over(daemon)
        before = await demands_of(daemon.engine)
        assert before == [], "both are over"
        clock = daemon.engine.clock
        assert isinstance(clock, Process)
        _, store = stage.world.ports(clock)
        ids = [stage.job(name).id for name in ("scan-t0", "leaf-t0")]
        await requests.retry(People(store, clock), Caller(OWNER), ids)
        reopened = {batch_named(stage, name).id for name in ("scan", "leaf")}
        assert {demand.batch_id for demand in await held_now(daemon.engine, before)} == reopened
        await stage.until_over(daemon)

    perform(trace, ends={"scan-t0": End(0.0, 1.0, 1), "leaf-t0": End(0.0, 1.0, 1)})


def test_retries_at_the_end_of_a_batch_get_a_place_under_limits() -> None:
    """They asked for no share, so they got none: the batch waited for them, and they for a share."""
    backoff = {"base": "2s", "factor": 1, "max": "2s"}
    rule = {"on": {"verdict": ["mount-failure"]}, "limit": 1, "when": "batch-end", "backoff": backoff}

    async def trace(stage: Stage) -> None:
        facts = stage.world.oracle.state.facts
        daemon = await _limited(stage, 1)
        stage.world.oracle.state.facts = replace(stage.world.oracle.state.facts, budgets=facts.budgets)
        await drop(stage, "scan", 2, 2, retry=(rule,))
        for _ in range(40):
            await stage.passes(daemon, 5)
        assert [job.status for job in stage.world.records()].count(Status.COMPLETED) == 2
        assert batch_named(stage, "scan").result is Result.COMPLETED
        stage.world.oracle.violations.clear()  # the judge knows the built-in back-off only

    perform(trace, ends={"scan-t0": End(0.0, 1.0, 2)})


def test_passes_side_by_side_stay_within_the_total() -> None:
    """Two batches were planned before either had its places, and both claimed the last one."""

    async def trace(stage: Stage) -> None:
        daemon = await _limited(stage, 1)
        await daemon.full_pass()
        async with daemon.engine.claims:  # both are planned, and stand before their claims
            scan = await drop(stage, "scan", 2, 2)
            first = asyncio.ensure_future(daemon.batch_pass(scan.id, None))
            await asyncio.sleep(1)
            spec = spec_of(BatchPlan("leaf", 2, 2, priority=5), stage.world.scenario)
            await intake.accept(stage.world.store, spec, source="leaf.yaml")
            leaf = batch_named(stage, "leaf")
            second = asyncio.ensure_future(daemon.batch_pass(leaf.id, None))
            await asyncio.sleep(1)
        await asyncio.gather(first, second)
        assert len(running(stage, scan)) + len(running(stage, leaf)) == 1
        while not (_closed(stage, scan) and _closed(stage, leaf)):
            await stage.passes(daemon, 5)

    perform(trace)


def test_what_a_batch_holds_is_counted_as_it_is_at_its_claim() -> None:
    """A full pass counted the batch's own places by the gate that it had read at its beginning: its batch had
    taken places since, in a pass of its own, and now took one for which the limit had no room."""
    long = End(0.0, 100.0)

    async def trace(stage: Stage) -> None:
        daemon, admin = await _limited(stage, 3), Caller(OWNER, admin=True)
        scan = await drop(stage, "scan", 1, 1)
        await daemon.full_pass()
        await requests.halt(stage.people, admin, "submissions", "maintenance")
        leaf, moss = await drop(stage, "leaf", 4, 2), await drop(stage, "moss", 1, 1)
        await daemon.full_pass()  # has looked at what runs under their names
        await stage.world.store.set_gate(moss.id, {"paused": True})
        await requests.unhalt(stage.people, admin, "submissions")
        async with daemon.engine.locks[scan.id]:
            full = asyncio.ensure_future(daemon.full_pass())
            await asyncio.sleep(1)  # it has read the gates, and stands before its first batch
            await daemon.batch_pass(leaf.id, None)
            assert running(stage, leaf) == ["leaf-t0", "leaf-t1"]
            await asyncio.sleep(2)
            await requests.halt(stage.people, admin, "submissions", "maintenance")
            ended = stage.found("leaf-t0")
            assert ended is not None
            daemon.engine.news[leaf.id] = {ended.job_id: ended}  # as the watch tells it
            await daemon.batch_pass(leaf.id, frozenset({ended.job_id}))
            await requests.unhalt(stage.people, admin, "submissions")
            await stage.world.store.set_gate(moss.id, {"paused": False})
            await daemon.batch_pass(moss.id, None)
            assert [*running(stage, leaf), *running(stage, moss)] == ["leaf-t1", "moss-t0"]
        await full
        assert sum(len(running(stage, batch)) for batch in (scan, leaf, moss)) == 3
        while not all(_closed(stage, batch) for batch in (scan, leaf, moss)):
            await stage.passes(daemon, 5)

    perform(trace, ends={"scan-t0": long, "leaf-t0": End(0.0, 1.0), "leaf-t1": long, "moss-t0": long})


def _closed(stage: Stage, batch: Batch) -> bool:
    return batch_named(stage, batch.name).status.closed


def test_a_claim_of_other_places_is_another_claim() -> None:
    """A refused claim was tried once a pass: the same jobs for other slots, or others, are tried again."""

    async def trace(stage: Stage) -> None:
        await drop(stage, "scan", 2, 2)
        one, two = stage.world.records()
        trial = Pass()
        assert trial.first_time(Claim(Reason.PLACE_FREE, ((one, 0),)))
        assert not trial.first_time(Claim(Reason.PLACE_FREE, ((one, 0),)))
        assert trial.first_time(Claim(Reason.PLACE_FREE, ((one, 1),)))
        assert trial.first_time(Claim(Reason.PLACE_FREE, ((two, 1),)))

    perform(trace)


@pytest.mark.parametrize("call", ["note_good_pass", "next_due"])
def test_what_follows_a_full_pass_may_be_unavailable(call: str) -> None:
    """The store went away right after the steps of a pass, and the daemon ended."""

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        await drop(stage, "scan", 1, 1)
        stage.script.lines.append((call, Fault.FAILED))
        await daemon.full_pass()
        assert call in daemon.trouble
        await stage.until_over(daemon)

    perform(trace)


def test_what_a_daemon_tells_after_a_pass_may_be_unavailable() -> None:
    """The same for whatever was hung onto the pass."""

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        await drop(stage, "scan", 1, 1)

        async def away() -> None:
            raise Unavailable("the statuses can't be read")

        daemon.after_pass = away
        await daemon.full_pass()
        assert "statuses" in daemon.trouble
        daemon.after_pass = None
        await stage.until_over(daemon)

    perform(trace)


@pytest.mark.parametrize("bent", ["batch", "gate"])
def test_what_runs_of_a_batch_that_cannot_be_read_counts(bent: str) -> None:
    """Somebody bent its record, or its gate, by hand: its jobs ran on, and as many others beside them."""

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        daemon.engine.settings = replace(daemon.engine.settings, limits=Limits(total=2))
        away = await drop(stage, "away", 2, 2)
        await stage.passes(daemon, 10)
        assert len(running(stage, away)) == 2
        store = stage.world.store
        kept: dict[str, object] = store._batches if bent == "batch" else store._gates  # type: ignore[assignment]
        lost = kept.pop(away.id)
        store.quarantined = lambda: {away.id: "it is bent"}  # type: ignore[method-assign]
        scan = await drop(stage, "scan", 2, 2)
        await stage.passes(daemon, 10)
        assert {job.status for job in records(stage, scan)} == {Status.WAITING}
        kept[away.id] = lost
        del store.quarantined
        await stage.passes(daemon, 120)
        assert {job.status for job in stage.world.records()} == {Status.COMPLETED}

    perform(trace, ends={"away-t0": End(0.0, 60.0), "away-t1": End(0.0, 60.0)})
