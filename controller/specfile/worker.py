"""Reads specs in a process of their own, with limits on time and memory: the event loop never waits.

A hostile spec costs one process and gives one problem; the next spec gets a new process. One process for each
lane is kept warm and reads one spec at a time: specs that people send hold up none of a watched store.
"""

from __future__ import annotations

import asyncio
import os
import pickle
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from controller.core.problem import Problem
from controller.core.spec import Task
from controller.ports import NamedFile, Unavailable
from controller.specfile.child import HEAD, Kind, Request
from controller.specfile.reader import ReadSpec, SpecDefaults, read_spec
from controller.specfile.text import MAX_SPEC_BYTES

_PACKAGES = Path(__file__).resolve().parents[2]
_CHILD: tuple[str, ...] = ("-P", "-c", "from controller.specfile.child import main; main()")
"""``-P``: a module in the working directory must not stand in for one of ours."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What reading one spec may take; the ``csv_`` ones count from where its csv file begins."""

    cpu: int = 3
    """Whole seconds of CPU time. The largest spec takes about one."""
    wall: float = 10.0
    """Seconds, on a machine that is busy with jobs too."""
    csv_cpu: int = 20
    csv_wall: float = 60.0
    memory: int = 384 * 2**20
    """Bytes of address space."""
    csv_memory: int = 768 * 2**20


class SpecReader:
    """A warm process that reads specs. Use as ``async with``, or ``close`` it."""

    def __init__(self, limits: Limits = Limits(), command: Sequence[str] = _CHILD) -> None:
        self._limits = limits
        self._command = command
        self._process: Process | None = None
        self._lock = asyncio.Lock()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, place: TracebackType | None
    ) -> None:
        await self.close()

    async def read(
        self,
        content: bytes,
        *,
        name: str,
        folder: Path,
        root: Path,
        defaults: SpecDefaults,
        beside: Mapping[str, NamedFile] | None = None,
    ) -> ReadSpec:
        """``read_spec`` within the limits; past one of them the answer is a problem that says so.

        Raises ``Unavailable`` when no process can be started.
        """
        if len(content) > MAX_SPEC_BYTES:  # refused at a glance
            return read_spec(content, name=name, folder=folder, root=root, defaults=defaults)
        limits = self._limits
        request = Request(
            content,
            name,
            folder,
            root,
            defaults,
            cpu=limits.cpu,
            csv_cpu=limits.csv_cpu,
            memory=limits.memory,
            csv_memory=limits.csv_memory,
            beside=beside,
        )
        async with self._lock:
            process = await self._started()
            try:
                return await self._exchange(process, request)
            except TimeoutError:
                message = f"reading it took longer than {limits.wall:g} s"
            except (asyncio.IncompleteReadError, ConnectionError):
                message = await self._death(process)
            except _BugError as bug:
                message = f"the reader failed on it ({bug}): this is a bug of Batchkeeper, please report it"
            except BaseException:
                await self._end()  # half an exchange is no state to go on from
                raise
            await self._end()
        advice = "make it simpler: shorter patterns, fewer values, the tasks in a csv file"
        return ReadSpec(None, (Problem(f"{message}; {advice}", name),))

    async def close(self) -> None:
        """End the process."""
        async with self._lock:
            await self._end()

    async def _started(self) -> Process:
        if self._process is None or self._process.returncode is not None:
            try:
                self._process = await asyncio.create_subprocess_exec(
                    sys.executable,
                    *self._command,
                    stdin=PIPE,
                    stdout=PIPE,
                    stderr=DEVNULL,
                    env={"PATH": os.defpath, "PYTHONPATH": str(_PACKAGES), "PYTHONUTF8": "1"},
                    start_new_session=True,  # ^C in a terminal is the daemon's to handle
                )
            except OSError as error:
                raise Unavailable(f"no process to read specs can be started: {error.strerror}") from error
        return self._process

    async def _exchange(self, process: Process, request: Request) -> ReadSpec:
        assert process.stdin is not None
        loop, tasks = asyncio.get_running_loop(), list[Task]()
        async with asyncio.timeout(self._limits.wall) as limit:
            data = pickle.dumps(request, protocol=pickle.HIGHEST_PROTOCOL)
            process.stdin.write(HEAD.pack(b"q", len(data)) + data)
            await process.stdin.drain()
            while True:
                kind, payload = await _frame(process)
                if kind in (Kind.RESULT, Kind.SPENT):
                    break
                if kind is Kind.TASKS:
                    tasks += [Task(id_, len(tasks) + n, values) for n, (id_, values) in enumerate(payload)]
                    await asyncio.sleep(0)  # buffered frames would not let anybody else run
                elif kind is Kind.CSV:
                    limit.reschedule(loop.time() + self._limits.csv_wall)
                else:
                    raise _BugError(payload)
        if kind is Kind.SPENT:
            await self._end()
        return _whole(payload, tasks)

    async def _death(self, process: Process) -> str:
        code = await process.wait()
        if code == -signal.SIGXCPU:
            return f"reading it took more than {self._limits.cpu} s of computing"
        return f"the process that read it ended ({_signal(code)})"

    async def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if process.returncode is None:
            process.kill()
        if process.stdin is not None:
            process.stdin.close()
        await process.wait()


class Lane(StrEnum):
    """Who reads: each has a process of its own, so that none waits for another's specs."""

    STORE = "store"
    SENT = "sent"


_warm: dict[tuple[asyncio.AbstractEventLoop, Lane], tuple[SpecReader, asyncio.Task[None]]] = {}
"""The readers of each running loop, and the task of each that ends it with the loop."""


async def read_spec_safely(
    content: bytes,
    *,
    name: str,
    folder: Path,
    root: Path,
    defaults: SpecDefaults,
    beside: Mapping[str, NamedFile] | None = None,
    lane: Lane = Lane.STORE,
) -> ReadSpec:
    """``SpecReader.read`` by the lane's reader, with the usual limits; it stays warm until the loop ends."""
    loop = asyncio.get_running_loop()
    if (loop, lane) not in _warm:
        reader = SpecReader()
        _warm[loop, lane] = reader, loop.create_task(_keep(reader, lane), name=f"spec reader: {lane}")
    return await _warm[loop, lane][0].read(
        content, name=name, folder=folder, root=root, defaults=defaults, beside=beside
    )


async def _keep(reader: SpecReader, lane: Lane) -> None:
    """Wait until the loop cancels what still runs, as it does at its end; then end the reader's process."""
    try:
        await asyncio.get_running_loop().create_future()
    finally:
        del _warm[asyncio.get_running_loop(), lane]
        await reader.close()


class _BugError(Exception):
    """The child met an exception that nobody expected: which, and where."""


async def _frame(process: Process) -> tuple[Kind, Any]:
    assert process.stdout is not None
    kind, size = HEAD.unpack(await process.stdout.readexactly(HEAD.size))
    payload = await process.stdout.readexactly(size)
    return Kind(kind), pickle.loads(payload)  # noqa: S301  # our own child's


def _whole(result: ReadSpec, tasks: list[Task]) -> ReadSpec:
    return result if result.spec is None else replace(result, spec=replace(result.spec, tasks=tuple(tasks)))


def _signal(code: int) -> str:
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"
