"""Ending tasks: also those to which a cancel got lost."""

import asyncio
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from controller import ending


async def listen(event: asyncio.Event) -> None:
    """A loop around ``wait_for``, as listeners and the database's driver have it."""
    while True:
        await asyncio.wait_for(event.wait(), 60)
        event.clear()


@pytest.mark.parametrize("turns", range(6))
async def test_a_cancel_that_got_lost_is_repeated(turns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever between an event and its hearing the end comes, the task ends."""
    monkeypatch.setattr(ending, "AGAIN_SECONDS", 0.01)
    event = asyncio.Event()
    task = asyncio.create_task(listen(event))
    await asyncio.sleep(0)
    event.set()
    for _ in range(turns):
        await asyncio.sleep(0)
    await asyncio.wait_for(ending.end_all([task]), 10)
    assert task.cancelled()


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="asyncio.wait_for keeps every cancel since 3.12")
async def test_one_cancel_does_get_lost() -> None:
    """Why one cancel is not enough: in some turn of the loop it changes nothing."""
    lost = 0
    for turns in range(6):
        event = asyncio.Event()
        task = asyncio.create_task(listen(event))
        await asyncio.sleep(0)
        event.set()
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait({task}, timeout=0.05)
        lost += not task.done()
        task.cancel()
        await asyncio.wait({task})
    assert lost


async def test_what_has_ended_is_left_alone() -> None:
    """A task that failed keeps its error, and nothing waits for it."""

    async def fail() -> None:
        raise ValueError("its own")

    task = asyncio.create_task(fail())
    await asyncio.wait({task})
    await ending.end_all([task])
    assert isinstance(task.exception(), ValueError)


DAEMON = """
import asyncio
from controller.ending import END, on_signals

async def main():
    stop = asyncio.Event()
    on_signals(END, lambda number: stop.set())
    print("ready", flush=True)
    await stop.wait()
    print("tidied up")

asyncio.run(main())
"""
COMMAND = """
import asyncio, sys
from controller.cli.session import go
from typer import Exit

async def work():
    try:
        print("ready", flush=True)
        await asyncio.sleep(600)
    finally:
        await asyncio.sleep(0)
        print("tidied up")

try:
    go(work())
except Exit as end:
    sys.exit(end.exit_code)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
@pytest.mark.parametrize("program", [DAEMON, COMMAND], ids=["daemon", "command"])
def test_whoever_is_told_to_end_tidies_up(program: str, number: signal.Signals) -> None:
    """A terminal that is closed is no power cut: a mongod of ours would stay behind for ever."""
    code, said = told(program, number)
    assert said == "tidied up\n"
    assert code == (0 if program == DAEMON else -number if number == signal.SIGINT else 128 + number)


def test_what_nohup_started_goes_on_without_its_terminal() -> None:
    """What is ignored at the start is not heeded; SIGTERM still is."""
    code, said = told(DAEMON, signal.SIGHUP, signal.SIGTERM, before="trap '' HUP; ")
    assert (code, said) == (0, "tidied up\n")
    code, _ = told(COMMAND, signal.SIGHUP, signal.SIGTERM, before="trap '' HUP; ")
    assert code == 128 + signal.SIGTERM


def told(program: str, *numbers: signal.Signals, before: str = "") -> tuple[int, str]:
    """Run it until it is ready, and give it these signals; its exit code and what it said after that."""
    shell = ["sh", "-c", f"{before}exec {sys.executable} -c '{program}'"]
    here = Path(__file__).parents[1]
    with subprocess.Popen(
        shell,
        stdout=subprocess.PIPE,
        text=True,
        cwd=here,
        preexec_fn=heed,
    ) as ran:
        try:
            assert ran.stdout is not None
            assert ran.stdout.readline() == "ready\n"
            for number in numbers:
                ran.send_signal(number)
            return ran.wait(60), ran.stdout.read()
        finally:
            ran.kill()


def heed() -> None:
    """Whoever started the tests may have had signals ignored, as nohup does: a child would inherit that."""
    for number in ending.END:
        signal.signal(number, signal.SIG_DFL)
