"""Ended objects that may go: noted by the passes, let go beside them, for nobody waits for it.

Filled by ``acting``, emptied by ``daemon`` beside the passes or by a pass at its end. Only a note: what is
forgotten here in a crash, the next full pass finds again. A kubelet that is silent costs ten seconds for each
log: so none but the end of their own batch waits for them.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Container, Iterable
from dataclasses import dataclass, field

from controller.core.plan import MoveJob
from controller.core.view import View

LINGER = 10.0
"""Seconds for which what has ended lets others go first, while one pass follows another."""
CALM = 0.5
"""Seconds without a pass after which nobody is taken to wait for the cluster or the processor."""
TRIES = 3
"""How often an object is asked to expire that gives no answer while others do; then its batch may close."""


@dataclass(frozen=True, slots=True)
class Due:
    """A step that lets an object expire."""

    view: View
    """What it was planned from."""
    step: MoveJob
    since: float
    """The monotonic instant at which it was first noted, in seconds."""


@dataclass(slots=True)
class Expiries:
    """What may go, by batch id and job id, the oldest first."""

    served: bool = False
    """Somebody lets them go beside the passes; else each pass does so at its own end."""
    noted: asyncio.Event = field(default_factory=asyncio.Event)
    locks: defaultdict[str, asyncio.Lock] = field(default_factory=lambda: defaultdict(asyncio.Lock))
    """By batch id: held while some are let go, so that their batch does not close under them."""
    _due: dict[str, dict[str, Due]] = field(default_factory=dict)
    _rung: dict[str, None] = field(default_factory=dict)
    """Ids of batches of which some are to be let go now, the oldest first."""
    _tried: dict[str, int] = field(default_factory=dict)
    """By job id: how often one that is still noted gave no answer."""

    def note(self, view: View, step: MoveJob, now: float) -> None:
        """This object may go; said twice is said once."""
        due = self._due.setdefault(view.batch.id, {})
        before = due.get(step.job.id)
        due[step.job.id] = Due(view, step, before.since if before else now)
        self.ring(view.batch.id)

    def ring(self, batch_id: str) -> None:
        """What is noted of this batch is to be let go now, also what was taken in vain."""
        if batch_id in self._due:
            self._rung[batch_id] = None
            self.noted.set()

    def held(self, batch_id: str) -> int:
        """How many are noted of one batch."""
        return len(self._due.get(batch_id, ()))

    def oldest(self, batch_id: str) -> float | None:
        """Since which monotonic instant one has been noted; None: none is."""
        return min((due.since for due in self._due.get(batch_id, {}).values()), default=None)

    def take(self, batch_id: str, most: int | None = None) -> list[Due]:
        """The first of those that are noted of one batch, or all; they are noted no more."""
        due = self._due.get(batch_id, {})
        taken = [due.pop(job_id) for job_id in list(due)[:most]]
        if not due:
            self._due.pop(batch_id, None)
            self._rung.pop(batch_id, None)
        return taken

    def keep(self, due: Iterable[Due]) -> None:
        """They were taken in vain: whoever asks next for their batch asks for them too. Rings for nobody."""
        for each in due:
            self._due.setdefault(each.view.batch.id, {}).setdefault(each.step.job.id, each)

    def to_try_again(self, due: Iterable[Due], ill: Container[str]) -> list[Due]:
        """Those among them that gave no answer, and may yet."""
        again = []
        for each in due:
            tried = self._tried.pop(each.step.job.id, 0) + 1
            if each.step.job.id in ill and tried < TRIES:
                self._tried[each.step.job.id] = tried
                again.append(each)
        return again

    def batches(self) -> list[str]:
        """Of which batches something is to be let go now, the oldest first."""
        self.noted.clear()
        rung, self._rung = self._rung, {}
        return list(rung)

    def over(self, batch_id: str) -> None:
        """Nothing more comes of this batch."""
        if (lock := self.locks.get(batch_id)) is not None and not lock.locked():
            del self.locks[batch_id]

    def forget(self) -> None:
        """Whoever leads now will find them."""
        self._due.clear()
        self._rung.clear()
        self._tried.clear()
