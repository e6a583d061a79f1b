"""What a plan is made from: one batch, its gate, and the records and sights that may move now.

Built by ``controller.looking``; never all of a batch's records, only those that hold a place, those
whose objects were seen, and the first waiting ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from controller.core.decide import UNSEEN, Lifecycle, Sight
from controller.core.model import Attempt, Batch, Gate, Halts
from controller.core.naming import root_name
from controller.core.notices import Channel
from controller.core.sight import ClusterJob, ForeignObject
from controller.core.spec import RetryRule


@dataclass(frozen=True, slots=True)
class Allowance:
    """How many attempts the world outside the gate lets start now, and the sentence if it is none."""

    places: int
    why: str = ""


UNLIMITED = Allowance(places=1_000_000_000)


@dataclass(frozen=True, slots=True)
class View:
    """One batch at one instant. Partial views (after an event) show fewer holders, never wrong ones."""

    batch: Batch
    gate: Gate
    now: datetime
    life: Lifecycle
    rules: Sequence[RetryRule] = ()
    max_auto_retries: int = 6
    halts: Halts = field(default_factory=Halts)
    holders: Sequence[Attempt] = ()
    """Records of gate holders: all of them, or those that an event named."""
    others: Sequence[Attempt] = ()
    """Records without a place whose objects were seen."""
    due: Sequence[Attempt] = ()
    """The first waiting records that are due, in the order in which they start."""
    at_end: Sequence[Attempt] = ()
    """Due ``batch-end`` retries; looked for only when nothing else waits."""
    idle: bool = False
    """Nothing is active, and nothing but ``batch-end`` retries waits."""
    done: bool = False
    """Nothing is waiting or active."""
    completed: int = 0
    """Completed attempts; counted only when ``done``, and for a plan only: a look tells nothing by it."""
    chains: Mapping[str, Sequence[Attempt]] = field(default_factory=dict)
    """All attempts of a task, by root id, for the ended holders and the due automatic retries."""
    sights: Mapping[str, Sight] = field(default_factory=dict)
    orphans: Sequence[ClusterJob] = ()
    """Active objects with our labels whose record can't be found, or knows nothing of them."""
    foreign: Sequence[ForeignObject] | None = None
    """Active foreign objects under the prefix; None: no list recent enough, so nothing may be claimed."""
    blind: str = ""
    """Why the batch's namespace could not be seen; empty: it was."""
    unserved: frozenset[str] = frozenset()
    """API groups of counted kinds that the cluster does not serve."""
    allowance: Allowance = UNLIMITED
    """What operator's limits, other batches and the submission rate leave."""
    channels: frozenset[Channel] = frozenset()
    """The ways by which people are told what happens."""

    def sight(self, job: Attempt) -> Sight:
        """What is known of this attempt's object."""
        return self.sights.get(job.id, UNSEEN)

    @property
    def unrecorded(self) -> Mapping[str, str]:
        """By the names of tasks' first attempts: a live object of that task that no record follows.

        Nothing of such a task starts before that has ended: no task has two jobs at once, also after the
        database was set back or lost, nor beside a ghost.
        """
        counted = (thing.name for thing in self.gate.foreign if thing.ours)
        seen = (thing.name for thing in self.foreign or () if thing.orphan and thing.active)
        over = [(job.name, self.sight(job).job) for job in self.others if job.status.terminal]
        ghosts = (name for name, found in over if found and found.active)
        names = (*counted, *seen, *ghosts, *(orphan.name for orphan in self.orphans))
        return {root_name(name, self.batch.name): name for name in names}
