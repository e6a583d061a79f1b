"""What may change while a batch runs: of two changes the later wins, in the setting and in the gate."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from controller import intake
from controller.intake import Outcome, change_setting
from tests.engine.acting import drop
from tests.simulation.people import OWNER, spec_of
from tests.simulation.scenario import BatchPlan
from tests.simulation.stage import Stage, perform


def test_gate_and_setting_agree_whoever_overtakes_whom() -> None:
    """Two changes of maxConcurrent crossed: the status said 7 for ever, and the gate let 5 run."""

    async def trace(stage: Stage) -> None:
        batch = await drop(stage, "scan", 1, 1)
        store, now = stage.world.store, stage.world.clock.now()
        real = store.set_setting

        async def overtaken(*args: Any) -> bool:
            store.set_setting = real  # type: ignore[method-assign]
            recorded = await real(*args)
            later = now + timedelta(seconds=1)
            await real(batch.id, "maxConcurrent", type(args[2])(7, "bob", later))
            return recorded

        store.set_setting = overtaken  # type: ignore[method-assign,assignment]
        said = await change_setting(store, batch, "maxConcurrent", 5, "ann", now)
        assert stage.batch.settings["maxConcurrent"].value == stage.gate.max == 7
        assert "7" in said

    perform(trace)


def test_gate_and_setting_agree_when_the_later_change_is_overtaken() -> None:
    """Paused, said its setting for ever, and its gate was open: who paused it had found their own word."""

    async def trace(stage: Stage) -> None:
        batch = await drop(stage, "scan", 1, 1)
        store, now = stage.world.store, stage.world.clock.now()
        real = store.set_setting

        async def overtaken(*args: Any) -> bool:
            store.set_setting = real  # type: ignore[method-assign]
            await change_setting(store, batch, "paused", False, "bob", now)
            return await real(*args)

        store.set_setting = overtaken  # type: ignore[method-assign,assignment]
        await change_setting(store, batch, "paused", True, "ann", now + timedelta(seconds=1))
        assert stage.batch.settings["paused"].value is stage.gate.paused is True

    perform(trace)


def test_a_change_that_comes_too_late_does_not_reach_the_gate() -> None:
    """A file that was edited before a command was given was read after it, and bound the gate alone."""

    async def trace(stage: Stage) -> None:
        batch = await drop(stage, "scan", 1, 1)
        store, now = stage.world.store, stage.world.clock.now() + timedelta(seconds=9)
        await change_setting(store, batch, "maxConcurrent", 7, "bob", now)
        await change_setting(store, batch, "maxConcurrent", 5, "scan.yaml", now - timedelta(seconds=5))
        assert stage.batch.settings["maxConcurrent"].value == stage.gate.max == 7

    perform(trace)


@pytest.mark.parametrize(
    ("by", "outcome", "most"), [(OWNER, Outcome.CHANGED, 4), ("eve", Outcome.REFUSED, 1)]
)
def test_a_file_changes_nobody_elses_batch(by: str, outcome: Outcome, most: int) -> None:
    """Where the batch's own file is gone, whoever may write to the folder could have changed its settings."""

    async def trace(stage: Stage) -> None:
        batch = await drop(stage, "scan", 1, 1)
        assert batch.user == OWNER
        more = spec_of(BatchPlan("scan", 1, 4), stage.world.scenario)
        taken = await intake.accept(stage.world.store, more, source="other.yaml", by=by)
        assert taken.outcome is outcome
        assert stage.gate.max == most

    perform(trace)
