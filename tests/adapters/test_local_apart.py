"""Who of a job's processes is apart, and when that is written down."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from controller.adapters import local_apart, local_files, local_proc
from controller.adapters.local_apart import Apart
from controller.adapters.local_proc import Proc

MARK = "BATCHKEEPER_JOB=f00ba4"


@pytest.fixture
def family() -> Iterator[dict[str, Proc]]:
    """A job's first process; a child of it; one without its mark; one that has left its session."""
    script = "for how in '' 'env -i' setsid; do $how sleep 300 & echo $!; done; exec sleep 300"
    first = subprocess.Popen(
        ["sh", "-c", script],
        stdout=subprocess.PIPE,
        start_new_session=True,
        env={"PATH": os.environ["PATH"], **dict([MARK.split("=")])},
    )
    assert first.stdout
    pids = [first.pid, *(int(first.stdout.readline()) for _ in range(3))]
    for pid in pids:
        while local_proc.command_line(Proc(pid, 0)) != b"sleep\000300\0":
            pass
    procs = [local_proc.look(pid) for pid in pids]
    yield dict(zip(("first", "child", "unmarked", "detached"), filter(None, procs), strict=True))
    for proc in filter(None, procs):
        local_proc.send(proc, 9)
    first.wait()
    first.stdout.close()


def test_who_has_left_the_session_or_lost_the_mark_is_apart(family: dict[str, Proc], tmp_path: Path) -> None:
    """The others are found without being written down."""
    path = str(tmp_path / "apart.json")
    Apart(path, MARK).note(family.values(), family["first"].pid)
    assert local_apart.read(path) == {family["unmarked"], family["detached"]}


def test_it_is_written_only_when_it_has_changed(family: dict[str, Proc], tmp_path: Path) -> None:
    """A job that goes on as it was costs its disk nothing, nor does one of which nobody is apart."""
    path = tmp_path / "apart.json"
    session = family["first"].pid
    apart = Apart(str(path), MARK)
    apart.note([family["first"], family["child"]], session)
    assert not path.exists()
    apart.note(family.values(), session)
    before = path.stat().st_ino
    apart.note(reversed(family.values()), session)
    assert path.stat().st_ino == before
    apart.note([family["first"], family["detached"]], session)
    assert local_apart.read(str(path)) == {family["detached"]}


def test_a_full_disk_is_tried_again(
    family: dict[str, Proc], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What could not be written is at the next look, although nothing has changed."""
    path = str(tmp_path / "apart.json")
    apart = Apart(path, MARK)

    def full(descriptor: int, data: bytes) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "apart.json")

    with monkeypatch.context() as patch:
        patch.setattr(local_files, "write_all", full)
        apart.note(family.values(), family["first"].pid)
    assert list(tmp_path.iterdir()) == []
    apart.note(family.values(), family["first"].pid)
    assert len(local_apart.read(path)) == 2


@pytest.mark.parametrize("content", ["", "{", '{"boot": "another", "processes": [[7, 7]]}'])
def test_another_boots_processes_are_nobodys(tmp_path: Path, content: str) -> None:
    """Pids of another boot mean nothing, and a power cut may have torn what nobody waited for."""
    path = tmp_path / "apart.json"
    path.write_text(content)
    assert local_apart.read(str(path)) == set()
    assert local_apart.read(str(tmp_path / "none.json")) == set()
