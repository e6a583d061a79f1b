"""The lock on the state folder: one daemon has it, and who only asks is none."""

from __future__ import annotations

import asyncio
import fcntl
import itertools
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from controller.adapters import state_lock
from controller.adapters.state_lock import AlreadyLed, LockElector, StateLock
from tests.leading.candidates import now, play


def test_the_second_daemon_is_told_who_has_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One has it until it lets go; whoever comes second is told so, and by whom it is held."""
    monkeypatch.setattr(state_lock, "ASKING_SECONDS", 0.0)
    first, second = StateLock(tmp_path), StateLock(tmp_path)
    first.acquire()
    assert second.held()
    with pytest.raises(AlreadyLed, match=f"pid {first.holder()}"):
        second.acquire()
    first.release()
    assert not second.held()
    second.acquire()
    second.release()


def test_a_command_that_asks_keeps_no_daemon_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands ask whether a daemon is there by taking the lock for an instant: a daemon that starts in that
    very instant is not told that another one is there."""
    lock = StateLock(tmp_path)
    lock.path.touch()
    asker = lock.path.open("r", encoding="utf-8")
    fcntl.flock(asker, fcntl.LOCK_SH)
    answered = SimpleNamespace(monotonic=time.monotonic, sleep=lambda seconds: asker.close())
    monkeypatch.setattr(state_lock, "time", answered)
    lock.acquire()
    assert StateLock(tmp_path).held()
    lock.release()


def test_short_terms_are_further_and_further_apart() -> None:
    """A database that is back after a second is led a second later, not after a minute; two that overtake
    each other come to rest. After a long term the next one begins at once."""

    async def main() -> list[int]:
        elector, began = LockElector("one"), list[float]()
        for term in (0, 0, 0, 0, 0, 0, 0, 0, 600, 0):
            await elector.acquire()
            began.append(now())
            await asyncio.sleep(term)
            await elector.release()
        return [round(after - before) for before, after in itertools.pairwise(began)]

    assert play(main) == [1, 2, 4, 8, 16, 32, 60, 60, 600]
