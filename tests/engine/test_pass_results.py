"""How a pass ended is what is counted: one that was cut off, or failed, is none that went through."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from controller.daemon import Daemon
from controller.telemetry import Metrics
from controller.telemetry.journal import TelemetryJournal
from tests.simulation.stage import Stage, perform


class Telling(TelemetryJournal):
    """A journal that keeps how passes ended."""

    def __init__(self) -> None:
        super().__init__(Metrics(CollectorRegistry()))
        self.ends: list[tuple[str, str]] = []

    def passed(self, kind: str, result: str, seconds: float, steps: int) -> None:
        """A pass ended."""
        self.ends.append((kind, result))


async def telling(stage: Stage) -> tuple[Daemon, list[tuple[str, str]]]:
    """A leader with one batch, and how its passes end from now on."""
    daemon, journal = await stage.leader(), Telling()
    daemon.engine.journal = journal
    await stage.drop(1, 1)
    await daemon.full_pass()
    assert journal.ends == [("full", "ok")]
    journal.ends.clear()
    return daemon, journal.ends


async def never(*asked: Any) -> Any:
    """No answer."""
    await asyncio.sleep(1000)


async def broken(*asked: Any) -> Any:
    """What nobody foresaw."""
    raise RuntimeError("nobody thought of that")


def test_a_pass_that_its_time_limit_cuts_off_did_not_go_through() -> None:
    """It was counted as good, so the alert for a leader whose passes all hang never came."""

    async def trace(stage: Stage) -> None:
        daemon, ends = await telling(stage)
        daemon.engine.store.epoch = never  # type: ignore[method-assign]
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(60):
                await daemon.full_pass()
        assert ends == [("full", "timed-out")]

    perform(trace)


def test_a_pass_that_fails_unforeseen_did_not_go_through() -> None:
    """That of one batch was counted as good, too."""

    async def trace(stage: Stage) -> None:
        daemon, ends = await telling(stage)
        daemon.engine.store.standing = broken  # type: ignore[assignment, method-assign]
        daemon.engine.store.epoch = broken  # type: ignore[method-assign]
        for each in (daemon.batch_pass(stage.batch.id, None), daemon.full_pass()):
            with pytest.raises(RuntimeError):
                await each
        assert ends == [("batch", "failed"), ("full", "failed")]

    perform(trace)
