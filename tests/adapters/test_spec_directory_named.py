"""Files that a spec names: found from where the spec is, inside the folder, or with a reason."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from controller.adapters import spec_directory_files, spec_directory_watch
from controller.adapters.spec_directory_looks import Stat
from tests.adapters.spec_folder import Opens
from tests.contract.folder_world import FolderWorld
from tests.contract.source_suite import CSV, OTHER, SPEC, contents


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


class TestNamedFiles:
    async def named(self, world: FolderWorld, key: str, written: str) -> tuple[bytes, str]:
        """What comes with a spec for a path that it names."""
        world.put(key, SPEC)
        await world.settle()
        await world.source.depends(key, [written])
        (file,) = await world.settle()
        return file.beside[written].content, file.beside[written].error

    @pytest.mark.parametrize("written", ["t.csv", "./t.csv", "../data/t.csv", "more/../t.csv"])
    async def test_paths_are_relative_to_the_spec(self, world: FolderWorld, written: str) -> None:
        """Anything inside the folder may be named, from where the spec is."""
        world.put("data/t.csv", CSV)
        assert await self.named(world, "data/a.yaml", written) == (CSV, "")

    async def test_an_absolute_path_inside(self, world: FolderWorld) -> None:
        """It is what it is, as long as it is inside."""
        world.put("data/t.csv", CSV)
        assert await self.named(world, "a.yaml", str(world.folder / "data/t.csv")) == (CSV, "")

    @pytest.mark.parametrize("written", ["../secret.csv", "/etc/passwd", "x/../../secret.csv", "..", ".", ""])
    async def test_paths_that_lead_out_are_refused(
        self, world: FolderWorld, opens: Opens, written: str
    ) -> None:
        """Nothing outside is opened, whatever is written."""
        (world.folder.parent / "secret.csv").write_bytes(b"secret")
        content, error = await self.named(world, "a.yaml", written)
        assert (content, "out of the spec folder" in error) == (b"", True)
        assert not [name for name in opens.names if "secret" in name or "passwd" in name]

    async def test_a_link_that_leads_out_is_refused(self, world: FolderWorld) -> None:
        """Also when the path that the spec wrote looks harmless."""
        (world.folder.parent / "secret.csv").write_bytes(b"secret")
        (world.folder / "t.csv").symlink_to("../secret.csv")
        assert await self.named(world, "a.yaml", "t.csv") == (b"", "it leads out of the spec folder")

    async def test_a_fifo_is_refused(self, world: FolderWorld) -> None:
        """It is not waited for."""
        world.spoil("t.csv")
        assert await self.named(world, "a.yaml", "t.csv") == (b"", "it is a fifo, not a regular file")

    async def test_one_that_only_its_owner_may_read_is_read_for_nobody_else(
        self, world: FolderWorld, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Bob named Alice's private csv, and saw its rows as the parameters of his jobs. Once all may read it
        the spec is handed out again, with it."""
        world.put("alice/t.csv", CSV)
        csv = world.folder / "alice" / "t.csv"
        inode, private = csv.stat().st_ino, "it belongs to another user than the spec, and not everybody may"
        real = spec_directory_files.stat_of

        def stat_of(status: os.stat_result) -> Stat:
            return replace(real(status), uid=1001 if status.st_ino == inode else 1002)

        monkeypatch.setattr(spec_directory_files, "stat_of", stat_of)
        csv.chmod(0o640)
        content, error = await self.named(world, "bob/a.yaml", "../alice/t.csv")
        assert (content, error.startswith(private)) == (b"", True)
        for mode, found in ((0o644, (CSV, True)), (0o640, (b"", False))):
            csv.chmod(mode)
            (file,) = await world.settle()
            (one,) = file.beside.values()
            assert (one.content, not one.error) == found

    async def test_one_of_the_specs_owner_may_be_private(self, world: FolderWorld) -> None:
        """Nobody else need be allowed to read it."""
        world.put("t.csv", CSV)
        (world.folder / "t.csv").chmod(0o600)
        assert await self.named(world, "a.yaml", "t.csv") == (CSV, "")

    async def test_a_large_one_is_cut(self, world: FolderWorld, monkeypatch: pytest.MonkeyPatch) -> None:
        """It has its own limit, and says when it is above it."""
        monkeypatch.setattr(spec_directory_watch, "BESIDE_LIMIT", 1000)
        world.put("a.yaml", SPEC)
        world.put("t.csv", b"x" * 3000)
        await world.settle()
        await world.source.depends("a.yaml", ["t.csv"])
        (file,) = await world.settle()
        assert (file.beside["t.csv"].truncated, len(file.beside["t.csv"].content)) == (True, 1001)

    async def test_a_spec_may_be_named_by_another(self, world: FolderWorld) -> None:
        """The same file as a spec and beside one: each use has its own looks."""
        world.put("b.yaml", OTHER)
        assert contents(await world.settle()) == {"b.yaml": OTHER}
        assert await self.named(world, "a.yaml", "b.yaml") == (OTHER, "")

    async def test_a_new_name_in_an_edited_spec(self, world: FolderWorld) -> None:
        """The old file no longer comes along, the new one does."""
        world.put("one.csv", CSV)
        world.put("two.csv", CSV[::-1])
        await self.named(world, "a.yaml", "one.csv")
        assert not await world.source.depends("a.yaml", ["two.csv"])
        (file,) = await world.settle()
        assert {path: one.content for path, one in file.beside.items()} == {"two.csv": CSV[::-1]}
