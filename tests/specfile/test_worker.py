"""Reading in a process of its own: hostile specs cost that process only, and the loop never waits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from controller.ports import Unavailable
from controller.specfile import Limits, ReadSpec, SpecReader, read_spec_safely, worker
from tests.specfile.reading import DEFAULTS, read

SPEC = "apiVersion: batchkeeper/v1\nkind: Batch\nname: bad\njob: {image: a}\n"
SMALL = SPEC + "tasks: {range: {name: I, from: 1, to: 3}}\n"
GREEDY = SMALL + 'retry:\n- {on: {logs: "(?:(?:(?:a?){9999}){9999}b?){9999}"}}\n'
"""Its pattern compiles into more than any memory."""
PATIENT = Limits(wall=120, csv_wall=120)


@pytest.fixture
async def reader() -> AsyncIterator[SpecReader]:
    """A reader with limits for a busy machine."""
    async with SpecReader(PATIENT) as made:
        yield made


def child_that(does: str) -> tuple[str, ...]:
    """The real child, but for what it does with a spec."""
    lines = ("from controller.specfile import child", f"def stand_in(*args, **kwargs): {does}")
    return "-P", "-c", "\n".join((*lines, "child.read_spec = stand_in", "child.main()"))


async def ask(reader: SpecReader, text: str, folder: Path = Path("/nowhere")) -> ReadSpec:
    """Read a text with it."""
    return await reader.read(text.encode(), name="spec.yaml", folder=folder, root=folder, defaults=DEFAULTS)


async def test_the_answer_is_that_of_read_spec(reader: SpecReader, tmp_path: Path) -> None:
    """Spec, problems and warnings cross unchanged, tasks in any number."""
    (tmp_path / "a.csv").write_text("id,T\n" + "".join(f"t{n},v{n}\n" for n in range(2345)))
    for text in (
        SMALL,
        SPEC + "tasks: {csv: {path: a.csv}}",
        "name: [",
        SPEC.replace("image", "imge"),
        GREEDY[:-40],
    ):
        assert await ask(reader, text, tmp_path) == read(text, tmp_path)


async def test_one_process_serves_many(reader: SpecReader) -> None:
    """The process is kept warm from one spec to the next, good or bad."""
    await ask(reader, SMALL)
    process = reader._process
    assert process is not None
    await asyncio.gather(*(ask(reader, text) for text in [SMALL, "name: [", SMALL] * 3))
    assert reader._process is process


async def test_too_much_computing() -> None:
    """Past its seconds of CPU the kernel ends the process, and the answer says so in one line."""
    async with SpecReader(Limits(cpu=1, wall=120), command=child_that("any(iter(int, 1))")) as reader:
        result = await ask(reader, SMALL)
    assert [str(problem) for problem in result.problems] == [
        "spec.yaml: reading it took more than 1 s of computing; make it simpler: shorter patterns, fewer "
        "values, the tasks in a csv file"
    ]


async def test_too_much_memory(reader: SpecReader) -> None:
    """A pattern that needs gigabytes is one problem; the next spec is read."""
    result = await ask(reader, GREEDY)
    (problem,) = result.problems
    assert str(problem) == "spec.yaml: reading it takes too much memory: make it, or its csv file, smaller"
    assert (await ask(reader, SMALL)).spec is not None


async def test_too_long() -> None:
    """A process that answers nothing is ended after the wall time, and so is the next."""
    stuck = ("-P", "-c", "import time; time.sleep(600)")
    async with SpecReader(Limits(wall=0.2), command=stuck) as reader:
        result = await ask(reader, SMALL)
        assert reader._process is None
    assert [str(problem) for problem in result.problems] == [
        "spec.yaml: reading it took longer than 0.2 s; make it simpler: shorter patterns, fewer values, the "
        "tasks in a csv file"
    ]


async def test_a_process_that_dies(reader: SpecReader) -> None:
    """Killed between two specs it is replaced unnoticed; killed during one it is that spec's problem."""
    await ask(reader, SMALL)
    assert reader._process is not None
    reader._process.kill()
    await reader._process.wait()
    assert (await ask(reader, SMALL)).spec is not None
    dying = ("-P", "-c", "import os, sys; sys.stdin.buffer.read(9); os.kill(os.getpid(), 9)")
    async with SpecReader(PATIENT, command=dying) as other:
        (problem,) = (await ask(other, SMALL)).problems
    assert "the process that read it ended (SIGKILL)" in str(problem)


