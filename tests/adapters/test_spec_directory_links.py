"""Links in a spec folder: served when they stay inside, never a way out of it."""

from __future__ import annotations

import os
from errno import ELOOP
from pathlib import Path

import pytest

from controller.adapters.spec_directory_files import MAX_LINKS, find, read, resolve
from tests.adapters.spec_folder import Opens, give_away, logged
from tests.contract.folder_world import FolderWorld
from tests.contract.source_suite import OTHER, SPEC, contents


@pytest.fixture
def world(tmp_path: Path) -> FolderWorld:
    """A folder beside a secret that a link could lead to."""
    folder = tmp_path / "specs"
    folder.mkdir()
    (tmp_path / "secret.yaml").write_bytes(b"secret")
    return FolderWorld(folder)


def link(world: FolderWorld, key: str, target: str | Path) -> None:
    """Make a link in the folder."""
    (world.folder / key).parent.mkdir(parents=True, exist_ok=True)
    (world.folder / key).symlink_to(target)


async def test_a_link_to_a_file_inside(world: FolderWorld) -> None:
    """It is a spec of its own, relative to where the link is; a change of its target is its change."""
    world.put("data/real.txt", SPEC)
    link(world, "x/a.yaml", "../data/real.txt")
    (file,) = await world.settle()
    assert (file.key, file.content, file.folder) == ("x/a.yaml", SPEC, str(world.folder / "x"))
    world.put("data/real.txt", OTHER)
    assert contents(await world.settle()) == {"x/a.yaml": OTHER}


@pytest.mark.parametrize(
    "target", ["../secret.yaml", "x/../../secret.yaml", "/etc/passwd", "..", "/", "b.yaml", "out/secret.yaml"]
)
async def test_a_link_that_leads_out_is_ignored(world: FolderWorld, opens: Opens, target: str) -> None:
    """Directly, over another link or over a linked folder: nothing is opened or written, one line is
    logged."""
    link(world, "b.yaml", "../secret.yaml")
    link(world, "out", "..")
    link(world, "a.yaml", target)
    world.put("good.yaml", SPEC)
    opens.names.clear()
    with logged() as logs:
        assert contents(await world.settle()) == {"good.yaml": SPEC}
    assert await world.source.keys() == {"good.yaml"}
    assert set(opens.names) == {str(world.folder), "good.yaml"}
    assert sorted(log["file"] for log in logs) == ["a.yaml", "b.yaml"]


@pytest.fixture
def opens(monkeypatch: pytest.MonkeyPatch) -> Opens:
    """Every ``os.open`` from here on."""
    return Opens(monkeypatch)


async def test_an_absolute_link_inside(world: FolderWorld) -> None:
    """What counts is where it leads."""
    world.put("real.txt", SPEC)
    link(world, "a.yaml", world.folder / "real.txt")
    assert contents(await world.settle()) == {"a.yaml": SPEC}


async def test_a_linked_folder_is_not_entered(world: FolderWorld) -> None:
    """Neither one outside, nor one inside (its specs are found where they are), nor a circle."""
    world.put("x/a.yaml", SPEC)
    link(world, "y", "x")
    link(world, "x/up", "..")
    link(world, "out", "/etc")
    assert sorted(contents(await world.settle())) == ["x/a.yaml"]


async def test_links_in_a_circle_and_to_nothing(world: FolderWorld) -> None:
    """They disturb nobody; a target that arrives makes the link a spec."""
    link(world, "a.yaml", "b.yaml")
    link(world, "b.yaml", "a.yaml")
    link(world, "c.yaml", "later.txt")
    assert await world.settle() == []
    world.put("later.txt", SPEC)
    assert contents(await world.settle()) == {"c.yaml": SPEC}


async def test_a_swapped_link_is_a_change(world: FolderWorld) -> None:
    """As ConfigMap volumes do it: a hidden folder per version, and one link that is replaced."""
    world.put("..v1/a.yaml", SPEC)
    world.put("..v2/a.yaml", OTHER)
    link(world, "..data", "..v1")
    link(world, "a.yaml", "..data/a.yaml")
    assert contents(await world.settle()) == {"a.yaml": SPEC}
    link(world, "..data_tmp", "..v2")
    (world.folder / "..data_tmp").replace(world.folder / "..data")
    assert contents(await world.settle()) == {"a.yaml": OTHER}


async def test_the_watched_folder_may_be_a_link_itself(world: FolderWorld, tmp_path: Path) -> None:
    """The operator said so: what is in it counts as inside, and goes by the operator's name for it."""
    world.put("real.txt", SPEC)
    link(world, "a.yaml", "real.txt")
    (tmp_path / "alias").symlink_to(world.folder)
    other = FolderWorld(tmp_path / "alias")
    (file,) = await other.settle()
    assert (file.content, file.folder) == (SPEC, str(tmp_path / "alias"))
    named = [str(tmp_path / "alias/real.txt"), str(tmp_path / "specs/real.txt")]
    await other.source.depends("a.yaml", named)
    (file,) = await other.settle()
    assert [one.content for one in file.beside.values()] == [SPEC, SPEC]
    await other.source.tell("a.yaml", {"state": "running"})
    assert other.status("a.yaml") == {"state": "running"}


async def test_a_link_to_another_users_file_is_a_problem(world: FolderWorld) -> None:
    """Else whoever may write here could have another's spec run in the other's name."""
    world.put("real.txt", SPEC)
    give_away(world.folder / "real.txt")
    link(world, "a.yaml", "real.txt")
    (file,) = await world.settle()
    assert (file.content, file.uid) == (b"", os.geteuid())
    assert "another user's file" in file.error


def test_a_file_swapped_for_a_link_is_not_followed(world: FolderWorld) -> None:
    """Between listing and opening a name may become a link, at the end or on the way."""
    link(world, "a.yaml", "../secret.yaml")
    link(world, "out", "..")
    with pytest.raises(OSError, match=r".") as caught:
        read(str(world.folder), "a.yaml", 100)
    assert caught.value.errno == ELOOP
    with pytest.raises(OSError, match=r"."):
        read(str(world.folder), "out/secret.yaml", 100)


def test_a_file_swapped_for_a_fifo_is_not_waited_for(world: FolderWorld) -> None:
    """Opening one without a writer would block for ever; here it is as good as gone."""
    world.spoil("a.yaml")
    with pytest.raises(FileNotFoundError):
        read(str(world.folder), "a.yaml", 100)


def test_links_have_an_end(world: FolderWorld) -> None:
    """As many as the kernel follows are followed, and one more is none."""
    world.put("0", SPEC)
    for n in range(1, MAX_LINKS + 2):
        link(world, str(n), str(n - 1))
    root = str(world.folder)
    assert resolve(root, str(MAX_LINKS)) == "0"
    assert resolve(root, str(MAX_LINKS + 1)) is None
    assert find(root, str(MAX_LINKS + 1)) is None
