"""The cancel hook that is a program: ``ports.ee2.Canceller``. Made by ``ee2_app``.

The ids are arguments of their own, never part of a line that a shell reads. The program gets no stdin and
none of our secrets; it and all it started are killed when its time is up.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Sequence
from datetime import timedelta

from controller.core.ee2 import Stuck
from controller.ports import Rejected, Unavailable

NOTE_BYTES = 1000
"""How much of what it printed is kept: the end."""
FAREWELL_SECONDS = 5.0
"""How long one that was killed may take to be gone. A claim on the job outlasts this by far."""
OUR_SECRETS = ("MONGODB_URI", "BATCHKEEPER_STORE__URI", "BATCHKEEPER_NOTIFICATIONS__URL")
"""In capitals: the configuration takes the names of its variables in any letters."""


class CancelCommand:
    """Runs ``command… JOB_ID SCHEDULER_ID``; the second is empty for a job that has none."""

    def __init__(self, command: Sequence[str], timeout: timedelta) -> None:
        self._command = tuple(command)
        self._seconds = timeout.total_seconds()

    async def cancel(self, job: Stuck) -> str:
        """See ``Canceller.cancel``: exit code 0 alone is success."""
        try:
            process = await asyncio.create_subprocess_exec(
                *self._command,
                job.id,
                job.scheduler_id,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                start_new_session=True,
                env={name: text for name, text in os.environ.items() if name.upper() not in OUR_SECRETS},
            )
        except (OSError, ValueError) as error:
            raise Rejected(f"the cancel hook {self._command[0]} can't be run: {error}") from error
        try:
            async with asyncio.timeout(self._seconds):
                note = await _tail(process.stdout)
                code = await process.wait()
        except TimeoutError:
            raise Unavailable(f"the cancel hook did not end within {self._seconds:g} s") from None
        finally:
            await _end(process)
        if code:
            raise Unavailable(f"the cancel hook ended with exit code {code}: {note}")
        return note


async def _tail(stream: asyncio.StreamReader | None) -> str:
    """The end of what it printed, on one line; the rest is read and forgotten."""
    kept = b""
    while stream and (some := await stream.read(65536)):
        kept = (kept + some)[-NOTE_BYTES:]
    return " ".join(kept.decode("utf-8", "replace").split())


async def _end(process: asyncio.subprocess.Process) -> None:
    """Kill it and what it started, and wait for it; nothing happens when all of it has ended.

    One that has become another user (sudo) is not ours to kill: it is left to its own end.
    """
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(FAREWELL_SECONDS):
            await process.wait()
