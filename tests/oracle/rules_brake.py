"""Rules about what is held back: creates that must not go out, and whose retry a retry is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from controller.core.model import Attempt, Gate, Origin, Status
from tests.oracle.history import Written
from tests.oracle.invariants import Broken, Invariant
from tests.oracle.rules_retries import owed
from tests.oracle.state import State

RETRIED = ("namespace", "user", "index")
"""What a retry has from its root as it is, beside what it is to run."""


def judge_start(state: State, entry: Written) -> Iterator[Broken]:
    """A create begins with its token: none does while submissions are halted, its gate is shut or is full,
    nor an automatic retry's first one while those are halted.

    Whoever begins it may have looked a while ago, so what forbids it must have stood that long.
    """
    after = entry.after
    assert isinstance(after, Attempt)
    before = state.jobs.get(after.id)
    if before is None or after.status is not Status.CREATED:
        return
    if not {one.token for one in after.open_creates} - {one.token for one in before.open_creates}:
        return
    claimed = before.status is Status.WAITING
    by_a_rule = claimed and after.origin is Origin.AUTO
    for what, since in (
        ("submissions are halted", state.halted.get("submissions")),
        ("automatic retries are halted", state.halted.get("retries") if by_a_rule else None),
        ("the gate counts its maximum without it", state.full.get(after.batch_id)),
        ("the gate is shut", state.shut.get(after.batch_id) if claimed else None),
    ):
        if since is not None and entry.at - since > state.facts.patience:
            yield Invariant.GATE_SHUT, f"a create of {after.name} begins, and {what} for {entry.at - since}"


def judge_likeness(state: State, entry: Written) -> Iterator[Broken]:
    """A retry runs what its root ran, and for the same; people and rules may ask for other resources."""
    after = entry.after
    assert isinstance(after, Attempt)
    chain = state.task(after)
    if after.id in state.jobs or not chain:
        return
    root = chain[0]
    if moved := [name for name in RETRIED if getattr(after, name) != getattr(root, name)]:
        yield Invariant.LIKENESS, f"{after.name} is no retry of {root.name}: {moved} differ"
    if after.name != f"{root.name}-r{after.attempt}":
        yield Invariant.LIKENESS, f"{after.name} is retry {after.attempt} of {root.name}"
    if replace(after.job_input, resources=root.job_input.resources) != root.job_input:
        yield Invariant.LIKENESS, f"{after.name} runs something else than {root.name}"
    if after.image_digest not in {"", *(one.image_digest for one in chain)}:
        yield Invariant.LIKENESS, f"{after.name} runs an image that its task never ran: {after.image_digest}"
    yield from _resources(state, chain, after)


def _resources(state: State, chain: Sequence[Attempt], child: Attempt) -> Iterator[Broken]:
    """Nobody gives a retry less than its task had; more only where a rule of the spec may say so."""
    was, now = chain[-1].job_input.resources, child.job_input.resources
    if child.origin is not Origin.AUTO or was == now:
        return
    grown = state.facts.may_grow and all(
        getattr(now, name) >= getattr(was, name) for name in ("cpu", "memory", "gpu")
    )
    if not grown:
        yield Invariant.LIKENESS, f"{child.name} asks for {now}, and {chain[-1].name} had {was}"


def judge_given_up(state: State, entry: Written) -> Iterator[Broken]:
    """The place remembers what is owed: nobody leaves the gate before his retry is recorded."""
    after = entry.after
    assert isinstance(after, Gate)
    before = state.gates.get(after.batch_id)
    stay = {holder.job for holder in after.holders}
    for holder in before.holders if before else ():
        job = state.jobs.get(holder.job)
        if job is None or job.id in stay or not job.status.terminal:
            continue
        if state.task(job)[-1].id == job.id and owed(state, job):
            yield Invariant.GIVEN_UP, f"{job.name} left the gate as {job.verdict}, and its retry is owed"
