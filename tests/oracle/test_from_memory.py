"""What the oracle reads in the history of the cluster in memory: the truth about how a program ended."""

from __future__ import annotations

import pytest

from tests.fakes.memory_objects import End
from tests.simulation.stage import Stage, perform


@pytest.mark.parametrize(
    ("runs", "success"), [(6.5, True), (60.0, False)], ids=["by itself, meanwhile", "cut short"]
)
def test_what_a_deletion_ends_was_cut_short(runs: float, success: bool) -> None:
    """What ended well while its deletion took its time, and went right after, was told as cut short."""

    async def trace(stage: Stage) -> None:
        stage.world.recorder.tracing = True
        daemon = await stage.leader()
        await stage.drop(1, 1)
        await daemon.full_pass()
        await stage.cancel("scan-t0")
        await daemon.full_pass()
        await stage.until_over(daemon)

    told = perform(trace, ends={"scan-t0": End(0.0, runs)}, deletion=8.0).world.recorder.trace
    assert [line.rpartition(" ")[2] for line in told if "scan-t0" in line and " ended " in line] == [
        f"success={success}"
    ]
