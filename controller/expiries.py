"""Ended objects that may go: noted by the passes, let go beside them, for nobody waits for it.

Filled by ``acting``, emptied by ``daemon`` beside the passes or by a pass at its end. Only a note: what is
forgotten here in a crash, the next full pass finds again.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from controller.core.plan import MoveJob
from controller.core.view import View


@dataclass(slots=True)
class Expiries:
    """By batch id and job id: the step that lets an object expire, and the view it was planned from."""

    served: bool = False
    """Somebody lets them go beside the passes; else each pass does so at its own end."""
    noted: asyncio.Event = field(default_factory=asyncio.Event)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held while some are let go: a batch does not close under them."""
    _due: dict[str, dict[str, tuple[View, MoveJob]]] = field(default_factory=dict)

    def note(self, view: View, step: MoveJob) -> None:
        """This object may go; said twice is said once."""
        self._due.setdefault(view.batch.id, {})[step.job.id] = (view, step)
        self.noted.set()

    def take(self, batch_id: str) -> list[tuple[View, MoveJob]]:
        """Everything noted of one batch; it is noted no more."""
        return list(self._due.pop(batch_id, {}).values())

    def batches(self) -> list[str]:
        """Of which batches there is something, the oldest first."""
        self.noted.clear()
        return list(self._due)

    def forget(self) -> None:
        """Whoever leads now will find them."""
        self._due.clear()
