"""The brake (S7b): when nearly all of a batch fails in one and the same way, the rest is not burnt too.

The engine asks after each end of a first attempt; the answer becomes the gate's hold until ``resume``.
"""

from __future__ import annotations

from collections.abc import Mapping

from controller.core.model import Verdict

ENOUGH = 10
"""First attempts that must have ended, since the start, a ``resume`` or a reopening, before it is judged."""
PERCENT = 80
NEVER_SYSTEMIC = frozenset({Verdict.SUCCEEDED, Verdict.CANCELLED, Verdict.REAPED})
"""A success is no failure, and what we or people ended says nothing about the batch."""


def systemic_failure(first: Mapping[Verdict, int]) -> Verdict | None:
    """The verdict that at least 80 % of the ended first attempts share, if 10 or more have ended."""
    ended = sum(first.values())
    if ended < ENOUGH:
        return None
    return next(
        (
            verdict
            for verdict, number in first.items()
            if verdict not in NEVER_SYSTEMIC and number * 100 >= ended * PERCENT
        ),
        None,
    )


def hold_sentence(first: Mapping[Verdict, int], verdict: Verdict) -> str:
    """Why the batch is held, with the numbers, and what to do."""
    number, ended = first.get(verdict, 0), sum(first.values())
    return (
        f"{number} of the {ended} first attempts that ended were {verdict}: "
        "put that right, then resume the batch"
    )