async def test_a_bug_in_the_reader_is_named() -> None:
    """An exception that nobody expected names itself and its place, and no value of the spec."""
    async with SpecReader(PATIENT, command=child_that("raise KeyError(args[0])")) as reader:
        (problem,) = (await ask(reader, SMALL)).problems
    assert "the reader failed on it (KeyError at <string>:2): this is a bug" in str(problem)
    assert "image" not in str(problem)


async def test_a_cancelled_read_leaves_no_half_answer(reader: SpecReader) -> None:
    """The next read does not get the answer to the one that was given up."""
    await ask(reader, SMALL)
    given_up = asyncio.create_task(ask(reader, SMALL.replace("to: 3", "to: 90000")))
    await asyncio.sleep(0.05)
    given_up.cancel()
    with pytest.raises(asyncio.CancelledError):
        await given_up
    result = await ask(reader, SMALL)
    assert result.spec is not None
    assert len(result.spec.tasks) == 3


async def test_no_process_can_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    """Then nothing is said about the spec: it is tried again later."""
    monkeypatch.setattr("sys.executable", "/nowhere/python")
    with pytest.raises(Unavailable, match="no process to read specs can be started"):
        await read_spec_safely(SMALL.encode(), name="a", folder=Path("/"), root=Path("/"), defaults=DEFAULTS)


def test_one_reader_for_each_loop() -> None:
    """Many reads share one process, and with the loop it is gone."""

    async def read_three() -> int:
        for _ in range(3):
            result = await read_spec_safely(
                SMALL.encode(), name="a", folder=Path("/"), root=Path("/"), defaults=DEFAULTS
            )
            assert result.spec is not None
        process = worker._warm[asyncio.get_running_loop(), worker.Lane.STORE][0]._process
        assert process is not None
        return process.pid

    first, second = asyncio.run(read_three()), asyncio.run(read_three())
    assert first != second
    assert not psutil.pid_exists(first)
    assert not psutil.pid_exists(second)


async def test_the_child_inherits_no_secret(reader: SpecReader, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process that reads what strangers wrote does not have the daemon's environment."""
    monkeypatch.setenv("MONGODB_URI", "mongodb://me:secret@db/")
    await ask(reader, SMALL)
    assert reader._process is not None
    assert set(psutil.Process(reader._process.pid).environ()) <= {
        "PATH",
        "PYTHONPATH",
        "PYTHONUTF8",
        "LC_CTYPE",
    }


async def test_nothing_is_left_behind(reader: SpecReader) -> None:
    """``close`` ends the process, and is no error the second time."""
    await ask(reader, SMALL)
    assert reader._process is not None
    pid = reader._process.pid
    await reader.close()
    await reader.close()
    assert not psutil.pid_exists(pid)


async def test_the_child_ends_with_its_parent(reader: SpecReader) -> None:
    """When the pipe closes (the daemon was killed) the child goes by itself."""
    await ask(reader, SMALL)
    assert reader._process is not None
    assert reader._process.stdin is not None
    reader._process.stdin.close()
    assert await asyncio.wait_for(reader._process.wait(), 30) == 0


async def test_the_loop_goes_on(reader: SpecReader) -> None:
    """While a hundred thousand tasks are read, other work of the loop gets its turn again and again."""
    await ask(reader, SMALL)
    with beats() as count:
        result = await ask(reader, SMALL.replace("to: 3", "to: 99999"))
    assert result.spec is not None
    assert len(result.spec.tasks) == 99_999
    assert count() > 50


@contextmanager
def beats() -> Iterator[Callable[[], int]]:
    """Counts how often the loop came round."""
    turns = 0

    async def beat() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0.001)
            turns += 1

    task = asyncio.create_task(beat())
    try:
        yield lambda: turns
    finally:
        task.cancel()
