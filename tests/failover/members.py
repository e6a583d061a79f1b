"""A replica set of three real mongods on loopback: killed, stopped, cut down and healed by a test.

Each member is killed by the kernel when the process that made it ends, so none is ever left behind.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from bson import Timestamp
from pymongo import MongoClient
from pymongo.errors import AutoReconnect, OperationFailure, PyMongoError

from controller.adapters.mongod_binary import find_binary
from tests.e2e.waiting import wait_for
from tests.freezing import freeze

NAME = "three"
ELECTION = timedelta(seconds=2)
"""After so long without a primary the others elect one."""
HEARTBEAT = timedelta(milliseconds=500)
CACHE_GB = 0.25
OPLOG_MIB = 64
NICE = 2
"""What is tested goes first."""
PATIENCE = 120.0
"""Seconds in which a set must have a primary again; generous, since the machine may be busy."""
POLL = 0.15
"""Seconds between two looks at who leads: each is a connection to every member."""
_PR_SET_PDEATHSIG = 1
_ALREADY, _NOT_THERE = 23, 74

Status = dict[str, Any]


@dataclass
class Member:
    """One mongod. It keeps its data when it is killed."""

    number: int
    folder: Path
    port: int
    process: subprocess.Popen[bytes] | None = None
    frozen: bool = False

    @property
    def address(self) -> str:
        """Host and port, as the set's configuration has it."""
        return f"127.0.0.1:{self.port}"

    @property
    def runs(self) -> bool:
        """Whether its process is there; also while it is stopped."""
        return self.process is not None and self.process.poll() is None

    def log(self) -> str:
        """All that it logged."""
        return (self.folder / "mongod.log").read_text(errors="replace")


