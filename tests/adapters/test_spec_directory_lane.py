"""File work that hangs: nobody waits for it without a bound, nothing is started twice, nothing is lost."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from controller.adapters import spec_directory, spec_directory_watch
from controller.adapters.spec_directory_files import walk
from controller.adapters.spec_directory_lane import Lane
from controller.adapters.spec_directory_status import write_status
from controller.ports import Unavailable
from tests.adapters.spec_folder import logged
from tests.contract.folder_world import FolderWorld
from tests.contract.source_suite import SPEC, contents

SHORT = 0.05
"""Seconds that these tests wait for work that hangs."""


class Gate:
    """Work that hangs until it is let go."""

    def __init__(self) -> None:
        self._open = threading.Event()
        self.started = 0

    def hang(self) -> None:
        """Wait here."""
        self.started += 1
        assert self._open.wait(30)

    def open(self) -> None:
        """Let everything go, for good."""
        self._open.set()


@pytest.fixture
def gate() -> Iterator[Gate]:
    """A gate that is open at the end, so that no thread stays."""
    gate = Gate()
    yield gate
    gate.open()


@pytest.fixture
def world(tmp_path: Path) -> FolderWorld:
    """A folder with one spec that had its first look, and little patience."""
    folder = tmp_path / "specs"
    folder.mkdir()
    world = FolderWorld(folder, SHORT)
    world.put("a.yaml", SPEC)
    return world


async def until_delivered(world: FolderWorld) -> Any:
    """Scan until late work has come back."""
    while True:
        try:
            return await world.source.scan()
        except Unavailable:
            await asyncio.sleep(0.01)


def hanging(gate: Gate, work: Any) -> Any:
    """The same work behind the gate."""

    def run(*args: Any) -> Any:
        gate.hang()
        return work(*args)

    return run


class TestScan:
    async def test_a_hanging_folder_is_unavailable(
        self, world: FolderWorld, gate: Gate, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Every scan says so; one thread hangs, not one per scan; what it found is not lost."""
        await until_delivered(world)
        monkeypatch.setattr(spec_directory_watch, "walk", hanging(gate, walk))
        for _ in range(3):
            with pytest.raises(Unavailable, match=r"has not answered for 0\.05 s or more"):
                await world.source.scan()
        assert gate.started == 1
        gate.open()
        assert contents(await until_delivered(world)) == {"a.yaml": SPEC}

    async def test_a_cancelled_scan_loses_nothing(
        self, world: FolderWorld, gate: Gate, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Whoever scans next gets what the cancelled one would have got."""
        await until_delivered(world)
        monkeypatch.setattr(spec_directory_watch, "walk", hanging(gate, walk))
        scan = asyncio.create_task(world.source.scan())
        while not gate.started:
            await asyncio.sleep(0)
        scan.cancel()
        with pytest.raises(asyncio.CancelledError):
            await scan
        gate.open()
        assert contents(await until_delivered(world)) == {"a.yaml": SPEC}

    async def test_scans_take_turns(self, world: FolderWorld, monkeypatch: pytest.MonkeyPatch) -> None:
        """Two at once never run at once, and a file goes to one of them."""
        running, most = 0, 0

        def counted(root: str) -> Any:
            nonlocal running, most
            running += 1
            most = max(most, running)
            try:
                return walk(root)
            finally:
                running -= 1

        monkeypatch.setattr(spec_directory_watch, "walk", counted)
        world.bound = 30.0
        world.restart()
        found = await asyncio.gather(*(world.source.scan() for _ in range(8)))
        assert most == 1
        assert [len(files) for files in found] == [0, 1, 0, 0, 0, 0, 0, 0]

    async def test_the_loop_goes_on_meanwhile(
        self, world: FolderWorld, gate: Gate, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A scan blocks nobody else."""
        monkeypatch.setattr(spec_directory_watch, "walk", hanging(gate, walk))
        scan = asyncio.create_task(world.source.scan())
        while not gate.started:
            await asyncio.sleep(0)
        assert await world.source.keys() == frozenset()
        assert not await world.source.depends("a.yaml", ["t.csv"])
        gate.open()
        await asyncio.wait({scan})
        scan.exception()


class TestTell:
    async def test_a_hanging_folder_keeps_the_newest_status(
        self, world: FolderWorld, gate: Gate, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Telling returns within the bound and logs once; the newest of each spec is written later."""
        world.put("b.yaml", SPEC)
        monkeypatch.setattr(spec_directory, "write_status", hanging(gate, write_status))
        with logged() as logs:
            for turn in range(5):
                await world.source.tell("a.yaml", {"turn": turn})
                await world.source.tell("b.yaml", {"turn": turn})
        assert len(logs) == 1
        assert gate.started == 1
        gate.open()
        while (world.status("a.yaml"), world.status("b.yaml")) != ({"turn": 4}, {"turn": 4}):
            await asyncio.sleep(0.01)
        late = world.source._writing._under_way
        assert late is not None
        await asyncio.wait({late})
        world.source._writing._bound = 30.0
        await world.source.tell("b.yaml", {"turn": 5})
        assert world.status("b.yaml") == {"turn": 5}

    async def test_many_at_once_are_all_told(self, world: FolderWorld) -> None:
        """None is lost between two that are being written."""
        keys = [f"{n}.yaml" for n in range(20)]
        for key in keys:
            world.put(key, SPEC)
        world.bound = 30.0
        world.restart()
        await asyncio.gather(*(world.source.tell(key, {"key": key}) for key in keys))
        assert [world.status(key) for key in keys] == [{"key": key} for key in keys]


class TestLane:
    async def test_an_error_reaches_the_caller(self) -> None:
        """As it was raised in the thread, and the next work is not affected."""
        lane: Lane[int] = Lane("test", 30.0)
        with pytest.raises(ZeroDivisionError):
            await lane.run(lambda: 1 // 0)
        assert await lane.run(lambda: 7) == 7

    async def test_late_work_is_waited_for_only_once(self, gate: Gate) -> None:
        """Whoever comes while it is late is told so at once."""
        lane: Lane[None] = Lane("test", SHORT)
        with pytest.raises(TimeoutError):
            await lane.run(gate.hang)
        lane._bound = 3600.0
        late = asyncio.create_task(lane.run(gate.hang))
        done, _ = await asyncio.wait({late}, timeout=30)
        assert done
        assert isinstance(late.exception(), TimeoutError)

    async def test_it_keeps_no_program_from_ending(self) -> None:
        """A thread that hangs on a dead share must not hold the exit up."""
        daemon = await Lane[bool]("test", 30.0).run(lambda: threading.current_thread().daemon)
        assert daemon

    def test_a_loop_that_ended_meanwhile(self, gate: Gate) -> None:
        """Work that comes back when nobody is there ends quietly."""
        threads: list[threading.Thread] = []

        def work() -> None:
            threads.append(threading.current_thread())
            gate.hang()

        async def give_up() -> None:
            with pytest.raises(TimeoutError):
                await Lane[None]("test", SHORT).run(work)

        asyncio.run(give_up())
        gate.open()
        threads[0].join(30)
        assert not threads[0].is_alive()
