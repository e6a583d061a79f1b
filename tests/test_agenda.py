"""The agenda's alarm clock: who waits for it can be told to stop at any moment."""

import asyncio

import pytest

from controller.adapters.system_clock import SystemClock
from controller.agenda import Agenda


async def keep_time(agenda: Agenda) -> None:
    """What the daemon does with it."""
    while True:
        wait = agenda.ring(0.0)
        await agenda.changed_or(wait, SystemClock())


@pytest.mark.parametrize("turns", range(8))
async def test_a_cancel_right_after_an_alarm_is_not_lost(turns: int) -> None:
    """However few turns of the loop lie between an earlier alarm and the cancel, the waiting ends."""
    agenda = Agenda()
    agenda.at("late", 1000.0)
    task = asyncio.create_task(keep_time(agenda))
    await asyncio.sleep(0.01)
    agenda.at("early", 500.0)
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    ended, _ = await asyncio.wait({task}, timeout=1)
    if not ended:
        task.cancel()
        await asyncio.wait({task})
        raise AssertionError("the cancel was swallowed: the daemon would never end")


def test_news_that_wait_share_the_next_pass() -> None:
    """Whatever comes for their batch takes them along, and they ask for no pass after that one."""
    agenda = Agenda()
    agenda.later("scan", frozenset({"a"}), 5.0)
    agenda.later("scan", frozenset({"b"}), 9.0)
    agenda.later("other", frozenset({"x"}), 7.0)
    assert (agenda.busy, agenda.ring(0.0)) == (False, 5.0)
    agenda.add("scan", frozenset({"c"}))
    assert taken(agenda) == ("scan", frozenset({"a", "b", "c"}))
    assert agenda.ring(0.0) == 7.0
    assert agenda.busy, "one is in hand"


def test_news_that_wait_come_by_themselves_when_nothing_else_does() -> None:
    """The first of them sets the time; what wants to see everything sees them too."""
    agenda = Agenda()
    agenda.later("scan", frozenset({"a"}), 5.0)
    agenda.later("scan", frozenset({"b"}), 9.0)
    assert agenda.ring(5.0) is None
    assert taken(agenda) == ("scan", frozenset({"a", "b"}))
    agenda.done("scan")
    agenda.later("scan", frozenset({"d"}), 5.0)
    agenda.add("scan", None)
    assert taken(agenda) == ("scan", None)
    assert agenda.ring(5.0) is None


def test_a_batch_that_rests_is_taken_when_it_is_woken() -> None:
    """Or when its rest is over; what came meanwhile is there."""
    agenda = Agenda()
    for batch_id in ("scan", "other"):
        agenda.add(batch_id, None)
        assert taken(agenda) == (batch_id, None)
        agenda.rest(batch_id, 5.0)
        agenda.add(batch_id, frozenset({"a"}))
    assert agenda.ring(4.0) == 1.0
    with pytest.raises(TimeoutError):
        asyncio.run(asyncio.wait_for(agenda.take(), 0.01))
    agenda.wake()
    assert [taken(agenda), taken(agenda)] == [("scan", frozenset({"a"})), ("other", frozenset({"a"}))]
    assert agenda.ring(4.0) is None


def taken(agenda: Agenda) -> tuple[str, frozenset[str] | None]:
    """What a worker gets that need not wait for it."""
    return asyncio.run(asyncio.wait_for(agenda.take(), 1))
