"""Gates that were lost with their places: what becomes of who was active."""

from __future__ import annotations

from collections.abc import Callable

from controller.core.model import Holder
from tests.oracle.histories import Tale
from tests.oracle.invariants import Invariant


def _lose_the_gate(tale: Tale) -> None:
    """Of two jobs one runs when the gate is lost; whoever leads makes another one, held until it is whole."""
    tale.begin("a", "c")
    tale.run("a")
    tale.oracle.state.set_back([], tale.gate, tale.now, without_gate=True)
    tale.regate(holders=(), hold="looking: what runs under its names already")


def place_for_who_waits(tale: Tale) -> None:
    """A place is given back to a job that had none."""
    _lose_the_gate(tale)
    tale.regate(holders=(Holder("c", 1),))


def opened_without_a_place(tale: Tale) -> None:
    """The hold is lifted, and what runs has no place: one too many may start."""
    _lose_the_gate(tale)
    tale.regate(hold="")


def lawful_places_given_back(tale: Tale) -> None:
    """What runs has its place again, and then the next one starts."""
    _lose_the_gate(tale)
    tale.regate(holders=(Holder("a", 0),))
    tale.regate(hold="")
    tale.run("c", "v", 1)
    tale.end("a")
    tale.end("c", "v")
    tale.finish()


BENT_GATES: tuple[tuple[Callable[[Tale], None], Invariant], ...] = (
    (place_for_who_waits, Invariant.GATE_SHUT),
    (opened_without_a_place, Invariant.PLACES),
)
LAWFUL_GATES = (lawful_places_given_back,)
