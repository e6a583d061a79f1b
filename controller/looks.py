"""Looks at the cluster that may take longer than a pass: each namespace's goes on beside the passes.

Used by ``surroundings``; the daemon ends them with its lead. Given up together with the pass that waits for
it, a look that takes longer than a pass may would be begun anew by each, and none would ever be complete. So
a pass waits for it as long as it may and goes on without: that namespace is not seen in it, others are. The
first pass after its end takes it, with the records that were read before it was begun (R11).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any

from controller.core.model import Attempt
from controller.core.sight import Observation
from controller.ending import end_all


@dataclass(slots=True)
class Look:
    """One namespace's look, under way or done."""

    read_at: float
    """The monotonic instant at which its records were read."""
    task: asyncio.Task[Observation]
    records: Mapping[str, Attempt]
    """By id: what was read before it was begun; only for them may it say what is not there."""
    late: bool = False
    """Whether a full pass went on without it."""


@dataclass(slots=True)
class Looks:
    """The looks of one process: at most one in each namespace."""

    ended_late: Callable[[], None] = lambda: None
    """Told when one has ended that a full pass went on without."""
    _looks: dict[str, Look] = field(default_factory=dict)
    _ending: list[asyncio.Task[Observation]] = field(default_factory=list)

    def under_way(self, namespace: str) -> bool:
        """Whether one is being made there."""
        look = self._looks.get(namespace)
        return look is not None and not look.task.done()

    def begin(
        self,
        namespace: str,
        look: Coroutine[Any, Any, Observation],
        read_at: float,
        records: Mapping[str, Attempt],
    ) -> None:
        """Begin one where none is there."""
        task = asyncio.create_task(look, name=f"look at {namespace}")
        self._looks[namespace] = Look(read_at, task, records)
        task.add_done_callback(lambda _: self._ended(namespace, task))

    def _ended(self, namespace: str, task: asyncio.Task[Observation]) -> None:
        if not task.cancelled():
            task.exception()  # whoever takes it is told; nobody may
        look = self._looks.get(namespace)
        if look is not None and look.task is task and look.late:
            self.ended_late()

    async def wait(self, namespaces: Collection[str], seconds: float) -> None:
        """Until those under way there have ended, and no longer than so many seconds."""
        tasks = [self._looks[name].task for name in namespaces if self.under_way(name)]
        if tasks:
            await asyncio.wait(tasks, timeout=seconds)

    def let_go(self, wanted: Collection[str]) -> None:
        """Forget those that have ended and that no full pass missed: who looks now wants newer ones.

        And all that have ended elsewhere than in the ``wanted`` namespaces.
        """
        for name, look in list(self._looks.items()):
            if look.task.done() and name not in wanted:
                del self._looks[name]
            self.let_go_of(name)

    def let_go_of(self, namespace: str) -> None:
        """Forget one that has ended there and that no full pass missed."""
        look = self._looks.get(namespace)
        if look is not None and look.task.done() and not look.late:
            del self._looks[namespace]

    def is_late(self, namespace: str) -> bool:
        """Whether a full pass went on without the one that is there."""
        look = self._looks.get(namespace)
        return look is not None and look.late

    def miss(self, namespaces: Collection[str]) -> None:
        """A full pass goes on, or is over, without those that are there."""
        for look in (self._looks[name] for name in namespaces if name in self._looks):
            look.late = True

    def take(self, namespace: str) -> Look | None:
        """The one that has ended there; None: it is under way, and is missed from now on."""
        look = self._looks.get(namespace)
        if look is None:
            return None
        if not look.task.done():
            self.miss([namespace])
            return None
        del self._looks[namespace]
        return None if look.task.cancelled() else look

    def there(self, namespace: str) -> bool:
        """Whether one is under way there, or waits to be taken."""
        return namespace in self._looks

    async def failure(self, namespace: str, seconds: float) -> BaseException | None:
        """Wait for the one that is there, for so many seconds at most; of what it died, whoever took it."""
        look = self._looks.get(namespace)
        if look is None:
            return None
        await asyncio.wait([look.task], timeout=seconds)
        over = look.task.done() and not look.task.cancelled()
        return look.task.exception() if over else None

    def break_off(self) -> None:
        """End them all, whatever they have seen."""
        looks, self._looks = self._looks, {}
        for look in looks.values():
            look.task.cancel()
        self._ending = [task for task in self._ending if not task.done()]
        self._ending += [look.task for look in looks.values()]

    async def close(self) -> None:
        """End them all, and wait until they have ended."""
        self.break_off()
        await end_all(self._ending)
