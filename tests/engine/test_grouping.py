"""Changes that are asked for side by side are written together, and each asker has its own answer."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import cast

import pytest

from controller.core.change import Change
from controller.core.machine import Event
from controller.core.model import Attempt, JobInput, Origin, Resources, Status
from controller.grouping import MOST, Writes
from controller.ports import Conflict, Rejected, Store, Unavailable

AT = datetime(2026, 1, 1, tzinfo=UTC)
EPOCH = 7


def _job(name: str) -> Attempt:
    return Attempt(
        id=name,
        batch_id="b",
        namespace="lab",
        user="u",
        task_id=name,
        index=0,
        attempt=0,
        name=name,
        status=Status.QUEUED,
        job_input=JobInput("i", ("true",), resources=Resources(1)),
        origin=Origin.SPEC,
        inserted=AT,
        updated=AT,
    )


def _change(name: str, reason: str = "x") -> Change:
    return Change(name, Event.SEEN, reason)


@dataclass
class _Slow:
    """Both ways of writing, each taking a moment; ``calls``: what was asked for, in order."""

    calls: list[list[str]] = field(default_factory=list)
    answers: dict[str, Attempt | Conflict | Rejected | None] = field(default_factory=dict)
    failures: list[BaseException] = field(default_factory=list)
    """What the next writes of several raise, the last of them first."""
    under_way: int = 0

    async def change(self, change: Change, epoch: int | None = None) -> Attempt | None:
        """One."""
        answer = (await self._write([change]))[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def changes_many(
        self, changes: Sequence[Change], epoch: int | None = None
    ) -> Sequence[Attempt | Conflict | Rejected | None]:
        """Several."""
        if self.failures:
            raise self.failures.pop()
        return await self._write(changes)

    async def _write(self, changes: Sequence[Change]) -> list[Attempt | Conflict | Rejected | None]:
        assert not self.under_way, "one write at a time"
        self.under_way += 1
        self.calls.append([change.job for change in changes])
        try:
            await _turns(10)
        finally:
            self.under_way -= 1
        return [self.answers.get(change.job, _job(change.job)) for change in changes]


async def _turns(n: int) -> None:
    """So many turns of the event loop, however busy the machine is."""
    for _ in range(n):
        await asyncio.sleep(0)


class _Line:
    """Several who ask."""

    def __init__(self, store: _Slow) -> None:
        self.store = store
        self.writes = Writes()

    async def ask(self, name: str, reason: str = "x", epoch: int | None = EPOCH) -> Attempt | None:
        """One of them."""
        return await self.writes.change(cast(Store, self.store), _change(name, reason), epoch)


async def test_who_asks_at_once_is_written_at_once() -> None:
    """Twenty at once are one write, and who comes meanwhile makes the next one; nobody waits for a timer."""
    line = _Line(_Slow())
    first = [asyncio.create_task(line.ask(f"a{n}")) for n in range(20)]
    await _turns(5)
    later = [asyncio.create_task(line.ask(f"b{n}")) for n in range(3)]
    answers = await asyncio.gather(*first, *later)
    assert [len(call) for call in line.store.calls] == [20, 3]
    assert [job.id for job in answers if job] == [f"a{n}" for n in range(20)] + [f"b{n}" for n in range(3)]


async def test_who_is_alone_goes_alone() -> None:
    """One after the other, each is the single write that it would have been."""
    line = _Line(_Slow())
    for name in ("a", "b"):
        assert await line.ask(name)
    assert line.store.calls == [["a"], ["b"]]


async def test_each_has_its_own_answer() -> None:
    """What was refused to one, or matched nothing, is told to that one."""
    store = _Slow(answers={"b": None, "c": Conflict("slot"), "d": Rejected("too large")})
    line = _Line(store)
    answers = await asyncio.gather(*(line.ask(name) for name in "abcd"), return_exceptions=True)
    assert isinstance(answers[0], Attempt)
    assert answers[1] is None
    assert isinstance(answers[2], Conflict)
    assert isinstance(answers[3], Rejected)


async def test_two_changes_of_one_record_keep_their_order() -> None:
    """The second waits for the first, and whatever comes after it on that record waits for it."""
    line = _Line(_Slow())
    await asyncio.gather(line.ask("a", "1"), line.ask("b", "1"), line.ask("a", "2"), line.ask("a", "3"))
    assert line.store.calls == [["a", "b"], ["a"], ["a"]]


async def test_epochs_are_not_mixed() -> None:
    """A decision is written with the epoch of the leader that took it, never with another's."""
    line = _Line(_Slow())
    await asyncio.gather(line.ask("a"), line.ask("b", epoch=None), line.ask("c"), line.ask("d", epoch=8))
    assert line.store.calls == [["a", "c"], ["b"], ["d"]]


