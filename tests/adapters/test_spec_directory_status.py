"""The status beside a spec: whole, readable, written only when it is new, and never a way to do harm."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import stat
import threading
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from controller.adapters import spec_directory
from controller.adapters.spec_directory_status import render, write_status
from controller.adapters.spec_directory_watch import LITTER_AFTER
from controller.ports import Unavailable
from tests.adapters.spec_folder import Opens, logged
from tests.contract.folder_world import FolderWorld
from tests.contract.source_suite import SPEC

RUNNING = {"state": "running", "tasks": {"total": 3}}
DONE = {"state": "finished", "tasks": {"total": 3}}


@pytest.fixture
def world(tmp_path: Path) -> FolderWorld:
    """A folder with one spec."""
    folder = tmp_path / "specs"
    folder.mkdir()
    world = FolderWorld(folder)
    world.put("a.yaml", SPEC)
    return world


@pytest.fixture
def opens(monkeypatch: pytest.MonkeyPatch) -> Opens:
    """Every ``os.open`` from here on."""
    return Opens(monkeypatch)


def beside(world: FolderWorld) -> Path:
    """Where the status stands."""
    return world.folder / "a.yaml.status.yaml"


def names(world: FolderWorld) -> list[str]:
    """All that is in the folder."""
    return sorted(path.name for path in world.folder.iterdir())


class TestWriting:
    async def test_nothing_else_is_left_in_the_folder(self, world: FolderWorld) -> None:
        """The temporary file has become the status."""
        await world.source.tell("a.yaml", RUNNING)
        assert names(world) == ["a.yaml", "a.yaml.status.yaml"]

    async def test_the_same_status_is_not_written_again(self, world: FolderWorld) -> None:
        """Neither by this process nor by the next: the file stays the very same one."""
        await world.source.tell("a.yaml", RUNNING)
        before = beside(world).stat()
        await world.source.tell("a.yaml", RUNNING)
        world.restart()
        await world.source.tell("a.yaml", RUNNING)
        after = beside(world).stat()
        assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)

    async def test_what_somebody_did_to_it_does_not_last(self, world: FolderWorld) -> None:
        """Edited or deleted, it is right again after the next telling."""
        await world.source.tell("a.yaml", RUNNING)
        beside(world).write_text(beside(world).read_text().replace("3", "4"))
        await world.source.tell("a.yaml", RUNNING)
        assert world.status("a.yaml") == RUNNING
        beside(world).unlink()
        await world.source.tell("a.yaml", RUNNING)
        assert world.status("a.yaml") == RUNNING

    async def test_everyone_may_read_it(self, world: FolderWorld) -> None:
        """Whatever the daemon's umask: 0644."""
        before = os.umask(0o077)
        try:
            await world.source.tell("a.yaml", RUNNING)
        finally:
            os.umask(before)
        assert stat.S_IMODE(beside(world).stat().st_mode) == 0o644

    async def test_a_link_in_its_place_is_replaced(self, world: FolderWorld) -> None:
        """What it led to is untouched, also when it holds the very status that is to be written."""
        victim = world.folder.parent / "victim"
        for held in (b"precious", render(RUNNING)):
            victim.write_bytes(held)
            beside(world).unlink(missing_ok=True)
            beside(world).symlink_to(victim)
            await world.source.tell("a.yaml", RUNNING)
            assert victim.read_bytes() == held
            assert not beside(world).is_symlink()
            assert world.status("a.yaml") == RUNNING

    async def test_a_link_in_the_temporary_files_place_is_replaced(
        self, world: FolderWorld, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Its name can be guessed; it is created new, so nothing is written through it."""
        monkeypatch.setattr("controller.adapters.spec_directory_status._writer", lambda: "00000000-1")
        victim = world.folder.parent / "victim"
        victim.write_bytes(b"precious")
        (world.folder / ".a.yaml.status.yaml.00000000-1.tmp").symlink_to(victim)
        await world.source.tell("a.yaml", RUNNING)
        assert victim.read_bytes() == b"precious"
        assert names(world) == ["a.yaml", "a.yaml.status.yaml"]

    async def test_nothing_is_written_into_a_file_that_was_there_first(
        self, world: FolderWorld, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Who puts another name of a file there, just after it was tidied, does that file no harm."""
        monkeypatch.setattr("controller.adapters.spec_directory_status._writer", lambda: "00000000-1")
        victim = world.folder.parent / "victim"
        victim.write_bytes(b"precious")
        (world.folder / ".a.yaml.status.yaml.00000000-1.tmp").hardlink_to(victim)
        monkeypatch.setattr(os, "unlink", lambda *args, **options: None)
        await world.source.tell("a.yaml", RUNNING)
        assert victim.read_bytes() == b"precious"
        assert world.status("a.yaml") is None

    async def test_a_folder_swapped_for_a_link_is_not_entered(self, world: FolderWorld) -> None:
        """A status is written below the watched folder or nowhere."""
        world.put("x/a.yaml", SPEC)
        await world.settle()
        elsewhere = world.folder.parent / "elsewhere"
        (world.folder / "x").rename(elsewhere)
        (world.folder / "x").symlink_to(elsewhere)
        await world.source.tell("x/a.yaml", RUNNING)
        assert [path.name for path in elsewhere.iterdir()] == ["a.yaml"]

    @pytest.mark.parametrize(
        "key",
        [
            "../a.yaml",
            "x/../../a.yaml",
            "/etc/a.yaml",
            "%2e%2e/a.yaml",
            "a.txt",
            "a.yaml%00",
            "x%00/a.yaml",
            "",
        ],
    )
    async def test_what_is_no_key_is_told_nothing(self, world: FolderWorld, key: str) -> None:
        """A record may name a source that is no file of this folder."""
        (world.folder.parent / "a.yaml").write_bytes(SPEC)
        world.put("a.txt", b"")
        await world.source.tell(key, RUNNING)
        assert sorted(path.name for path in world.folder.parent.iterdir()) == ["a.yaml", "specs"]
        assert names(world) == ["a.txt", "a.yaml"]

    async def test_a_crash_in_the_middle_leaves_the_old_status(
        self, world: FolderWorld, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Until the last step the old one stands, whole."""
        await world.source.tell("a.yaml", RUNNING)

        def crash(*args: Any, **options: Any) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(os, "rename", crash)
        with pytest.raises(KeyboardInterrupt):
            write_status(str(world.folder), "a.yaml", render(DONE))
        assert world.status("a.yaml") == RUNNING

    async def test_what_a_crash_left_behind_is_removed_later(self, world: FolderWorld) -> None:
        """A temporary file that stays for an hour has no writer; other dotfiles are not ours."""
        world.put(".a.yaml.status.yaml.0badcafe-12.tmp", b"half")
        world.put(".a.yaml.status.yaml.notes.tmp", b"somebody's")
        await world.source.scan()
        world.time += LITTER_AFTER - 1
        await world.source.scan()
        assert ".a.yaml.status.yaml.0badcafe-12.tmp" in names(world)
        world.time += 1
        await world.source.scan()
        assert names(world) == [".a.yaml.status.yaml.notes.tmp", "a.yaml"]


class TestTrouble:
    @pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES, errno.ENOSPC])
    async def test_a_folder_that_cannot_be_written_is_logged_once(
        self, world: FolderWorld, opens: Opens, number: int
    ) -> None:
        """Telling never raises; a line per trouble, not per telling; it is written when that is over."""
        opens.faults["creating"] = number
        with logged() as logs:
            for state in ("one", "two", "three"):
                await world.source.tell("a.yaml", {"state": state})
        assert [(log["event"], log["folder"]) for log in logs] == [("spec-status-not-written", ".")]
        assert names(world) == ["a.yaml"]
        opens.faults.clear()
        await world.source.tell("a.yaml", {"state": "three"})
        assert world.status("a.yaml") == {"state": "three"}

    async def test_new_trouble_after_a_good_write_is_logged_again(
        self, world: FolderWorld, opens: Opens
    ) -> None:
        """Once means once for as long as it lasts."""
        with logged() as logs:
            for turn in range(2):
                opens.faults["creating"] = errno.ENOSPC
                await world.source.tell("a.yaml", {"turn": turn, "try": 1})
                opens.faults.clear()
                await world.source.tell("a.yaml", {"turn": turn, "try": 2})
        assert len(logs) == 2

    async def test_a_disk_that_fills_up_while_writing(
        self, world: FolderWorld, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The old status stands, whole, and no temporary file stays."""
        await world.source.tell("a.yaml", RUNNING)

        def full(descriptor: int) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(os, "fsync", full)
        await world.source.tell("a.yaml", DONE)
        assert world.status("a.yaml") == RUNNING
        assert names(world) == ["a.yaml", "a.yaml.status.yaml"]

    async def test_what_could_not_be_written_is_written_once_it_can(
        self, world: FolderWorld, opens: Opens
    ) -> None:
        """The last word about a batch is told once only: a full disk lost it, and 'running' stood there."""
        keys = ["a.yaml", "b.yaml", "c.yaml"]
        for key in keys[1:]:
            world.put(key, SPEC)
        await world.source.tell("a.yaml", RUNNING)
        opens.faults["creating"] = errno.ENOSPC
        with logged() as logs:
            for key in keys:
                await world.source.tell(key, DONE)
            for _ in range(3):
                await world.source.scan()
        assert len(logs) == 1
        assert world.status("a.yaml") == RUNNING
        world.remove("c.yaml")
        opens.faults.clear()
        await world.source.scan()
        assert [world.status(key) for key in keys] == [DONE, DONE, None]

    async def test_an_old_status_that_could_not_be_written_comes_after_no_newer_one(
        self, world: FolderWorld, opens: Opens
    ) -> None:
        """What was told since stays."""
        opens.faults["creating"] = errno.EIO
        await world.source.tell("a.yaml", RUNNING)
        opens.faults.clear()
        await world.source.tell("a.yaml", DONE)
        await world.source.scan()
        assert world.status("a.yaml") == DONE

    async def test_an_older_status_that_waits_is_not_written_after_a_newer_one(
        self, world: FolderWorld, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A scan tries again what could not be written, while the newest status is being written."""
        going, go_on = threading.Event(), threading.Event()

        def full(*_: object) -> bool:
            raise OSError(errno.ENOSPC, "No space left on device")

        def slow(root: str, path: str, content: bytes) -> bool:
            going.set()
            assert go_on.wait(10)
            return write_status(root, path, content)

        monkeypatch.setattr(spec_directory, "write_status", full)
        await world.source.tell("a.yaml", RUNNING)
        monkeypatch.setattr(spec_directory, "write_status", slow)
        telling = asyncio.create_task(world.source.tell("a.yaml", DONE))
        await asyncio.to_thread(going.wait, 10)
        scanning = asyncio.create_task(world.source.scan())
        await asyncio.sleep(0.05)
        go_on.set()
        await asyncio.gather(telling, scanning)
        await world.source.scan()
        assert world.status("a.yaml") == DONE

    async def test_what_was_told_while_the_folder_was_away_stands_there_when_it_is_back(
        self, world: FolderWorld
    ) -> None:
        """An unmounted share is no deletion: nothing is handed out anew, and an end is told once only."""
        for _ in range(3):
            world.pass_time()
            await world.source.scan()
        await world.source.tell("a.yaml", RUNNING)
        elsewhere = world.folder.with_name("elsewhere")
        world.folder.rename(elsewhere)
        await world.source.tell("a.yaml", DONE)
        with pytest.raises(Unavailable):
            await world.source.scan()
        elsewhere.rename(world.folder)
        await world.source.scan()
        assert world.status("a.yaml") == DONE

    async def test_a_scan_that_is_cut_off_loses_no_spec(
        self, world: FolderWorld, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A pass has its time limit, which a status that waits to be written may use up."""
        full, slow = threading.Event(), threading.Event()

        def written(*_: object) -> bool:
            slow.wait(2)
            if full.is_set():
                raise OSError(errno.ENOSPC, "No space left on device")
            return True

        monkeypatch.setattr(spec_directory, "write_status", written)
        slow.set()
        full.set()
        await world.source.tell("a.yaml", RUNNING)
        await world.source.scan()
        slow.clear()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await world.source.scan()
        slow.set()
        found = [file.key for _ in range(3) for file in await world.source.scan()]
        assert found == ["a.yaml"]

    async def test_a_folder_in_its_place(self, world: FolderWorld) -> None:
        """It can't be replaced: logged, nothing left behind."""
        beside(world).mkdir()
        with logged() as logs:
            await world.source.tell("a.yaml", RUNNING)
        assert len(logs) == 1
        assert names(world) == ["a.yaml", "a.yaml.status.yaml"]

    async def test_a_name_that_leaves_no_room(self, world: FolderWorld) -> None:
        """A spec whose name is as long as names can be is served; its status can't be written."""
        key = "n" * 250 + ".yaml"
        world.put(key, SPEC)
        assert key in {file.key for file in await world.settle()}
        with logged() as logs:
            await world.source.tell(key, RUNNING)
        assert len(logs) == 1

    async def test_a_lost_folder_is_told_nothing(self, world: FolderWorld) -> None:
        """The scan says that it is gone; telling says nothing more."""
        world.lose()
        with logged() as logs:
            await world.source.tell("a.yaml", RUNNING)
        assert logs == []


class TestRendering:
    def test_it_reads_back(self) -> None:
        """Order, text that looks like something else, odd characters and emptiness survive."""
        status = {
            "zebra": "yes",
            "apple": ["0.10", "1e3", "null", "2026-01-02T03:04:05Z", "", "# no comment", "a: b"],
            "text": "größe 日本 🌱",
            "control": "\x1b[31m two\nlines",
            "nested": [{"exitCode": 0, "ok": False, "none": None}, {"empty": {}, "list": []}],
            "long": "word " * 100,
        }
        read = YAML(typ="safe").load(render(status))
        assert json.dumps(read) == json.dumps(status)

    def test_it_is_printable(self) -> None:
        """No control character reaches a terminal raw."""
        text = render({"a": "\x1b[31m\x07\u2028", "b\x07": 1}).decode()
        assert all(line.isprintable() for line in text.split("\n"))

    def test_it_says_who_writes_it(self) -> None:
        """The first line is for whoever opens it in an editor."""
        assert render(RUNNING).startswith(b"# Batchkeeper writes this file")

    def test_values_used_twice_are_written_twice(self) -> None:
        """No anchors and aliases for people to follow."""
        shared = [1, 2]
        assert b"&" not in render({"a": shared, "b": shared})
