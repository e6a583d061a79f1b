"""The garbage collector of a daemon: seldom, short, and still there."""

import asyncio
import gc
import weakref
from pathlib import Path
from typing import Any

from controller.app import run_controller
from controller.collector import THRESHOLDS, short_pauses
from controller.config import Settings


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
