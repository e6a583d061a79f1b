"""The garbage collector of a daemon: seldom, short, and still there."""

import gc
import weakref

from controller.collector import THRESHOLDS, short_pauses


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
