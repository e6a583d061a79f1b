"""Job folders: a name is taken once, by one rename, and what is not ours is never replaced."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from controller.adapters import labels, local_files, local_proc
from controller.adapters.local_folders import FINISHED, QUEUED, Folders, process
from controller.adapters.local_listing import Listing


def document(uid: str, name: str = "sweep-1") -> dict[str, Any]:
    """The least that a ``job.json`` holds."""
    return {"uid": uid, "namespace": "default", "name": name, "labels": {labels.JOB_ID: f"job-{uid}"}}


def test_one_of_many_creates_has_the_name(tmp_path: Path) -> None:
    """Of twenty creates at once one succeeds, its folder is whole, and no draft is left."""
    folders = Folders(str(tmp_path))

    def create(number: int) -> bool:
        try:
            folders.create(document(f"uid-{number}"))
        except FileExistsError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        won = [number for number, result in enumerate(pool.map(create, range(20))) if result]
    record = folders.read("default", "sweep-1")
    assert record is not None
    assert [record.uid] == [f"uid-{number}" for number in won]
    assert record.phase == QUEUED
    assert list((tmp_path / ".drafts").iterdir()) == []


@pytest.mark.parametrize("kind", ["empty folder", "full folder", "file", "link"])
def test_what_somebody_put_there_stays(tmp_path: Path, kind: str) -> None:
    """A name that is taken by anything at all is taken, and what is there is not touched."""
    path = tmp_path / "default" / "sweep-1"
    path.parent.mkdir()
    if kind == "file":
        path.write_text("theirs")
    elif kind == "link":
        path.symlink_to("nowhere")
    else:
        path.mkdir()
        if kind == "full folder":
            (path / "theirs").touch()
    before = os.lstat(path).st_ino
    folders = Folders(str(tmp_path))
    with pytest.raises(FileExistsError):
        folders.create(document("uid-1"))
    assert os.lstat(path).st_ino == before
    record = folders.read("default", "sweep-1")
    assert record is not None
    assert (record.uid, record.labels) == (f"folder-{before}", {})


def test_a_file_for_a_namespace_is_said(tmp_path: Path) -> None:
    """No name below it is taken: a create that is told so asks who has it, and tries for ever."""
    (tmp_path / "default").write_text("theirs")
    with pytest.raises(NotADirectoryError):
        Folders(str(tmp_path)).create(document("uid-1"))
    assert list((tmp_path / ".drafts").iterdir()) == []


def test_what_a_job_made_read_only_goes_too(tmp_path: Path) -> None:
    """A package cache without write permission is removed with the folder; what a link in it points to is
    not touched. As a user who is not root, for whom permissions count."""
    theirs = tmp_path / "theirs"
    theirs.mkdir(0o500)
    state = tmp_path / "state"
    state.mkdir()
    program = f"""
    import os
    from controller.adapters.local_folders import Folders
    from tests.adapters.test_local_folders import document

    os.chdir({str(state)!r})
    if os.getuid() == 0:
        os.chown(".", 65534, 65534)
        os.setresuid(65534, 65534, 65534)
    folders = Folders(".")
    folders.create(document("uid-1"))
    os.makedirs("default/sweep-1/work/cache/inner")
    os.symlink({str(theirs)!r}, "default/sweep-1/work/cache/link")
    open("default/sweep-1/work/cache/inner/file", "w").close()
    for path, mode in (("cache/inner", 0o500), ("cache", 0o500), ("", 0)):
        os.chmod(os.path.join("default/sweep-1/work", path), mode)
    folders.remove(folders.read("default", "sweep-1"))
    print(os.listdir("default"), os.listdir(".drafts"))
    """
    ended = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], check=False, capture_output=True, text=True
    )
    assert (ended.stdout, ended.stderr) == ("[] []\n", "")
    assert theirs.stat().st_mode & 0o777 == 0o500


def test_a_process_that_was_not_seen_is_none() -> None:
    """A child that died before it was noted down: its supervisor may have died then, too."""
    assert process({"boot": local_proc.boot_id(), "job": None}, "job") is None


def test_removing_spares_another_object(tmp_path: Path) -> None:
    """A removal of an object that is gone leaves the next one of its name, and keeps the log of its own."""
    folders = Folders(str(tmp_path))
    folders.create(document("first"))
    first = folders.read("default", "sweep-1")
    assert first
    (tmp_path / "default" / "sweep-1" / "log").write_text("words")
    folders.remove(first)
    assert (tmp_path / "logs" / "default" / "sweep-1.log").read_text() == "words"
    folders.create(document("second"))
    folders.remove(first)
    second = folders.read("default", "sweep-1")
    assert second
    assert second.uid == "second"


def test_orders_for_a_former_object_are_void(tmp_path: Path) -> None:
    """An order carries its object's uid: one that arrives late is no order to the next object."""
    folders = Folders(str(tmp_path))
    folders.create(document("first"))
    first = folders.read("default", "sweep-1")
    assert first
    folders.remove(first)
    folders.create(document("second"))
    folders.ask_deletion(first, 1.0)
    folders.set_ttl(first, 0.0)
    second = folders.read("default", "sweep-1")
    assert second
    assert (second.deletion, second.expiry) == (None, None)


def test_only_the_drafts_of_the_dead_are_tidied(tmp_path: Path) -> None:
    """Drafts of processes that live are somebody's work; those of the dead are removed."""
    drafts = tmp_path / ".drafts"
    drafts.mkdir()
    me = local_proc.look(os.getpid())
    assert me
    mine = drafts / f"{me.pid}.{me.start}.uid"
    reused = drafts / f"{me.pid}.{me.start - 1}.uid"
    theirs = [drafts / name for name in (".DS_Store", "notes", "1.x.uid")]
    for folder in (mine, reused, *theirs):
        folder.mkdir()
        (folder / "job.json").touch()
    Folders(str(tmp_path)).tidy()
    assert set(drafts.iterdir()) == {mine, *theirs}, "what is no draft of ours stays, and stops nobody"


def test_a_list_reads_settled_folders_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A finished folder that has not changed is not read again; one that has is."""
    folders = Folders(str(tmp_path))
    for name in ("sweep-1", "sweep-2"):
        folders.create(document(name, name))
        record = folders.read("default", name)
        assert record
        folders.note(record, {"phase": FINISHED, "exit_code": 0})
        os.utime(tmp_path / "default" / name, (1e9, 1e9))
    listing = Listing(folders)
    assert len(list(listing.records("default"))) == 2
    read: list[str] = []
    real = Folders.read

    def counted(self: Folders, namespace: str, name: str) -> Any:
        read.append(name)
        return real(self, namespace, name)

    monkeypatch.setattr(Folders, "read", counted)
    assert len(list(listing.records("default"))) == 2
    assert read == []
    record = real(folders, "default", "sweep-2")
    assert record
    folders.ask_deletion(record, 1.0)
    found = {record.name: record.deletion is not None for record in listing.records("default")}
    assert (found, read) == ({"sweep-1": False, "sweep-2": True}, ["sweep-2"])


def test_ages_do_not_trust_the_wall_clock() -> None:
    """Within a boot an age is measured on the clock that never steps; across boots it is never negative."""
    now = local_files.mark()
    assert local_files.age({**now, "wall": now["wall"] + 1e6}) < 1.0
    assert local_files.age({**now, "boot": "another", "wall": now["wall"] + 1e6}) == 0.0
    assert local_files.age({**now, "boot": "another", "wall": now["wall"] - 60}) >= 60.0
