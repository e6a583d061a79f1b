"""The progress of a run: what it says, when it says it, and what it makes of the time that is left."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console

from controller.cli.progress import Bar, Lines, Pace, drawn
from controller.core.model import Counts, Status, Verdict
from controller.standing import Standing, standing
from tests.cli.place import Place


@pytest.fixture
def on_its_way(sweep: Place) -> Standing:
    """3 of 5 tasks done, one in back-off."""
    return standing(sweep.batch(), sweep.gate(), back_off=1)


def with_done(one: Standing, n: int) -> Standing:
    """The same batch with so many tasks completed."""
    return replace(one, completed=n, ended=0)


def console(width: int = 80, terminal: bool = False) -> Console:
    """A console that keeps what is printed."""
    return Console(
        file=io.StringIO(),
        width=width,
        force_terminal=terminal,
        color_system="standard" if terminal else None,
    )


def said(one: Console) -> str:
    """What was printed on it."""
    assert isinstance(one.file, io.StringIO)
    return one.file.getvalue()


def test_the_numbers_of_a_batch_on_its_way(on_its_way: Standing) -> None:
    """Done, ended without success, active and waiting make up the whole."""
    assert (on_its_way.done, on_its_way.ended, on_its_way.active, on_its_way.waiting) == (3, 1, 1, 1)
    assert on_its_way.done + on_its_way.active + on_its_way.waiting == on_its_way.total == 5
    assert on_its_way.failures == {Verdict.CONFIGURATION_ERROR: 1, Verdict.MOUNT_FAILURE: 1}


def test_the_state_is_what_the_gate_says(on_its_way: Standing) -> None:
    """The gate is the authority; the batch's status follows it later."""
    assert on_its_way.state == "running"
    assert replace(on_its_way, gate=replace(on_its_way.gate, paused=True)).state == "paused"
    assert replace(on_its_way, gate=replace(on_its_way.gate, paused=True, hold="x")).state == "held"


def test_counts_that_lag_never_show_less_than_nothing(sweep: Place) -> None:
    """The cache may be behind for a moment; numbers of tasks stay numbers of tasks."""
    odd = replace(sweep.batch(), counts=Counts({Status.COMPLETED: 5, Status.WAITING: 3}))
    assert standing(odd, None).ended == 0


def test_time_left_is_told_from_what_was_done_meanwhile(on_its_way: Standing) -> None:
    """Not from what an earlier run had done, and not before there is something to go by."""
    now = [0.0]
    pace = Pace(lambda: now[0])
    assert pace.left(with_done(on_its_way, 1)) is None
    now[0] = 9.0
    assert pace.left(with_done(on_its_way, 3)) is None
    assert pace.left(with_done(on_its_way, 4)) == pytest.approx(3.0)
    assert pace.left(with_done(on_its_way, 5)) is None


def test_the_bar_says_it_all_in_a_narrow_terminal(on_its_way: Standing) -> None:
    """80 columns: name, bar, tasks, active jobs in batch, back-off, failures; nothing is cut but the why."""
    out = console()
    out.print(drawn(on_its_way, Pace(lambda: 0.0), "why " * 40))
    lines = said(out).splitlines()
    assert len(lines) == 4
    assert "sweep" in lines[0]
    assert "3/5 tasks 60%" in lines[0]
    assert "active jobs in batch: 1 of 4, waiting: 1, retries in back-off: 1" in lines[1]
    assert "configuration-error 1, mount-failure 1" in lines[2]
    assert lines[3].endswith("…")
    assert max(map(len, lines)) <= 80


def test_the_bar_is_wiped_at_the_end(on_its_way: Standing) -> None:
    """The report takes its place: the last thing sent to the terminal is not the bar."""
    out = console(terminal=True)
    bar = Bar(out, Pace(lambda: 0.0))
    bar.show(on_its_way)
    bar.close()
    assert said(out).rindex("\x1b[2K") > said(out).rindex("3/5")


def test_lines_come_at_milestones_and_every_few_seconds(on_its_way: Standing) -> None:
    """The same is not said twice, news waits for five seconds or a tenth of the way; no escapes."""
    now = [0.0]
    out = console(width=1000)
    lines = Lines(out, Pace(lambda: now[0]))
    many = replace(on_its_way, batch=replace(on_its_way.batch, tasks=100))
    for second, done in [(0.0, 0), (1.0, 1), (2.0, 10), (3.0, 11), (8.0, 12), (20.0, 12)]:
        now[0] = second
        lines.show(with_done(many, done))
    shown = [line.split(",")[0] for line in said(out).splitlines()]
    assert shown == [
        "sweep running: 0/100 tasks 0%",
        "sweep running: 10/100 tasks 10%",
        "sweep running: 12/100 tasks 12%",
    ]
    assert "\x1b" not in said(out)
