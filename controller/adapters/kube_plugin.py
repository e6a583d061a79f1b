"""An exec plugin of a kubeconfig: a program that says who we are, and that may hang.

One that nobody waits for any more is ended, with all that it started in its group. What it says goes into
files: nothing that it leaves running holds a pipe of ours. Used by ``kube_credentials``.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from tempfile import TemporaryFile

REAPED = 1.0
"""Seconds that one which was killed is waited for: it may hang in the kernel."""


async def answered(command: Sequence[str], environment: Mapping[str, str]) -> tuple[int, bytes, bytes]:
    """Exit code, output and errors of the command. Raises ``OSError`` when it can't be run."""
    with TemporaryFile() as output, TemporaryFile() as errors:
        process = await asyncio.create_subprocess_exec(
            *command,
            env=environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=errors,
            start_new_session=True,
        )
        try:
            code = await process.wait()
        finally:
            if process.returncode is None:
                await _end(process)
        for file in (output, errors):
            file.seek(0)
        return code, output.read(), errors.read()


async def _end(process: asyncio.subprocess.Process) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    with suppress(TimeoutError):
        async with asyncio.timeout(REAPED):
            await process.wait()