async def test_a_write_has_a_size() -> None:
    """So many go at a time, and nobody is forgotten."""
    line = _Line(_Slow())
    answers = await asyncio.gather(*(line.ask(f"{n}") for n in range(2 * MOST + 1)))
    assert [len(call) for call in line.store.calls] == [MOST, MOST, 1]
    assert all(answers)


async def test_an_outage_is_told_to_all_of_a_write() -> None:
    """Each of them may have been applied; the next write is tried all the same."""
    line = _Line(_Slow(failures=[Unavailable("away")]))
    answers = await asyncio.gather(*(line.ask(name) for name in "abc"), return_exceptions=True)
    assert [type(answer) for answer in answers] == [Unavailable] * 3
    assert await line.ask("d")


@pytest.mark.parametrize("error", [Rejected("not that"), ValueError("not in the table")])
async def test_what_spoils_a_write_costs_itself_only(error: Exception) -> None:
    """When nothing could be written because of one of them, each is tried alone."""
    line = _Line(_Slow(failures=[error], answers={"b": Rejected("b")}))
    answers = await asyncio.gather(*(line.ask(name) for name in "abc"), return_exceptions=True)
    assert line.store.calls == [["a"], ["b"], ["c"]]
    assert [type(answer) for answer in answers] == [Attempt, Rejected, Attempt]


@pytest.mark.parametrize("moment", [0, 5])
async def test_who_leads_may_be_cancelled(moment: int) -> None:
    """Those who wait with the one that is cancelled get an answer, before the write or in the midst of it."""
    line = _Line(_Slow())
    tasks = [asyncio.create_task(line.ask(name)) for name in "abc"]
    await asyncio.sleep(0)
    later = asyncio.create_task(line.ask("d"))
    await _turns(moment)
    tasks[0].cancel()
    answers = await asyncio.wait_for(asyncio.gather(*tasks, later, return_exceptions=True), 5)
    assert isinstance(answers[0], asyncio.CancelledError)
    for answer in answers[1:]:
        assert isinstance(answer, Attempt | Unavailable)
    assert await asyncio.wait_for(line.ask("e"), 5)


async def test_who_waits_may_be_cancelled() -> None:
    """It is not written if nobody has begun to, and the others don't notice."""
    line = _Line(_Slow())
    first = asyncio.create_task(line.ask("a"))
    await _turns(3)
    waiting = [asyncio.create_task(line.ask(name)) for name in "bcd"]
    await _turns(3)
    waiting[0].cancel()
    answers = await asyncio.wait_for(asyncio.gather(first, *waiting, return_exceptions=True), 5)
    assert isinstance(answers[1], asyncio.CancelledError)
    assert line.store.calls == [["a"], ["c", "d"]]


async def test_all_of_them_may_be_cancelled() -> None:
    """The line is free again afterwards."""
    line = _Line(_Slow())
    tasks = [asyncio.create_task(line.ask(name)) for name in "abc"]
    await _turns(3)
    tasks += [asyncio.create_task(line.ask(name)) for name in "def"]
    await _turns(3)
    for task in tasks:
        task.cancel()
    await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 5)
    assert await asyncio.wait_for(line.ask("g"), 5)
