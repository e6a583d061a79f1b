"""The garbage collector of a daemon: seldom, short, and still there."""

import asyncio
import gc
import subprocess
import sys
import weakref
from pathlib import Path
from typing import Any

import pytest

from controller.app import run_controller
from controller.collector import SHARE, THRESHOLDS, Sweeper, short_pauses
from controller.config import Settings
from tests.bench.telling import malloc


class Node:
    """Something that can be part of a cycle."""

    other: object = None


def test_what_was_there_before_is_not_looked_at_again() -> None:
    """In the block a collection passes over what was there; after it everything is as before."""
    before, there = gc.get_threshold(), Node()
    assert gc.get_freeze_count() == 0
    with short_pauses():
        assert not any(one is there for one in gc.get_objects())
        assert gc.get_threshold() == THRESHOLDS
    assert any(one is there for one in gc.get_objects())
    assert (gc.get_threshold(), gc.get_freeze_count()) == (before, 0)


def test_cycles_are_still_found() -> None:
    """A cycle that is made in the block and let go is collected without anybody asking for it."""
    with short_pauses():
        node = Node()
        node.other = node
        gone = weakref.ref(node)
        del node
        kept: list[list[int]] = [[] for _ in range(10 * THRESHOLDS[0])]
        assert gone() is None
        assert len(kept) == 10 * THRESHOLDS[0]


def test_what_fails_inside_leaves_the_collector_as_it_was() -> None:
    """An error in the block passes through, and the collector is as before."""
    before = gc.get_threshold()
    try:
        with short_pauses():
            raise KeyError("for nothing")
    except KeyError:
        pass
    assert (gc.get_threshold(), gc.get_freeze_count()) == (before, 0)


async def test_a_daemon_runs_with_short_pauses(mongo_uri: str, mongo_database: str, tmp_path: Path) -> None:
    """Once all of it is put together, and until it ends; after it everything is as before."""
    before, seen, stop = gc.get_threshold(), list[tuple[Any, bool]](), asyncio.Event()

    def ready(running: object) -> None:
        seen.append((gc.get_threshold(), any(one is running for one in gc.get_objects())))
        stop.set()

    store, specs = {"uri": mongo_uri, "database": mongo_database}, {"folder": tmp_path / "specs"}
    settings = Settings(state_dir=tmp_path, store=store, specs=specs, http={"enabled": False})
    assert await run_controller(settings, stop=stop, ready=ready) == 0
    assert seen == [(THRESHOLDS, False)], "it is ready within the block, and what was put together before it"
    assert (gc.get_threshold(), gc.get_freeze_count()) == (before, 0)


async def test_everything_is_looked_at_by_the_clock() -> None:
    """A cycle that has grown old goes with the next look; after one that took long that is later."""
    now = [100.0]
    sweeper = Sweeper(lambda: now[0])
    with short_pauses():
        gone = _old_cycle()
        await sweeper.sweep()
        assert gone() is None
        later = _old_cycle()
        sweeper._due = now[0] + SHARE * 0.05
        now[0] += SHARE * 0.05 - 1
        await sweeper.sweep()
        assert later() is not None
        now[0] += 1
        await sweeper.sweep()
        assert later() is None


async def test_the_youngest_are_looked_at_in_between() -> None:
    """A request's cycle waited until two thousand other objects had come, which takes a quiet daemon long."""
    sweeper = Sweeper(lambda: 100.0)
    with short_pauses():
        await sweeper.sweep()
        node = Node()
        node.other = node
        gone = weakref.ref(node)
        del node
        assert gone() is not None
        await sweeper.sweep()
        assert gone() is None


def _old_cycle() -> weakref.ref[Node]:
    """One that only a look at everything finds."""
    node = Node()
    node.other = node
    gc.collect()
    return weakref.ref(node)


GAPS = """
import asyncio, os
from controller.collector import Sweeper
from tests.bench import proc
held = [bytes(2000) for _ in range(20_000)]
held = held[::20]
before = proc.resident(os.getpid())
asyncio.run(Sweeper().sweep())
print(before - proc.resident(os.getpid()))
"""
"""Nineteen of twenty pieces are free, and the last of them is not."""


@pytest.mark.skipif(not any(malloc().values()), reason="another C library than glibc")
def test_what_is_free_goes_back_to_the_system() -> None:
    """Gaps in the pool are no memory of ours any more after a look at everything."""
    ended = subprocess.run([sys.executable, "-c", GAPS], capture_output=True, text=True, check=True)
    assert int(ended.stdout) > 15 * 2**20
