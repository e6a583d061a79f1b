"""The process that reads specs for ``worker``: one request after another, each under its own limits.

It has no secrets in its environment, writes no file, and ends when its parent closes the pipe. The
answer crosses as frames: a kind, a length, a pickle of our own values; tasks in chunks, so that the
parent's event loop gets its turn between two of them.
"""

from __future__ import annotations

import gc
import os
import pickle
import resource
import signal
import sys
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from itertools import islice
from pathlib import Path
from struct import Struct
from types import TracebackType
from typing import BinaryIO

from controller.core.problem import Problem
from controller.ports import NamedFile
from controller.specfile.reader import ReadSpec, SpecDefaults, read_spec

HEAD = Struct("!cQ")
"""A frame's kind and the length of its payload."""
CHUNK = 1000
"""Tasks in one frame."""


class Kind(Enum):
    """What a frame carries."""

    CSV = b"c"
    """Nothing: a csv file is about to be read, so the limits are wider from now on."""
    TASKS = b"t"
    """A list of (id, parameters)."""
    RESULT = b"r"
    """The ``ReadSpec``, without its tasks: the last frame."""
    SPENT = b"s"
    """The same, and the process should be ended: it has grown, and would refuse what a fresh one can do."""
    BUG = b"b"
    """One line: which exception, where; no values. The process ends with it."""


@dataclass(frozen=True, slots=True)
class Request:
    """One spec to read, and what that may take: whole seconds of CPU, bytes on top of what the process
    has at the start; the ``csv_`` ones from where its csv file begins.
    """

    content: bytes
    name: str
    folder: Path
    root: Path
    defaults: SpecDefaults
    cpu: int
    csv_cpu: int
    memory: int
    csv_memory: int
    beside: Mapping[str, NamedFile] | None = None


def main() -> None:
    """Serve requests from stdin until it is closed."""
    requests, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # nothing that prints may get between the frames
    sys.excepthook = lambda kind, _, place: _report(answers, kind, place)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGXCPU, signal.SIG_DFL)
    gc.disable()  # one read makes hundreds of thousands of objects and hardly a cycle
    start = _address_space()
    while head := requests.read(HEAD.size):
        request = pickle.loads(requests.read(HEAD.unpack(head)[1]))  # noqa: S301  # our parent's
        assert isinstance(request, Request)
        for kind, payload in _answer(request, answers, start):
            _send(answers, kind, payload)
        gc.collect()


def _answer(request: Request, answers: BinaryIO, start: int) -> Iterator[tuple[Kind, object]]:
    def on_csv() -> None:
        _allow(request.csv_cpu, start + request.csv_memory)
        _send(answers, Kind.CSV, None)

    _allow(request.cpu, start + request.memory)
    try:
        result = read_spec(
            request.content,
            name=request.name,
            folder=request.folder,
            root=request.root,
            defaults=request.defaults,
            beside=request.beside,
            on_csv=on_csv,
        )
    except MemoryError:
        message = "reading it takes too much memory: make it, or its csv file, smaller"
        result = ReadSpec(None, (Problem(message, request.name),))
    if result.spec is not None:
        pairs = ((task.id, dict(task.parameters)) for task in result.spec.tasks)
        while chunk := list(islice(pairs, CHUNK)):
            yield Kind.TASKS, chunk
        result = replace(result, spec=replace(result.spec, tasks=()))
    yield (Kind.SPENT if _address_space() > start + request.memory // 2 else Kind.RESULT), result


def _send(answers: BinaryIO, kind: Kind, payload: object) -> None:
    data = pickle.dumps(payload, protocol=pickle.HIGHEST_PROTOCOL)
    answers.write(HEAD.pack(kind.value, len(data)) + data)
    answers.flush()


def _report(answers: BinaryIO, kind: type[BaseException], place: TracebackType | None) -> None:
    last = traceback.extract_tb(place)[-1:]
    where = "".join(f" at {Path(frame.filename).name}:{frame.lineno}" for frame in last)
    if not issubclass(kind, BrokenPipeError):  # then nobody listens any more
        _send(answers, Kind.BUG, f"{kind.__name__}{where}")


def _allow(seconds: int, memory: int) -> None:
    """So many more seconds of CPU from now, past which the kernel ends the process; so much memory."""
    _limit(resource.RLIMIT_AS, memory)
    used = resource.getrusage(resource.RUSAGE_SELF)
    _limit(resource.RLIMIT_CPU, int(used.ru_utime + used.ru_stime) + 1 + seconds)


def _limit(what: int, soft: int) -> None:
    hard = resource.getrlimit(what)[1]
    resource.setrlimit(what, (soft if hard == resource.RLIM_INFINITY else min(soft, hard), hard))


def _address_space() -> int:
    """Bytes of address space in use; where /proc doesn't tell, what an interpreter usually has."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    except OSError:
        return 2**29
    return pages * resource.getpagesize()
