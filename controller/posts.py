"""Creates that no pass waits for: who comes next is decided while they are under way.

``deeds`` begins them, once the place and the token are recorded; ``daemon`` says whether there may be any.
Only a note: what is forgotten here in a crash has an open token on its record, as any create without answer.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field

from controller.ending import AGAIN_SECONDS, end_all

LAST_ANSWERS = 0.8 * AGAIN_SECONDS
"""Seconds for which a daemon that ends waits for answers: fewer than until it is told to end again."""


@dataclass(slots=True)
class Posts:
    """Creates under way beside the passes, by job id. Until one is over, no pass decides about its job."""

    beside: bool = False
    """Passes need not wait; else each waits for its own creates."""
    none_left: Callable[[], None] = lambda: None
    """Told when the last one under way is over."""
    wanting: dict[str, frozenset[str] | None] = field(default_factory=dict)
    """By id of a batch in which somebody waits for a hand: what is to be looked at when there is one."""
    _under_way: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    _in_batch: Counter[str] = field(default_factory=Counter)
    _left_alone: set[str] = field(default_factory=set)

    def begin(self, batch_id: str, job_id: str, post: Coroutine[None, None, None]) -> None:
        """Go on with the pass; ``post`` says that it is over, and raises nothing."""
        self._in_batch[batch_id] += 1
        self._under_way[job_id] = asyncio.create_task(post)

    @contextlib.contextmanager
    def about_to(self, batch_id: str) -> Iterator[None]:
        """One of this batch is being recorded, and counts already as under way."""
        self._in_batch[batch_id] += 1
        try:
            yield
        finally:
            self._in_batch[batch_id] -= 1
            self._in_batch += Counter()  # let go of those at zero

    def __bool__(self) -> bool:
        """Whether any is under way."""
        return bool(self._under_way)

    def of(self, batch_id: str) -> int:
        """How many of this batch are, or are about to be."""
        return self._in_batch[batch_id]

    def under_way(self, job_id: str) -> bool:
        """Whether this job's create is."""
        return job_id in self._under_way

    def goes_on(self, item: str) -> bool:
        """Whether this item, ``job:`` and an id, has begun here and is not over."""
        return item.removeprefix("job:") in self._under_way

    def leave_alone(self, job_id: str) -> bool:
        """Whether a pass that wants to move this job is too early for that; ``over`` then tells of it."""
        if job_id not in self._under_way:
            return False
        self._left_alone.add(job_id)
        return True

    def over(self, batch_id: str, job_id: str) -> bool:
        """This one is; returns whether a pass has left the job alone for its sake."""
        if self._under_way.pop(job_id, None):
            self._in_batch[batch_id] -= 1
            self._in_batch += Counter()  # let go of those at zero
        left_alone = job_id in self._left_alone
        self._left_alone.discard(job_id)
        if not self._under_way:
            self.none_left()
        return left_alone

    async def break_off(self, patience: float = 0.0) -> None:
        """End those under way without their answers, as a crash would; after so many seconds."""
        under_way = list(self._under_way.values())
        try:
            if under_way and patience > 0:
                await asyncio.wait(under_way, timeout=patience)
        finally:
            await end_all(under_way)
            self._under_way.clear()
            self._in_batch.clear()
            self.wanting.clear()
            self._left_alone.clear()
