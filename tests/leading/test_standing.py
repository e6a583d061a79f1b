"""A candidate that stands for election, and what becomes of it when its process ends in the middle."""

from __future__ import annotations

import asyncio
import gc
from dataclasses import dataclass, field
from unittest.mock import AsyncMock

import pytest

from controller.ending import end_all
from controller.leading import stand
from controller.ports import Rejected, Unavailable
from tests.leading.candidates import LocalClock, play


class Nobody:
    """A journal that tells nobody."""

    def trouble(self, where: str, error: BaseException, **facts: object) -> None:
        """Something is unavailable."""


@dataclass
class Beginner:
    """A candidate whose beginning takes for ever; when it is broken off, its store is just being closed."""

    late: bool
    story: list[str] = field(default_factory=list)
    stepped_down: asyncio.Event = field(default_factory=asyncio.Event)
    clock: LocalClock = field(default_factory=LocalClock)
    journal: Nobody = field(default_factory=Nobody)

    async def lead(self, who: str) -> int:
        """Begin."""
        self.story.append("begins")
        try:
            await asyncio.sleep(1e6)
        except asyncio.CancelledError:
            self.story.append("broken off")
            if self.late:
                raise Unavailable("its store was closed") from None
            raise
        return 1

    def step_down(self, why: str) -> None:
        """Stop."""
        self.story.append("steps down")

    def look_soon(self) -> None:
        """It leads."""


class Elected:
    """An election that is won at once and never lost. It is ``controller.ports.Elector``."""

    identity = "one"
    trouble = ""

    async def acquire(self) -> None:
        """Won."""

    async def lost(self) -> str:
        """Never."""
        await asyncio.sleep(1e6)
        return ""

    async def release(self) -> None:
        """Given up."""


@pytest.mark.parametrize("late", [False, True])
def test_a_process_that_ends_while_it_begins_to_lead(late: bool) -> None:
    """What it has begun is broken off before it steps down, and no task is left whose end nobody hears of."""
    unheard: list[dict[str, object]] = []

    async def main() -> list[str]:
        asyncio.get_running_loop().set_exception_handler(lambda loop, said: unheard.append(said))
        one = Beginner(late)
        stands = asyncio.ensure_future(stand(one, Elected(), lambda leads: None))
        await asyncio.sleep(1)
        stands.cancel()
        await asyncio.gather(stands, return_exceptions=True)
        return one.story

    assert play(main) == ["begins", "broken off", "steps down"]
    gc.collect()
    assert not unheard


@pytest.mark.parametrize(("answers_after", "given_up"), [(0.6, True), (2.5, True), (60.0, False)])
def test_a_process_that_ends_gives_its_office_back(answers_after: float, given_up: bool) -> None:
    """Reading and writing a Lease took longer than the second after which it was cancelled again: everybody
    waited for it to run out. A server that never answers keeps nobody from ending."""

    async def main() -> tuple[bool, float]:
        elected, one = Elected(), Beginner(late=False)
        done = list[bool]()

        async def release() -> None:
            for _ in range(2):
                await asyncio.sleep(answers_after / 2)
            done.append(True)

        elected.release = release  # type: ignore[method-assign]
        stands = asyncio.ensure_future(stand(one, elected, lambda leads: None))
        await asyncio.sleep(1)
        began = asyncio.get_running_loop().time()
        await end_all([stands])
        return bool(done), asyncio.get_running_loop().time() - began

    was, seconds = play(main)
    assert was is given_up
    assert seconds < 10


@pytest.mark.parametrize("error", [Unavailable("no answer"), Rejected("it has something in it")])
def test_a_beginning_that_fails_is_begun_again(error: Exception) -> None:
    """Whatever the store says to it: neither an outage nor a refusal ends the process."""

    async def main() -> list[str]:
        one, leads = Beginner(late=False), list[bool]()
        real, one.lead = one.lead, AsyncMock(side_effect=error)  # type: ignore[method-assign]
        stands = asyncio.ensure_future(stand(one, Elected(), leads.append))
        await asyncio.sleep(0.5)
        one.lead = real  # type: ignore[method-assign]
        await asyncio.sleep(1)
        stands.cancel()
        await asyncio.gather(stands, return_exceptions=True)
        assert not any(leads)
        return one.story

    assert play(main) == ["steps down", "begins", "broken off", "steps down"]
