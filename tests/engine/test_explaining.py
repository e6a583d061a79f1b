"""What a batch waits for that could start something: asked of the records where its view does not tell."""

from __future__ import annotations

from controller import requests
from controller.core.explain import Explanation
from controller.daemon import Daemon
from controller.explaining import explanation_of_batch
from controller.requests import Caller
from tests.engine.acting import batch_named, drop
from tests.fakes.memory_objects import End
from tests.simulation.people import OWNER
from tests.simulation.stage import Stage, perform

ADMIN = Caller(OWNER, admin=True)
RULE = {
    "on": {"verdict": ["mount-failure"]},
    "limit": 1,
    "when": "now",
    "backoff": {"base": "30s", "factor": 1, "max": "30s"},
}
AT_END = (RULE | {"when": "batch-end"},)
ENDS = {"scan-t0": End(0.0, 1.0, 2), "scan-t1": End(0.0, 300.0), "scan-t2": End(0.0, 300.0)}


async def _why(stage: Stage, daemon: Daemon) -> Explanation:
    return await explanation_of_batch(daemon.engine, batch_named(stage, "scan"))


async def _one_failed(stage: Stage, tasks: int, most: int, rule: tuple[dict[str, object], ...]) -> Daemon:
    """The first task has failed a while ago, and the others run."""
    daemon = await stage.leader()
    await drop(stage, "scan", tasks, most, retry=rule)
    await stage.passes(daemon, 20)
    halted = (await daemon.engine.store.halts()).retries
    assert (await _why(stage, daemon)).cause == ("retries-halted" if halted else "back-off")
    await stage.passes(daemon, 40)
    return daemon


def test_a_retry_that_waits_for_the_end_of_its_batch_is_named() -> None:
    """One job ran, places were free, a retry waited for the batch's end: it said that nothing waits."""

    async def trace(stage: Stage) -> None:
        daemon = await _one_failed(stage, 2, 4, AT_END)
        why = await _why(stage, daemon)
        assert why.cause == "batch-end"
        assert "1 of 4 active jobs in batch scan: 1 retry waits, to start" in why.sentence
        assert "when nothing else of the batch waits or is active (when: batch-end)" in why.sentence
        await stage.until_over(daemon)

    perform(trace, ends=ENDS)


def test_a_full_batch_promises_no_start_to_who_waits_for_its_end() -> None:
    """The next one starts when an active job ends, it said, while nobody waited who would."""

    async def trace(stage: Stage) -> None:
        daemon = await _one_failed(stage, 3, 2, AT_END)
        why = await _why(stage, daemon)
        assert why.cause == "batch-end"
        assert "2 of 2 active jobs in batch scan: 1 retry waits, to start" in why.sentence
        await stage.until_over(daemon)

    perform(trace, ends=ENDS)


def test_a_full_batch_promises_no_start_to_retries_that_are_halted() -> None:
    """What waits are automatic retries, and these are halted: no end of a job starts them."""

    async def trace(stage: Stage) -> None:
        await requests.halt(stage.people, ADMIN, "retries", "look first")
        daemon = await _one_failed(stage, 3, 2, (RULE,))
        why = await _why(stage, daemon)
        assert why.cause == "retries-halted"
        assert "2 of 2 active jobs in batch scan: 1 retry waits; automatic retries are halted" in why.sentence
        await requests.unhalt(stage.people, ADMIN, "retries")
        assert (await _why(stage, daemon)).cause == "full"
        await stage.until_over(daemon)

    perform(trace, ends=ENDS)
