"""Ended objects that may go: noted by the passes, let go beside them, for nobody waits for it.

Filled by ``acting``, emptied by ``daemon`` beside the passes or by a pass at its end. Only a note: what is
forgotten here in a crash, the next full pass finds again.
"""

from __future__ import annotations

import asyncio
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
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held while some are let go: a batch does not close under them."""
    _due: dict[str, dict[str, tuple[View, MoveJob]]] = field(default_factory=dict)
    _tried: dict[str, int] = field(default_factory=dict)
    """By job id: how often one that is still noted gave no answer."""

    def note(self, view: View, step: MoveJob) -> None:
        """This object may go; said twice is said once."""
        self._due.setdefault(view.batch.id, {})[step.job.id] = (view, step)
        self.noted.set()

    def take(self, batch_id: str) -> list[tuple[View, MoveJob]]:
        """Everything noted of one batch; it is noted no more."""
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
        """Of which batches there is something, the oldest first."""
        self.noted.clear()
        return list(self._due)

    def forget(self) -> None:
        """Whoever leads now will find them."""
        self._due.clear()
        self._tried.clear()
