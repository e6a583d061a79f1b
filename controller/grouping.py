"""Changes of records that are asked for at about the same time are written in one go.

Used by ``Engine.apply``, so that whoever asks is one of many side by side without knowing. There is no
timer: what is asked for while a write is under way makes the next one, and who is alone goes alone. Each
change keeps its guard, its order on its record, and an answer of its own, after it was written.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from controller.core.change import Change
from controller.core.model import Attempt
from controller.ports import BatchkeeperError, Store, Unavailable

MOST = 100
"""Changes of one write: well within a page of the store's, so that it fails or goes as one."""


@dataclass(slots=True, eq=False)
class _Asked:
    """One change in line. ``turn``: True, lead the next write; False, it was written."""

    change: Change
    epoch: int | None
    turn: asyncio.Future[bool]
    answer: Attempt | None = None
    error: BaseException | None = None


@dataclass(slots=True)
class Writes:
    """The line of changes, and whether one of those who asked is writing."""

    _line: list[_Asked] = field(default_factory=list)
    _writing: bool = False

    async def change(self, store: Store, change: Change, epoch: int | None) -> Attempt | None:
        """What ``Store.change`` answers or raises; the record, too, if it was so already."""
        one = _Asked(change, epoch, asyncio.get_running_loop().create_future())
        self._line.append(one)
        if self._writing:
            await self._wait(one)
        else:
            self._writing = True
            one.turn.set_result(True)
        if one.turn.result():
            try:
                await asyncio.sleep(0)  # whoever asks side by side has asked by then
                await self._write(store, self._group(one))
            finally:
                self._leave(one)
                self._pass_on()
        if one.error is not None:
            raise one.error
        return one.answer

    async def _wait(self, one: _Asked) -> None:
        try:
            await one.turn
        except asyncio.CancelledError:
            self._leave(one)
            if not one.turn.cancelled() and one.turn.result():
                self._pass_on()
            raise

    def _leave(self, one: _Asked) -> None:
        if one in self._line:  # it was cancelled before it was written
            self._line.remove(one)

    def _pass_on(self) -> None:
        """The first in line leads the next write."""
        there = next((one for one in self._line if not one.turn.done()), None)
        self._writing = there is not None
        if there is not None:
            there.turn.set_result(True)

    def _group(self, leader: _Asked) -> list[_Asked]:
        """Who goes with the first: of the same epoch, each record once; the others stay in line."""
        group, records, rest = list[_Asked](), set[str](), list[_Asked]()
        for one in self._line:
            fits = one.epoch == leader.epoch and one.change.job not in records and len(group) < MOST
            records.add(one.change.job)  # what comes after it on its record, comes after it
            (group if fits else rest).append(one)
        self._line[:] = rest
        return group

    async def _write(self, store: Store, group: list[_Asked]) -> None:
        try:
            if len(group) == 1 or not await _together(store, group):
                for one in group:
                    await _alone(store, one)
        except BaseException as error:
            for one in group:
                if not one.turn.done():  # it would wait for ever
                    one.error = _given_up(error)
            raise
        finally:
            for one in group:
                if not one.turn.done():
                    one.turn.set_result(False)


async def _together(store: Store, group: list[_Asked]) -> bool:
    """One write for all. False: nothing was written, one of them can't be; each is to be tried alone."""
    try:
        found = await store.changes_many([one.change for one in group], group[0].epoch)
    except Unavailable as error:
        for one in group:
            one.error = error
        return True
    except (BatchkeeperError, ValueError):
        return False
    for one, answer in zip(group, found, strict=True):
        if isinstance(answer, BatchkeeperError):
            one.error = answer
        else:
            one.answer = answer
    return True


async def _alone(store: Store, one: _Asked) -> None:
    try:
        one.answer = await store.change(one.change, one.epoch)
    except (BatchkeeperError, ValueError) as error:
        one.error = error


def _given_up(error: BaseException) -> BaseException:
    return error if isinstance(error, Exception) else Unavailable("a write that others shared was given up")
