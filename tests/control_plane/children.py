"""The processes of one control plane: started, killed, started again, never left behind.

Called by ``keeper``. Each of them is killed by the kernel when the keeper ends, however it ends.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import sys
import time
import urllib.request
from collections.abc import Callable

from tests.control_plane.admin import Refused
from tests.control_plane.commands import ADMIN, Setup

NICE = 5
"""The tests and what they test go first."""
PATIENCE = 60.0
"""Seconds in which a server must be ready."""
POLL = 0.05
KUBELET = "kubelet"
_PR_SET_PDEATHSIG = 1


class Broken(Exception):
    """One of the processes does not do what it should; the message has the end of its log."""


class Children:
    """All processes of a control plane, by name."""

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._commands = setup.commands()
        self._commands[KUBELET] = [
            *(sys.executable, "-m", "tests.control_plane.kubelet"),
            *(str(setup.ca.parent), setup.url, str(setup.ports.kubelet)),
        ]
        self._running: dict[str, asyncio.subprocess.Process] = {}

    @property
    def pids(self) -> dict[str, int]:
        """The process ids of those that run."""
        return {name: process.pid for name, process in self._running.items() if process.returncode is None}

    async def start_all(self) -> None:
        """Start them in the order in which they need each other."""
        await self.start("etcd")
        await self.start("kube-apiserver")
        for name in self._commands:
            if name not in self._running:
                await self.start(name)

    async def start(self, name: str) -> None:
        """Start one; a server is ready when this returns. Raises ``Broken``."""
        with (self._setup.folder / f"{name}.log").open("ab") as log:
            self._running[name] = await asyncio.create_subprocess_exec(
                *self._commands[name],
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, "ADMIN_TOKEN": self._setup.tokens[ADMIN], "PYTHONPATH": os.getcwd()},
                start_new_session=True,
                preexec_fn=_bound_to_its_parent,
            )
        if ready := {"etcd": self._etcd_ready, "kube-apiserver": self._api_ready}.get(name):
            await self._until(name, ready)

    async def kill(self, name: str) -> None:
        """End one with SIGKILL, and wait until it is gone."""
        process = self._running.pop(name)
        if process.returncode is None:
            process.send_signal(signal.SIGKILL)
        await process.wait()

    async def kill_all(self) -> None:
        """End all of them."""
        for name in list(self._running):
            await self.kill(name)

    def log(self, name: str) -> str:
        """The end of what it said."""
        return (self._setup.folder / f"{name}.log").read_text(errors="replace")[-1500:]

    async def _until(self, name: str, ready: Callable[[], bool]) -> None:
        until = time.monotonic() + PATIENCE
        while not await asyncio.to_thread(ready):
            if self._running[name].returncode is not None:
                raise Broken(f"{name} ended by itself: {self.log(name)}")
            if time.monotonic() > until:
                raise Broken(f"{name} is not ready after {PATIENCE:g} s: {self.log(name)}")
            await asyncio.sleep(POLL)

    def _etcd_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self._setup.etcd}/readyz", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def _api_ready(self) -> bool:
        try:
            return self._setup.api(ADMIN).text("/readyz") == "ok"
        except (OSError, Refused):
            return False


def _bound_to_its_parent() -> None:
    """In the child, before it becomes the program."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    os.nice(NICE)
