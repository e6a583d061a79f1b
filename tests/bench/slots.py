"""How the places of a batch were used, from the cluster's own history: when each was taken, when it was free.

Pure. The audit log tells when a request came and when it was answered; what it changed, it changed between
the two. A figure in seconds is taken between answers. That there was one too many is said only where it is
certain: an end counts from when it came, a begin from when it was answered.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from tests.control_plane.commands import ITSELF
from tests.control_plane.plane import Asked

JOBS, PODS = "jobs", "pods"


@dataclass(frozen=True, slots=True)
class Turn:
    """A begin or an end: when it was asked for, and when it was answered."""

    came: datetime
    at: datetime


@dataclass(frozen=True)
class Slots:
    """The begins and ends of one workload, each in their order, and how many may be there at once."""

    begins: Sequence[Turn]
    ends: Sequence[Turn]
    at_once: int

    def first(self, n: int) -> Slots:
        """Up to the n-th end."""
        ends = self.ends[:n]
        return Slots([one for one in self.begins if one.at <= ends[-1].at], ends, self.at_once)

    @property
    def span(self) -> float:
        """Seconds from the first begin to the last end."""
        return (self.ends[-1].at - self.begins[0].at).total_seconds()

    def refills(self) -> list[float]:
        """Seconds from each end to the begin that took the place: the n-th end frees for begin max + n.

        What nobody took a place after is left out.
        """
        pairs = zip(self.ends, self.begins[self.at_once :], strict=False)
        return [(begin.at - end.at).total_seconds() for end, begin in pairs]

    def utilisation(self, seconds: float) -> float:
        """Of the slot-seconds of the whole span, the share that jobs took which need ``seconds`` each."""
        return len(self.ends) * seconds / (self.at_once * self.span)

    @property
    def most(self) -> int:
        """How many there certainly were at once, at most."""
        return max((there for there in self._after_each_begin()), default=0)

    @property
    def violations(self) -> int:
        """Begins after which there were certainly more than may be."""
        return sum(there > self.at_once for there in self._after_each_begin())

    def _after_each_begin(self) -> list[int]:
        # An end goes before a begin of the same instant: what is not certain does not count.
        turns = [(end.came, 0) for end in self.ends] + [(begin.at, 1) for begin in self.begins]
        counts, there = [], 0
        for _, begins in sorted(turns):
            there += 1 if begins else -1
            if begins:
                counts.append(there)
        return counts


def slots(asked: Sequence[Asked], what: str, at_once: int) -> Slots:
    """From an audit log: a place is taken by the create of a Job or of a pod, as ``what`` says, and freed by
    the second status of a pod: the first one says that it runs."""
    told: dict[str, list[Turn]] = defaultdict(list)
    begins = []
    for one in asked:
        turn = Turn(one.came, one.at)
        if (one.verb, one.resource, one.code) == ("create", what, 201):
            begins.append(turn)
        elif (one.user, one.resource, one.code) == (ITSELF, "pods/status", 200):
            told[one.name].append(turn)
    ends = [sorted(turns, key=_at)[1] for turns in told.values() if len(turns) > 1]
    return Slots(sorted(begins, key=_at), sorted(ends, key=_at), at_once)


def _at(turn: Turn) -> datetime:
    return turn.at
