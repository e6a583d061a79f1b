"""A rule about what others ran: once it is over it takes no place away any more."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from controller.core.model import Gate
from tests.oracle.history import Parent, Written
from tests.oracle.invariants import Broken, Invariant
from tests.oracle.state import State


def judge_kept(state: State, entry: Written) -> Iterator[Broken]:
    """What has been over for long counts no more when something starts, or the batch comes to its end."""
    match entry.after:
        case Gate() as gate:
            before = state.gates.get(gate.batch_id)
            held = {holder.job for holder in before.holders} if before else set()
            if not {holder.job for holder in gate.holders} <= held:
                yield from _over(state, gate, entry.at)
        case Parent(batch) if batch.status.closed and batch.id in state.opened and batch.id in state.gates:
            yield from _over(state, state.gates[batch.id], entry.at)
        case _:
            return


def _over(state: State, gate: Gate, at: datetime) -> Iterator[Broken]:
    opened = state.opened.get(gate.batch_id, at)
    for foreign in gate.foreign:
        thing = state.things.get(foreign.uid)
        if thing is None or thing.live or thing.over is None:
            continue
        since = max(thing.over, opened)
        if at - since - state.unseen(since, at, thing.namespace) > state.facts.forgets:
            yield Invariant.FOREIGN_KEPT, f"{foreign.name} still counts, and is over for {at - thing.over}"
