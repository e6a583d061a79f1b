"""The cancel hooks: only success is a yes, time is bounded, and no shell and no secret is near."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import stat
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from controller.adapters.cancel_command import CancelCommand
from controller.adapters.cancel_url import CancelUrl
from controller.core.ee2 import Stuck
from controller.core.model import Status
from controller.ports import Rejected, Unavailable

JOB = Stuck("5f" * 12, Status.QUEUED, 1.5e9, "4711", "condor")
LONG, SHORT = timedelta(seconds=60), timedelta(seconds=0.3)


@pytest.fixture
def script(tmp_path: Path) -> Callable[[str], str]:
    """Writes a program and gives its path."""

    def write(text: str) -> str:
        path = tmp_path / "hook"
        path.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        return str(path)

    return write


async def test_a_program_gets_the_ids_as_arguments(script: Callable[[str], str]) -> None:
    """Each argument arrives as it is written, with blanks and what a shell would take for its own; a job
    without a scheduler id has an empty one."""
    hook = CancelCommand([script('printf "<%s>" "$@"'), "$(id)", "a b;"], LONG)
    assert await hook.cancel(JOB) == f"<$(id)><a b;><{JOB.id}><4711>"
    bare = Stuck(JOB.id, Status.CREATED, 1.5e9)
    assert await hook.cancel(bare) == f"<$(id)><a b;><{JOB.id}><>"


async def test_a_program_sees_no_secret_of_ours(
    script: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The addresses of the database and of the webhook stay here, however their names are written, as the
    configuration takes them; whatever else the operator has set is passed on."""
    monkeypatch.setenv("MONGODB_URI", "mongodb://hooked@b")
    for name in ("BATCHKEEPER_STORE__URI", "batchkeeper_store__uri", "Batchkeeper_Notifications__Url"):
        monkeypatch.setenv(name, "https://hooked@b")
    monkeypatch.setenv("EE2_TOKEN", "theirs")
    shown = await CancelCommand([script("env | grep -e hooked -e EE2_TOKEN")], LONG).cancel(JOB)
    assert shown == "EE2_TOKEN=theirs"


async def test_a_program_that_fails_is_no_yes(script: Callable[[str], str]) -> None:
    """Its exit code and the end of what it said are kept, and not more than a line of it."""
    noisy = "yes no | head -c 300000; echo no schedd >&2; exit 3"
    with pytest.raises(Unavailable, match=r"exit code 3: .*no schedd") as refused:
        await CancelCommand([script(noisy)], LONG).cancel(JOB)
    assert len(str(refused.value)) < 1200


async def test_a_program_that_hangs_is_killed_with_all_it_started(
    script: Callable[[str], str], tmp_path: Path
) -> None:
    """Its time is bounded, and nothing of it is left."""
    pids = tmp_path / "pids"
    hook = CancelCommand([script(f"sleep 600 & echo $! $$ > {pids}; wait")], SHORT)
    with pytest.raises(Unavailable, match=r"within 0\.3 s"):
        await hook.cancel(JOB)
    if pids.exists():
        for pid in map(int, pids.read_text().split()):
            await _gone(pid)


async def test_a_program_that_is_not_ours_to_kill_is_a_no(
    script: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hook that has become somebody else (sudo) hangs: its time is over all the same, and that is said."""
    real = os.killpg

    def denied(group: int, number: int) -> None:
        asyncio.get_running_loop().call_soon(real, group, number)  # its own end, a moment later
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "killpg", denied)
    with pytest.raises(Unavailable, match=r"within 0\.3 s"):
        await CancelCommand([script("exec sleep 600")], SHORT).cancel(JOB)


async def _gone(pid: int) -> None:
    for _ in range(2000):
        if not _lives(pid):
            return
        await asyncio.sleep(0.02)
    raise AssertionError(f"{pid} is still there")


def _lives(pid: int) -> bool:
    """Whether there is such a process that is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


# --------------------------------------------------------------------------------------------- url


@asynccontextmanager
async def server(answer: bytes, heard: list[bytes], *, slowly: bool = False) -> AsyncIterator[str]:
    """Answers every request with these bytes; ``slowly``: never to the end."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length:")[1].split()[0])
        heard.append(head + await reader.readexactly(length))
        writer.write(answer)
        await writer.drain()
        if slowly:
            await reader.read()
        writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/cancel"
    finally:
        listening.close()


async def ask(answer: str, *, slowly: bool = False, within: timedelta = LONG) -> tuple[list[bytes], str]:
    """What the server heard, and what the hook made of its answer."""
    heard: list[bytes] = []
    async with server(answer.encode(), heard, slowly=slowly) as url:
        try:
            return heard, await CancelUrl(url, within).cancel(JOB)
        except (Unavailable, Rejected) as error:
            return heard, f"{type(error).__name__}: {error}"


async def test_an_address_gets_the_ids_as_json() -> None:
    """One POST with all that is known of the job; a 2xx answer is a yes."""
    heard, said = await ask("HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nremoved")
    assert said == "removed"
    (request,) = heard
    assert request.startswith(b"POST /cancel HTTP/1.1")
    assert json.loads(request.partition(b"\r\n\r\n")[2]) == {
        "job_id": JOB.id,
        "scheduler_id": "4711",
        "scheduler_type": "condor",
        "status": "queued",
        "since": 1.5e9,
        "terminated_code": 2,
    }


NO = {
    "an error": ("HTTP/1.1 500 No\r\nContent-Length: 4\r\n\r\nsick", "Unavailable: .*500: sick"),
    "a refusal": ("HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n", "Rejected: .*404"),
    "a redirect": ("HTTP/1.1 302 Go\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n", "Unavailable: .*302"),
    "nonsense": ("nonsense\r\n\r\n", "Unavailable: .*can't be reached"),
    "nothing": ("", "Unavailable: .*can't be reached"),
}


@pytest.mark.parametrize("answer", NO)
async def test_no_other_answer_is_a_yes(answer: str) -> None:
    """Errors, refusals, redirects (which are not followed), nonsense and silence."""
    sent, expected = NO[answer]
    heard, said = await ask(sent)
    assert len(heard) == 1
    kind, _, rest = expected.partition(": .*")
    assert said.startswith(kind)
    assert rest in said


async def test_an_address_that_is_slow_or_away() -> None:
    """The time is that of the whole exchange; a closed port is no yes either."""
    _, said = await ask("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf", slowly=True, within=SHORT)
    assert said.startswith("Unavailable: the cancel hook did not answer within 0.3 s")
    with pytest.raises(Unavailable, match="can't be reached"):
        await CancelUrl("http://127.0.0.1:1/x", LONG).cancel(JOB)
