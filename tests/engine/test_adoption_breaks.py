"""A take-over that is broken off anywhere, or done by two at once, ends in the same state (S11)."""

from __future__ import annotations

import asyncio

import pytest

from controller.core.model import Result, Status, Verdict
from tests.engine.leftovers import FAILS, NEVER_ENDS, adopt, leave, leftovers, still_theirs
from tests.fakes.memory_objects import End
from tests.simulation.faults import Fault
from tests.simulation.stage import Stage, perform

CRASHES = [
    "find",
    "replace_hold",
    "take_over",
    "change",
    "set_batch",
    "recount",
    "log_tail",
    "add_jobs",
    "leave",
]


@pytest.mark.parametrize("nth", range(4))
@pytest.mark.parametrize("fault", [Fault.FAILED, Fault.REPLY_LOST])
@pytest.mark.parametrize("call", CRASHES)
def test_a_break_anywhere_ends_in_the_same_state(call: str, fault: Fault, nth: int) -> None:
    """Each call of a take-over fails, or is done and not answered; another daemon goes on from there."""

    async def trace(stage: Stage) -> None:
        first = await stage.leader()
        uids = leftovers(stage)
        await stage.drop(6, 2)
        await first.full_pass()
        await adopt(stage)
        stage.script.lines += [(call, _nothing)] * nth + [(call, fault)]
        await first.full_pass()
        stage.script.lines.clear()  # where the pass made fewer of these calls, nothing broke
        second = await stage.leader("two")
        await second.full_pass()
        await second.full_pass()
        assert _standing(stage) == STANDING
        stage.world.cluster.finish_foreign("lab", "scan-t0-test")
        await stage.until_over(second)
        assert stage.batch.result is Result.COMPLETED
        assert sorted(stage.names()) == sorted([f"scan-t{n}" for n in range(6)] + ["scan-t1-r1"])
        still_theirs(stage, uids)

    perform(trace)


def _nothing() -> None:
    """The call goes through."""


STANDING = {
    "scan-t0": Status.COMPLETED,
    "scan-t1": Status.ERROR,
    "scan-t2": Status.RUNNING,
    "scan-t3": Status.QUEUED,
    "scan-t4": Status.WAITING,
    "scan-t5": Status.WAITING,
    "scan-t1-r1": Status.WAITING,
}


def _standing(stage: Stage) -> dict[str, Status]:
    return {job.name: job.status for job in stage.world.records()}


def test_an_object_that_goes_between_its_place_and_its_record() -> None:
    """A crash after the place was given: the place names the object: its task is lost, not started."""

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        leave(stage, "scan-t0", NEVER_ENDS)
        await stage.drop(1, 1)
        await daemon.full_pass()
        await adopt(stage)
        stage.script.lines.append(("change", Fault.FAILED))
        await daemon.full_pass()
        assert stage.job("scan-t0").status is Status.WAITING
        assert stage.gate.holders[0].uid
        stage.world.cluster.remove_foreign("lab", "scan-t0")
        await daemon.full_pass()
        await daemon.full_pass()
        assert stage.job("scan-t0").verdict is Verdict.LOST
        await stage.until_over(daemon)

    perform(trace)


@pytest.mark.parametrize(("was_active", "verdict"), [(True, Verdict.LOST), (False, Verdict.NAME_COLLISION)])
def test_an_object_that_is_replaced_between_its_place_and_its_record(
    *, was_active: bool, verdict: Verdict
) -> None:
    """A crash after the place was given, and another runs under the name since: it is not bound to it.

    It was, while the gate counted it beside the place, or by another's uid (found by seed 424).
    """

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        leave(stage, "scan-t0", NEVER_ENDS if was_active else FAILS, active=was_active)
        await stage.drop(1, 2)
        await daemon.full_pass()
        await adopt(stage)
        stage.script.lines.append(("change", Fault.FAILED))
        await daemon.full_pass()
        assert bool(stage.gate.holders[0].uid) is was_active
        stage.world.cluster.remove_foreign("lab", "scan-t0")
        other = leave(stage, "scan-t0", NEVER_ENDS)
        await stage.passes(daemon, 60)
        assert stage.job("scan-t0").verdict is verdict
        assert [foreign.uid for foreign in stage.gate.foreign] == [other]
        stage.world.cluster.remove_foreign("lab", "scan-t0")
        await stage.until_over(daemon)

    perform(trace)


@pytest.mark.parametrize("head_start", [n / 2000 for n in range(12)])
def test_two_at_once_do_no_harm(head_start: float) -> None:
    """Two controllers that both believe they lead take the same batch over, one a little behind the other."""

    async def trace(stage: Stage) -> None:
        one = await stage.leader("one")
        uids = leftovers(stage)
        await stage.drop(6, 2)
        await one.full_pass()
        await adopt(stage)
        two = stage.controller("two")
        two.engine.epoch = one.engine.epoch

        async def behind() -> None:
            await asyncio.sleep(head_start)
            await two.full_pass()

        await asyncio.gather(one.full_pass(), behind())
        await one.full_pass()
        assert _standing(stage) == STANDING
        still_theirs(stage, uids)

    perform(trace)


def test_an_outage_judges_nothing() -> None:
    """While the cluster can't be asked, an attempt that was taken over stays what it is."""

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        leave(stage, "scan-t0", End(0.0, 3.0))
        await stage.drop(1, 1)
        await daemon.full_pass()
        await adopt(stage)
        await daemon.full_pass()
        stage.script.lines += [("find_uid", Fault.FAILED)] * 3
        await stage.passes(daemon, 15)
        assert stage.job("scan-t0").status is Status.RUNNING
        await stage.until_over(daemon)
        assert stage.job("scan-t0").status is Status.COMPLETED

    perform(trace)


def test_places_are_taken_over_between_two_claims() -> None:
    """A claim of another batch counts them: an operator's limit over all batches is arithmetic over gates."""

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        leave(stage, "scan-t0", End(0.0, 40.0))
        await stage.drop(1, 1)
        await daemon.full_pass()
        await adopt(stage)
        async with daemon.engine.claims:  # as by a claim of another batch that has counted all places
            taking_over = asyncio.ensure_future(daemon.full_pass())
            await asyncio.sleep(5)
            assert not stage.gate.holders
        await taking_over
        assert len(stage.gate.holders) == 1
        await stage.until_over(daemon)

    perform(trace)
