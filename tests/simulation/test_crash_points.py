"""Every situation, crashed at every single side effect: before it, before its reply, and after its reply."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping

import pytest

from controller.core.machine import Event
from controller.ports import Cluster, EventWriter, Notifier, SpecSource, Store
from tests.simulation.crashes import READS, Moment, after, attempt, perform, wrong
from tests.simulation.situation import Situation
from tests.simulation.situations import PAIRS, SITUATIONS, SMALL
from tests.simulation.told import wrongly_told

PORTS: Mapping[str, tuple[type, ...]] = {
    "store": (Store, SpecSource),
    "cluster": (Cluster, EventWriter, Notifier),
}
"""By the side that the simulator knows: the ports through which an engine changes anything."""
NO_WRITE_OF_ITS_OWN = {
    Event.STAMPED: "store.stamp writes it",
    Event.LINKED: "store.list_retries writes it",
    Event.TOGGLED: "store.toggle writes it",
}
"""Rows of the state machine that the store is never asked for, and what is struck instead."""
_CHANGES = ("store.change", "store.changes_many")


@pytest.mark.parametrize("situation", SITUATIONS, ids=lambda situation: situation.name)
def test_a_crash_at_any_side_effect_is_made_good(situation: Situation) -> None:
    """Whoever makes it (a replica, the intake, a person) dies there, comes back, and all ends as it must."""
    undisturbed = attempt(situation)
    assert not undisturbed.wrong, undisturbed
    bad = []
    for tried in after(situation, undisturbed):
        ((number, _),) = tried.crashes
        assert _maker(tried.writes[number - 1]) == _maker(undisturbed.writes[number - 1])
        bad += [str(tried)] if tried.wrong else []
    assert not bad, "\n".join(bad[:5])


def _maker(write: str) -> str:
    """Who made it, and by which call; what exactly it was is known only where it was applied."""
    return write.partition(":")[0]


def test_every_kind_of_side_effect_is_struck() -> None:
    """Each write of each port, and each row of the state machine, is made in some situation."""
    made = {write.partition(" ")[2] for situation in SITUATIONS for write in attempt(situation).writes}
    writes = {
        f"{side}.{name}" for side, ports in PORTS.items() for port in ports for name in _calls(port) - READS
    }
    assert {write.partition(":")[0] for write in made} == writes
    rows = [write.partition(":") for write in made]
    events = {row for call, _, what in rows if call in _CHANGES for row in what.split()}
    assert events == set(Event) - set(NO_WRITE_OF_ITS_OWN)
    for struck in NO_WRITE_OF_ITS_OWN.values():
        assert struck.split()[0] in made
    assert {write.split(":")[1] for write in made if "set_gate:" in write} == set("max paused cancel".split())


def test_what_is_taken_for_a_read_is_a_call_of_a_port() -> None:
    """No renamed write is left out by its old name."""
    assert {name for ports in PORTS.values() for port in ports for name in _calls(port)} >= READS


def _calls(port: type) -> frozenset[str]:
    return frozenset(name for name, what in vars(port).items() if inspect.iscoroutinefunction(what))


def test_everybody_is_struck() -> None:
    """The replicas, the intake, the spec pass and the people who ask all die in some situation."""
    who = {write.split()[0] for situation in SITUATIONS for write in attempt(situation).writes}
    assert who == {"replica-0", "replica-1", "intake", "clerk", "person"}


def test_without_a_crash_every_message_comes_once() -> None:
    """What may come twice comes twice because of a crash, and of nothing else."""
    for situation in SITUATIONS:
        if situation.scenario.tells:
            world, _ = perform(situation)
            assert not list(wrongly_told(world, twice=0)), situation.name


def test_pairs_are_of_creating_retrying_and_reaping() -> None:
    """The long run's situations create, retry and reap; two crashes of each are made here too."""
    kinds = [{re.sub(r".*\.", "", write) for write in attempt(situation).writes} for situation in PAIRS]
    assert all("create" in made for made in kinds)
    assert any("list_retries" in made for made in kinds)
    assert sum("change:overdue" in made for made in kinds) == 2
    for situation in PAIRS:
        first = attempt(situation, (len(attempt(situation).writes) // 2, Moment.UNANSWERED))
        second = next(after(situation, first))
        assert len(second.crashes) == 2
        assert not second.wrong, second


def test_an_end_that_is_not_the_wanted_one_is_seen() -> None:
    """A situation whose jobs end otherwise than it says is not good."""
    world, _ = perform(SMALL)
    other = Situation("another", wanted={"scan-t0": (SMALL.wanted["scan-t0"])})
    assert any("scan-t2" in line for line in wrong(other, world))
