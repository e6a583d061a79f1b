"""What people, editors and file systems do to a folder of specs, and what is handed out for it."""

from __future__ import annotations

import errno
import os
import pwd
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from controller.adapters import spec_directory_files, spec_directory_watch
from controller.adapters.spec_directory_files import Listing, walk
from controller.adapters.spec_directory_looks import Stat
from controller.ports import SpecFile, Unavailable
from tests.adapters.spec_folder import Opens, give_away
from tests.contract.folder_world import FolderWorld
from tests.contract.source_suite import OTHER, SPEC, contents


@pytest.fixture
def world(tmp_path: Path) -> FolderWorld:
    """An empty folder, looked at every two seconds."""
    folder = tmp_path / "specs"
    folder.mkdir()
    return FolderWorld(folder)


@pytest.fixture
def opens(monkeypatch: pytest.MonkeyPatch) -> Opens:
    """Every ``os.open`` from here on."""
    return Opens(monkeypatch)


class TestSaving:
    async def test_vim_saves(self, world: FolderWorld) -> None:
        """Probe file, backup, swap file and a new file under the old name, a look after each step: the
        new content is handed out once and nothing else."""
        world.put("a.yaml", SPEC)
        await world.settle()
        found: list[SpecFile] = []
        for step in (
            lambda: world.put(".a.yaml.swp", b"b0VIM"),
            lambda: world.put("4913", b""),
            lambda: world.remove("4913"),
            lambda: (world.folder / "a.yaml").rename(world.folder / "a.yaml~"),
            lambda: world.put("a.yaml", OTHER[:5]),
            lambda: world.put("a.yaml", OTHER),
            lambda: world.remove("a.yaml~"),
            lambda: world.remove(".a.yaml.swp"),
        ):
            step()
            found += await world.source.scan()
            world.pass_time()
        assert contents(found + list(await world.settle())) == {"a.yaml": OTHER}

    async def test_an_atomic_save_is_a_change(self, world: FolderWorld) -> None:
        """A temporary file renamed over the spec brings its content."""
        world.put("a.yaml", SPEC)
        await world.settle()
        world.put(".a.yaml.k3j2", OTHER)
        (world.folder / ".a.yaml.k3j2").rename(world.folder / "a.yaml")
        assert contents(await world.settle()) == {"a.yaml": OTHER}

    async def test_a_touch_is_no_change(self, world: FolderWorld) -> None:
        """New times on the same bytes hand out nothing."""
        world.put("a.yaml", SPEC)
        await world.settle()
        (world.folder / "a.yaml").touch()
        assert await world.settle() == []

    async def test_an_older_time_is_a_change(self, world: FolderWorld) -> None:
        """A clock that stepped back, or ``cp -p`` of an old file, hides nothing."""
        world.put("a.yaml", SPEC)
        await world.settle()
        world.put("a.yaml", OTHER)
        os.utime(world.folder / "a.yaml", (0, 0))
        assert contents(await world.settle()) == {"a.yaml": OTHER}

    async def test_the_same_size_and_time_are_told_apart(self, world: FolderWorld) -> None:
        """Other bytes of the same length, the time set back to what it was, are a change."""
        world.put("a.yaml", SPEC)
        await world.settle()
        path = world.folder / "a.yaml"
        times = path.stat()
        path.write_bytes(SPEC[::-1])
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
        assert contents(await world.settle()) == {"a.yaml": SPEC[::-1]}

    async def test_a_coarse_clock_hides_nothing(
        self, world: FolderWorld, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Where two writes within a tick leave one and the same ``stat``, the bytes are still compared."""
        monkeypatch.setattr(spec_directory_files, "stat_of", lambda status: Stat(status.st_size, 0, 0, 7, 0))
        world.put("a.yaml", SPEC)
        found: list[SpecFile] = []
        for content in (SPEC, SPEC, SPEC[::-1], SPEC[::-1]):
            world.put("a.yaml", content)
            found += await world.source.scan()
            world.time += 0.5
        assert [file.content for file in found] == [SPEC, SPEC[::-1]]

    async def test_a_restart_hands_out_everything_anew(self, world: FolderWorld) -> None:
        """What was handed out is not remembered; the store knows what it made of it."""
        world.put("a.yaml", SPEC)
        await world.settle()
        world.restart()
        assert contents(await world.settle()) == {"a.yaml": SPEC}


class TestCost:
    async def test_a_settled_folder_is_not_read(self, world: FolderWorld, opens: Opens) -> None:
        """Of 2,000 unchanged files none is opened: a scan opens the folders and nothing else."""
        for n in range(2000):
            world.put(f"{'abc'[n % 3]}/{n}.yaml", SPEC)
        assert len(await world.settle()) == 2000
        opens.names.clear()
        assert list(await world.source.scan()) == []
        assert sorted(opens.names) == [str(world.folder), "a", "b", "c"]

    async def test_only_what_changed_is_read(self, world: FolderWorld, opens: Opens) -> None:
        """One edited file of many costs its own opens."""
        for n in range(50):
            world.put(f"{n}.yaml", SPEC)
        await world.settle()
        world.put("7.yaml", OTHER)
        opens.names.clear()
        await world.settle()
        assert {name for name in opens.names if name.endswith(".yaml")} == {"7.yaml"}

    async def test_one_scan_reads_a_bounded_number_of_bytes(
        self, world: FolderWorld, opens: Opens, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A folder that is too much for one scan is looked at in several, each file in its turn."""
        monkeypatch.setattr(spec_directory_watch, "LOOK_BUDGET", 10 * len(SPEC))
        for n in range(35):
            world.put(f"{n}.yaml", SPEC)
        assert list(await world.source.scan()) == []
        assert len([name for name in opens.names if name.endswith(".yaml")]) == 10
        assert sum([len(await world.source.scan()) for _ in range(12)]) == 35

    async def test_one_scan_hands_out_a_bounded_number_of_bytes(
        self, world: FolderWorld, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What has settled all at once is handed out over several scans, all of it."""
        monkeypatch.setattr(spec_directory_watch, "HAND_OUT_BUDGET", 10 * len(SPEC))
        for n in range(35):
            world.put(f"{n}.yaml", SPEC)
        assert [len(await world.source.scan()) for _ in range(6)] == [0, 10, 10, 10, 5, 0]

    async def test_what_is_gone_is_forgotten(self, world: FolderWorld) -> None:
        """A folder that is used for years costs no more memory than what lies in it."""
        for n in range(5):
            world.put(f"{n}.yaml", SPEC)
        await world.settle()
        await world.source.depends("0.yaml", ["t.csv"])
        await world.settle()
        for n in range(5):
            world.remove(f"{n}.yaml")
        await world.settle()
        watch = world.source._watch
        assert (watch._specs._files, watch._named._files, watch._given) == ({}, {}, {})
        assert (world.source._wanted, world.source._beside) == ({}, {})

    async def test_files_that_always_change_starve_no_other(
        self, world: FolderWorld, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The budget starts where it ended: the last file by name has its turn in spite of busy ones."""
        monkeypatch.setattr(spec_directory_watch, "LOOK_BUDGET", 2 * len(SPEC))
        world.put("z.yaml", SPEC)
        found: list[SpecFile] = []
        for turn in range(12):
            for n in range(4):
                world.put(f"busy-{n}.yaml", SPEC + b"#" * turn)
            found += await world.source.scan()
        assert [file.key for file in found] == ["z.yaml"]

    async def test_a_huge_file_is_not_read(self, world: FolderWorld) -> None:
        """Four gibibytes cost no more than the limit."""
        world.put("huge.yaml", b"")
        os.truncate(world.folder / "huge.yaml", 2**32)
        (huge,) = await world.settle()
        assert (huge.truncated, len(huge.content)) == (True, world.limit + 1)


class TestPlaces:
    async def test_subfolders_are_looked_into(self, world: FolderWorld) -> None:
        """Three levels down, not four; no dot-folder; a folder may be called like a spec."""
        for key in ("a.yaml", "x/a.yaml", "x/y/a.yaml", "x/y/z/a.yaml", "x/y/z/deep/a.yaml"):
            world.put(key, SPEC)
        world.put(".git/a.yaml", SPEC)
        world.put("folder.yaml/a.yaml", SPEC)
        found = {file.key: file.folder for file in await world.settle()}
        assert found == {
            "a.yaml": str(world.folder),
            "folder.yaml/a.yaml": str(world.folder / "folder.yaml"),
            "x/a.yaml": str(world.folder / "x"),
            "x/y/a.yaml": str(world.folder / "x/y"),
            "x/y/z/a.yaml": str(world.folder / "x/y/z"),
        }

    @pytest.mark.parametrize(
        ("name", "key"),
        [
            ("größe-日本-🌱.yaml", "größe-日本-🌱.yaml"),
            ("two\nlines.yaml", "two%0Alines.yaml"),
            ("\x1b[31mred.yaml", "%1B[31mred.yaml"),
            ("100%.yaml", "100%25.yaml"),
            (os.fsdecode(b"latin-\xe9.yaml"), "latin-%E9.yaml"),
            ("with space, comma: and 'quotes'.yaml", "with space, comma: and 'quotes'.yaml"),
        ],
    )
    async def test_odd_names_have_clean_keys(self, world: FolderWorld, name: str, key: str) -> None:
        """Every name is served, and its status stands beside it; its key can be printed and stored."""
        world.put(name, SPEC)
        assert contents(await world.settle()) == {key: SPEC}
        assert key.isprintable()
        await world.source.tell(key, {"file": key})
        assert world.status(name) == {"file": key}

    async def test_the_files_owner_is_the_user(self, world: FolderWorld) -> None:
        """By the name and number that this machine knows them by."""
        world.put("a.yaml", SPEC)
        (file,) = await world.settle()
        assert file.user == f"local:{pwd.getpwuid(os.geteuid()).pw_name}"
        assert file.uid == os.geteuid()

    async def test_a_file_given_away_is_a_changed_one(self, world: FolderWorld) -> None:
        """Whose it is may decide what becomes of it. Who has no name here goes by number."""
        world.put("a.yaml", SPEC)
        await world.settle()
        uid = give_away(world.folder / "a.yaml")
        (file,) = await world.settle()
        assert (file.user, file.uid) == (f"local:{uid}", uid)


class TestTrouble:
    async def test_a_folder_that_is_not_there_yet(self, world: FolderWorld) -> None:
        """One clear line that names it and the setting, for as long as it lasts."""
        world.put("a.yaml", SPEC)
        world.lose()
        with pytest.raises(Unavailable, match=r"specs' can't be listed: no such file.*specs\.folder"):
            await world.source.scan()
        world.heal()
        assert contents(await world.settle()) == {"a.yaml": SPEC}

    async def test_a_file_in_the_folders_place(self, world: FolderWorld) -> None:
        """Not a folder is not an empty folder."""
        world.folder.rmdir()
        world.folder.write_bytes(b"")
        with pytest.raises(Unavailable, match="not a directory"):
            await world.source.scan()

    @pytest.mark.parametrize("number", [errno.EACCES, errno.EIO, errno.ESTALE])
    async def test_a_share_in_trouble_is_no_deletion(
        self, world: FolderWorld, opens: Opens, number: int
    ) -> None:
        """Permission, I/O error and stale handle raise; afterwards nothing is handed out again."""
        world.put("a.yaml", SPEC)
        await world.settle()
        opens.faults[str(world.folder)] = number
        with pytest.raises(Unavailable):
            await world.source.scan()
        opens.faults.clear()
        assert await world.settle() == []

    async def test_the_bare_mount_point_of_a_share_is_no_deletion(
        self, world: FolderWorld, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A folder that is suddenly empty and on another device is an unmounted share."""
        world.put("a.yaml", SPEC)
        await world.settle()
        with monkeypatch.context() as unmounted:
            unmounted.setattr(spec_directory_watch, "walk", lambda root: Listing(device=-1))
            with pytest.raises(Unavailable, match="another file system"):
                await world.source.scan()
        assert await world.source.keys() == {"a.yaml"}
        assert await world.settle() == []

    async def test_a_share_mounted_again_is_taken_as_it_is(
        self, world: FolderWorld, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Another device number with the same files changes nothing, and is the known one from then on."""
        world.put("a.yaml", SPEC)
        await world.settle()

        def elsewhere(root: str) -> Listing:
            return replace(walk(root), device=-1)

        monkeypatch.setattr(spec_directory_watch, "walk", elsewhere)
        assert await world.settle() == []
        world.remove("a.yaml")
        await world.source.scan()
        assert await world.source.keys() == frozenset()

    async def test_an_unlistable_subfolder_costs_only_itself(self, world: FolderWorld, opens: Opens) -> None:
        """Its specs keep their keys and are not new when it heals; the others go on meanwhile."""
        world.put("alice/a.yaml", SPEC)
        world.put("bob/b.yaml", SPEC)
        await world.settle()
        opens.faults["alice"] = errno.EACCES
        world.put("bob/b.yaml", OTHER)
        assert contents(await world.settle()) == {"bob/b.yaml": OTHER}
        assert await world.source.keys() == {"alice/a.yaml", "bob/b.yaml"}
        opens.faults.clear()
        assert await world.settle() == []

    async def test_a_removed_subfolder_takes_its_keys_along(self, world: FolderWorld, opens: Opens) -> None:
        """Gone is not unlistable."""
        world.put("bob/b.yaml", SPEC)
        world.put("alice/a.yaml", SPEC)
        await world.settle()
        world.remove("alice/a.yaml")
        (world.folder / "alice").rmdir()
        await world.source.scan()
        assert await world.source.keys() == {"bob/b.yaml"}
        opens.faults["bob"] = errno.ENOENT  # it goes between listing and entering
        await world.source.scan()
        assert await world.source.keys() == frozenset()

    @pytest.mark.parametrize(
        ("number", "error"), [(errno.EACCES, "permission denied"), (errno.EIO, "input/output error")]
    )
    async def test_an_unreadable_file_heals_without_a_new_stat(
        self, world: FolderWorld, opens: Opens, number: int, error: str
    ) -> None:
        """Its reason is handed out; when the read works again, so is its content."""
        world.put("bad.yaml", SPEC)
        world.put("good.yaml", SPEC)
        opens.faults["bad.yaml"] = number
        found = {file.key: file for file in await world.settle()}
        assert found["bad.yaml"].error == error
        assert found["good.yaml"].content == SPEC
        opens.faults.clear()
        assert contents(await world.settle()) == {"bad.yaml": SPEC}

    async def test_a_file_that_vanishes_before_it_is_read(self, world: FolderWorld, opens: Opens) -> None:
        """Between listing and reading anything may go; the others are served."""
        world.put("bad.yaml", SPEC)
        world.put("good.yaml", SPEC)
        opens.faults["bad.yaml"] = errno.ENOENT
        assert contents(await world.settle()) == {"good.yaml": SPEC}

    async def test_bytes_that_changed_since_the_looks_are_not_handed_out(
        self, world: FolderWorld, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A write between the second look and the handing out is a change: it waits for its own looks."""
        world.put("a.yaml", SPEC)
        await world.source.scan()
        real = spec_directory_watch.Watch._hand_out

        def late(watch: spec_directory_watch.Watch, names: object) -> tuple[SpecFile, ...]:
            world.put("a.yaml", OTHER)
            return real(watch, names)  # type: ignore[arg-type]

        with monkeypatch.context() as writing:
            writing.setattr(spec_directory_watch.Watch, "_hand_out", late)
            assert list(await world.source.scan()) == []
        assert contents(await world.settle()) == {"a.yaml": OTHER}

    async def test_what_is_no_file_is_never_opened(self, world: FolderWorld, opens: Opens) -> None:
        """A fifo would block and a device might act: they are problems by their kind alone."""
        world.spoil("fifo.yaml")
        os.mknod(world.folder / "socket.yaml", stat.S_IFSOCK | 0o600)
        found = {file.key: file.error for file in await world.settle()}
        assert found == {
            "fifo.yaml": "it is a fifo, not a regular file",
            "socket.yaml": "it is a socket, not a regular file",
        }
        assert set(opens.names) == {str(world.folder)}