@dataclass
class ReplicaSet:
    """Three members, one of which leads while two can talk to each other."""

    root: Path
    binary: Path
    members: list[Member] = field(default_factory=list)

    @property
    def uri(self) -> str:
        """How a daemon is told of it: the members that are known first, and the set's name."""
        return f"mongodb://{','.join(one.address for one in self.members)}/?replicaSet={NAME}"

    def begin(self) -> None:
        """Start three members and make them a set; one of them leads when this returns."""
        ports = _free_ports(3)
        for number, port in enumerate(ports):
            folder = self.root / f"member-{number}"
            folder.mkdir()
            self.members.append(Member(number, folder, port))
        for member in self.members:
            self.start(member)
        config = {
            "_id": NAME,
            "members": [{"_id": one.number, "host": one.address} for one in self.members],
            "settings": {
                "electionTimeoutMillis": ELECTION // timedelta(milliseconds=1),
                "heartbeatIntervalMillis": HEARTBEAT // timedelta(milliseconds=1),
                "heartbeatTimeoutSecs": 2,
                "catchUpTimeoutMillis": ELECTION // timedelta(milliseconds=1),
            },
        }
        wait_for("a member that takes the configuration", lambda: self._initiated(config), PATIENCE)
        self.healed()

    def _initiated(self, config: Status) -> bool:
        try:
            self.ask(self.members[0], "replSetInitiate", config)
        except OperationFailure as error:
            if error.code in (_ALREADY, _NOT_THERE):
                return error.code == _ALREADY
            raise
        except AutoReconnect:
            return False
        return True

    # ------------------------------------------------------------------------- what befalls members

    def start(self, member: Member) -> None:
        """Start it, with what it had; it need not answer yet."""
        assert not member.runs
        command = [
            str(self.binary),
            *("--dbpath", str(member.folder)),
            *("--port", str(member.port), "--bind_ip", "127.0.0.1", "--nounixsocket"),
            *("--replSet", NAME),
            *("--wiredTigerCacheSizeGB", str(CACHE_GB), "--oplogSize", str(OPLOG_MIB)),
            *("--wiredTigerEngineConfigString", "log=(file_max=8MB)"),
            *("--setParameter", "diagnosticDataCollectionEnabled=false"),
            *("--setParameter", "enableTestCommands=1"),  # for ``stalled``
            "--quiet",
        ]
        with (member.folder / "mongod.log").open("ab") as log:
            member.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=_bound_to_its_parent,
            )
        member.frozen = False

    def kill(self, *members: Member) -> None:
        """``kill -9``, all at once."""
        for member in members:
            assert member.process
            member.process.kill()
        for member in members:
            assert member.process
            member.process.wait()
            member.frozen = False

    def freeze(self, *members: Member) -> None:
        """SIGSTOP: it is there, and silent."""
        for member in members:
            assert member.process
            member.frozen = True
            freeze(member.process.pid)

    def thaw(self, *members: Member) -> None:
        """SIGCONT: it goes on where it was, and knows of nothing that happened meanwhile."""
        for member in members:
            assert member.process
            member.process.send_signal(signal.SIGCONT)
            member.frozen = False

    def step_down(self, seconds: int = 5) -> None:
        """The primary is asked to let another one lead, and not to lead again for so long."""
        with suppress(AutoReconnect):
            self.ask(self.primary(), "replSetStepDown", seconds, secondaryCatchUpPeriodSecs=2, force=True)

    @contextmanager
    def stalled(self, *members: Member) -> Iterator[None]:
        """They take nothing over from the primary meanwhile, and vote and answer as ever.

        So the primary goes on leading, and what is written to it is on it alone.
        """
        self._producers(members, "alwaysOn")
        try:
            yield
        finally:
            self._producers([one for one in members if one.runs], "off")

    def _producers(self, members: Sequence[Member], mode: str) -> None:
        for member in members:
            self.ask(member, "configureFailPoint", "stopReplProducer", mode=mode)

    def alone_with(self, member: Member, database: str) -> bool:
        """Whether it has a write to this database that no other member has."""
        optimes = self.ask(member, "replSetGetStatus")["optimes"]
        with self._client(member) as client:
            found = client["local"]["oplog.rs"].find({"ns": {"$regex": f"^{database}\\."}})
            last = next(found.sort("$natural", -1).limit(1), None)
        return last is not None and last["ts"] > optimes["lastCommittedOpTime"]["ts"]

    # ------------------------------------------------------------------------------------- what is so

    def ask(self, member: Member, command: str, value: Any = 1, **more: Any) -> Status:
        """A command to this very member."""
        with self._client(member) as client:
            return client.admin.command(command, value, **more)

    def _client(self, member: Member) -> MongoClient[Status]:
        return MongoClient(
            "127.0.0.1",
            member.port,
            directConnection=True,
            serverSelectionTimeoutMS=2000,
            connectTimeoutMS=2000,
            socketTimeoutMS=10000,
        )

    def leader(self) -> Member | None:
        """Who leads in the eyes of most; None: nobody, as far as can be seen."""
        seen: dict[int, int] = {}
        for member in self.members:
            if not member.runs or member.frozen:
                continue
            with suppress(PyMongoError):
                for one in self.ask(member, "replSetGetStatus")["members"]:
                    if one["stateStr"] == "PRIMARY" and self._is_writable(self.members[one["_id"]]):
                        seen[one["_id"]] = seen.get(one["_id"], 0) + 1
        most = [number for number, votes in seen.items() if votes >= 2]
        return self.members[most[0]] if len(most) == 1 else None

    def _is_writable(self, member: Member) -> bool:
        if not member.runs or member.frozen:
            return False
        return bool(self.ask(member, "hello")["isWritablePrimary"])

    def primary(self, *, but: Member | None = None) -> Member:
        """Who leads, once somebody (else than ``but``) does."""

        def look() -> Member | None:
            found = self.leader()
            if found is None or found is but:
                time.sleep(POLL)
                return None
            return found

        return wait_for("a primary", look, PATIENCE)

    def secondaries(self) -> list[Member]:
        """Those that don't lead."""
        leads = self.primary()
        return [one for one in self.members if one is not leads]

    def healed(self) -> None:
        """Every member runs and has caught up: whoever was stopped goes on, whoever was killed is back."""
        for member in self.members:
            if not member.runs:
                self.start(member)
            elif member.frozen:
                self.thaw(member)
        wait_for("three members in their places", self._whole, PATIENCE)
        written = self._optime("appliedOpTime")
        wait_for(
            "a majority that has it all", lambda: self._optime("lastCommittedOpTime") >= written, PATIENCE
        )

    def _optime(self, which: str) -> Timestamp:
        """How far whoever leads has come."""
        found: Timestamp = self.ask(self.primary(), "replSetGetStatus")["optimes"][which]["ts"]
        return found

    def _whole(self) -> bool:
        leads = self.leader()
        states = self.ask(leads, "replSetGetStatus")["members"] if leads else []
        if sorted(one["stateStr"] for one in states) == ["PRIMARY", "SECONDARY", "SECONDARY"]:
            return True
        time.sleep(POLL)
        return False

    def close(self) -> None:
        """End them all, at once."""
        for member in self.members:
            if member.runs:
                self.kill(member)


def _free_ports(n: int) -> list[int]:
    with _listening(n) as sockets:
        return [one.getsockname()[1] for one in sockets]


@contextmanager
def _listening(n: int) -> Iterator[list[socket.socket]]:
    sockets = [socket.socket() for _ in range(n)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        yield sockets
    finally:
        for one in sockets:
            one.close()


def _bound_to_its_parent() -> None:
    """In the child, before it becomes the program."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    os.nice(NICE)


@contextmanager
def three_members() -> Iterator[ReplicaSet]:
    """A replica set of one's own, in memory where there is some."""
    memory = Path("/dev/shm")
    root = Path(tempfile.mkdtemp(prefix="bk-three-", dir=memory if os.access(memory, os.W_OK) else None))
    found = ReplicaSet(root, find_binary("", root))
    try:
        found.begin()
        yield found
    finally:
        found.close()
        shutil.rmtree(root, ignore_errors=True)
