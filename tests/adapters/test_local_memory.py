"""How often a job's memory is measured: seldom where it takes long, and never for all of a processor."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from controller.adapters import local_memory
from controller.adapters.local_memory import Meter

LIMIT = 100
COST = 2.0
"""Seconds of a measurement, as of a job with many gigabytes."""


class Machine:
    """A job of two workers that share nearly all they have, on a clock that measurements alone move."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        self.resident, self.proportional = 190, 99
        self.measured = 0
        patch.setattr(local_memory, "time", SimpleNamespace(monotonic=lambda: self.now))
        patch.setattr(local_memory, "resident", lambda procs: self.resident)
        patch.setattr(local_memory, "proportional", lambda procs: self._measure())

    def _measure(self) -> int:
        self.measured += 1
        self.now += COST
        return self.proportional

    def minutes(self, meter: Meter, n: int) -> int:
        """Look every 100 ms for so long; the first answer that is over the limit."""
        until = self.now + 60 * n
        while self.now < until:
            if used := meter.over(()):
                return used
            self.now += 0.1
        return 0


def test_shared_pages_do_not_keep_a_processor_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sum of RSS is over the limit for as long as the workers live, and says nothing: a fifth of the
    time may go into knowing better, and the limit is seen all the same."""
    machine, meter = Machine(monkeypatch), Meter(LIMIT)
    assert machine.minutes(meter, 10) == 0
    assert machine.measured * COST <= 600 / 5 + COST
    machine.proportional = 101
    assert machine.minutes(meter, 1) == 101


def test_a_job_that_leaps_is_measured_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """As long as its RSS was within the limit it was measured seldom: the first look after that counts."""
    machine, meter = Machine(monkeypatch), Meter(LIMIT)
    machine.resident = 99
    assert meter.over(()) == 0
    machine.resident, machine.proportional = 190, 150
    machine.now += 0.1
    assert meter.over(()) == 150
    assert meter.peak == 150
