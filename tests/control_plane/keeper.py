"""The process that owns a control plane and ends it when nobody uses it any more.

Started by ``sharing`` as ``python -m tests.control_plane.keeper SOCKET BINARIES``. A user is a connection
to its unix socket: the kernel closes it when the user ends, however it ends, so there is nothing to count
and nothing to forget. It greets each user with one line of JSON about the control plane, then answers each
line ``{"do": …, "name": …}`` with one, ``{}`` or ``{"error": …}``.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.control_plane.children import Broken, Children
from tests.control_plane.commands import ADMIN, Setup, new_setup
from tests.control_plane.nodes import make_nodes, nodes_ready

FIRST_USER_SECONDS = 10.0
"""How long it waits for whoever had it started."""
LINGER_SECONDS = 0.4
"""How long it waits for another user after the last one has left."""


class Keeper:
    """One control plane and its users."""

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._children = Children(setup)
        self._users = 0
        self._had_users = False
        self._one_at_a_time = asyncio.Lock()
        self._seconds = 0.0

    async def serve(self, path: Path) -> None:
        """Start everything, then serve until nobody uses it."""
        began = time.monotonic()
        try:
            await self._children.start_all()
            await asyncio.to_thread(self._populate)
            self._seconds = time.monotonic() - began
            half = path.with_suffix(".starting")
            server = await asyncio.start_unix_server(self._user, half)
            half.rename(path)  # who finds it may connect at once
            async with server:
                await self._until_unused()
                os.unlink(path)
        finally:
            await self._children.kill_all()

    def _populate(self) -> None:
        api = self._setup.api(ADMIN)
        make_nodes(api)
        until = time.monotonic() + 60
        while not nodes_ready(api):
            if time.monotonic() > until:
                raise Broken(f"the nodes are not ready: {self._children.log('kwok')}")
            time.sleep(0.05)

    async def _until_unused(self) -> None:
        unused_since = time.monotonic()
        while time.monotonic() - unused_since < (LINGER_SECONDS if self._had_users else FIRST_USER_SECONDS):
            await asyncio.sleep(0.1)
            if self._users:
                unused_since = time.monotonic()

    async def _user(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._users += 1
        self._had_users = True
        try:
            await _tell(writer, self._about())
            while line := await reader.readline():
                async with self._one_at_a_time:
                    answer = await self._obey(json.loads(line))
                await _tell(writer, answer)
        except ConnectionError:
            pass
        finally:
            self._users -= 1
            writer.close()

    def _about(self) -> dict[str, Any]:
        return {
            "url": self._setup.url,
            "ca": str(self._setup.ca),
            "audit": str(self._setup.audit),
            "binaries": str(self._setup.binaries),
            "tokens": self._setup.tokens,
            "etcd": self._setup.etcd,
            "pids": {"keeper": os.getpid(), **self._children.pids},
            "seconds": self._seconds,
        }

    async def _obey(self, order: dict[str, str]) -> dict[str, Any]:
        try:
            match order["do"]:
                case "kill":
                    await self._children.kill(order["name"])
                case "start":
                    await self._children.start(order["name"])
                case "about":
                    return self._about()
        except Broken as broken:
            return {"error": str(broken)}
        return {}


async def _tell(writer: asyncio.StreamWriter, what: dict[str, Any]) -> None:
    writer.write(json.dumps(what).encode() + b"\n")
    await writer.drain()


def main() -> None:
    """Keep one until nobody uses it; its folder is gone then."""
    path, binaries = Path(sys.argv[1]), Path(sys.argv[2])
    folder = Path(tempfile.mkdtemp(prefix="bk-control-plane-", dir=memory()))
    try:
        asyncio.run(Keeper(new_setup(folder, binaries)).serve(path))
        path.with_suffix(".log").unlink()  # nobody need read that all went well
    except Broken as broken:
        sys.exit(str(broken))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def memory() -> Path | None:
    """A folder in memory where there is one: what is proved here is no disk's speed."""
    shared = Path("/dev/shm")
    return shared if os.access(shared, os.W_OK) else None


if __name__ == "__main__":
    main()
