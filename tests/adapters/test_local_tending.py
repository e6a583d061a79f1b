"""What is due for a folder, and what is said of it."""

from __future__ import annotations

import os

import pytest

from controller.adapters import local_proc, local_tending
from controller.adapters.local_proc import Proc


def test_one_that_is_not_ours_to_kill_spares_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """A set-uid program among a lost job's leftovers is waited for, the others are killed."""
    asked: list[int] = []

    def send(proc: Proc, number: int) -> bool:
        asked.append(proc.pid)
        raise PermissionError(1, os.strerror(1))

    monkeypatch.setattr(local_proc, "send", send)
    local_tending._kill([Proc(11, 1), Proc(12, 1)])
    assert asked == [11, 12]
