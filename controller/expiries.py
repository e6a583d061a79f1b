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

TRIES = 3
"""How often an object is asked to expire that gives no answer while others do; then its batch may close."""


@dataclass(slots=True)
class Expiries:
    """By batch id and job id: the step that lets an object expire, and the view it was planned from."""

    served: bool = False
    """Somebody lets them go beside the passes; else each pass does so at its own end."""
    noted: asyncio.Event = field(default_factory=asyncio.Event)
    locks: defaultdict[str, asyncio.Lock] = field(default_factory=lambda: defaultdict(asyncio.Lock))
    """By batch id: held while some are let go, so that their batch does not close under them."""
    _due: dict[str, dict[str, tuple[View, MoveJob]]] = field(default_factory=dict)
    _rung: dict[str, None] = field(default_factory=dict)
    """Ids of batches of which some are to be let go now, the oldest first."""
    _tried: dict[str, int] = field(default_factory=dict)
    """By job id: how often one that is still noted gave no answer."""

    def note(self, view: View, step: MoveJob) -> None:
        """This object may go; said twice is said once."""
        self._due.setdefault(view.batch.id, {})[step.job.id] = (view, step)
        self.ring(view.batch.id)

    def ring(self, batch_id: str) -> None:
        """What is noted of this batch is to be let go now, also what was taken in vain."""
        if batch_id in self._due:
            self._rung[batch_id] = None
            self.noted.set()

    def take(self, batch_id: str) -> list[tuple[View, MoveJob]]:
        """Everything noted of one batch; it is noted no more."""
        self._rung.pop(batch_id, None)
        return list(self._due.pop(batch_id, {}).values())

    def keep(self, due: Iterable[tuple[View, MoveJob]]) -> None:
        """They were taken in vain: whoever asks next for their batch asks for them too. Rings for nobody."""
        for view, step in due:
            self._due.setdefault(view.batch.id, {}).setdefault(step.job.id, (view, step))

    def to_try_again(
        self, due: Iterable[tuple[View, MoveJob]], ill: Container[str]
    ) -> list[tuple[View, MoveJob]]:
        """Those among them that gave no answer, and may yet."""
        again = []
        for view, step in due:
            tried = self._tried.pop(step.job.id, 0) + 1
            if step.job.id in ill and tried < TRIES:
                self._tried[step.job.id] = tried
                again.append((view, step))
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
