"""The history file: in order, complete after any crash, and never read as a whole to be continued."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from controller.adapters import local_files, local_history
from controller.adapters.local_history import Entry, History, read_history


class Book:
    """A history whose effects are files in a folder: a line's effect is there when its file is."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.history = History(str(root), lambda entry: (root / entry.uid).exists(), 1.0)

    def commit(self, uid: str) -> None:
        """Let the effect happen and record it."""
        self.history.commit("create", ("default", f"name-{uid}", uid, "job"), (self.root / uid).touch)

    def lines(self) -> list[tuple[int, str]]:
        """Revisions and uids."""
        return [(entry.revision, entry.uid) for entry in read_history(self.history.path)]


def test_lines_are_numbered_in_order(tmp_path: Path) -> None:
    """Each line has the revision after the last one's, whoever writes it."""
    for uid in "abc":
        Book(tmp_path).commit(uid)
    assert Book(tmp_path).lines() == [(1, "a"), (2, "b"), (3, "c")]
    entry = next(iter(read_history(str(tmp_path / "history.jsonl"))))
    assert isinstance(entry, Entry)
    assert entry.time.utcoffset() is not None


def test_a_failed_effect_is_not_recorded(tmp_path: Path) -> None:
    """What the effect raises is raised, and no line tells of it, now or later."""
    book = Book(tmp_path)

    def fail() -> None:
        raise FileExistsError

    with pytest.raises(FileExistsError):
        book.history.commit("create", ("default", "name", "a", "job"), fail)
    book.commit("b")
    assert book.lines() == [(1, "b")]


def test_a_torn_line_is_cut_and_written_again(tmp_path: Path) -> None:
    """A line whose writing was cut off by a crash is completed by the next writer, before its own."""
    book = Book(tmp_path)
    for uid in "ab":
        book.commit(uid)
    whole = (tmp_path / "history.jsonl").read_bytes()
    first, second = whole.splitlines(keepends=True)
    (tmp_path / "history.pending").write_bytes(second)
    (tmp_path / "history.jsonl").write_bytes(first + second[:20])
    assert book.lines() == [(1, "a")]
    Book(tmp_path).commit("c")
    assert book.lines() == [(1, "a"), (2, "b"), (3, "c")]


def test_a_torn_announcement_is_dropped(tmp_path: Path) -> None:
    """An announcement that is not whole was never followed by its effect."""
    (tmp_path / "history.pending").write_bytes(b'{"revision": 1, "ti')
    book = Book(tmp_path)
    book.commit("a")
    assert book.lines() == [(1, "a")]
    assert not (tmp_path / "history.pending").exists()


def test_an_effect_that_did_not_happen_is_not_recorded(tmp_path: Path) -> None:
    """An announcement without its effect is forgotten; one that was recorded is not recorded twice."""
    book = Book(tmp_path)
    book.commit("a")
    line = (tmp_path / "history.jsonl").read_bytes()
    other = line.replace(b'"revision": 1', b'"revision": 2').replace(b'"a"', b'"z"')
    (tmp_path / "history.pending").write_bytes(other)
    book.history.settle()
    assert book.lines() == [(1, "a")]
    (tmp_path / "history.pending").write_bytes(line)
    book.history.settle()
    assert book.lines() == [(1, "a")]


def test_a_full_disk_loses_no_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An effect that could not be recorded for want of space is recorded before anything later."""
    book = Book(tmp_path)
    real = local_files.write_all

    def announcements_only(descriptor: int, data: bytes) -> None:
        if os.readlink(f"/proc/self/fd/{descriptor}").endswith("history.jsonl"):
            real(descriptor, data[:10])
            raise OSError(errno.ENOSPC, "No space left on device")
        real(descriptor, data)

    monkeypatch.setattr(local_files, "write_all", announcements_only)
    book.commit("a")
    assert book.lines() == []
    with pytest.raises(OSError, match="No space left"):
        book.commit("b")
    assert not (tmp_path / "b").exists()
    monkeypatch.undo()
    book.commit("c")
    assert book.lines() == [(1, "a"), (2, "c")]


def test_a_long_history_is_continued_from_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next revision is found in the last bytes of a file of any length."""
    book = Book(tmp_path)
    book.commit("a")
    line = (tmp_path / "history.jsonl").read_bytes()
    with (tmp_path / "history.jsonl").open("ab") as file:
        for number in range(2, 5000):
            file.write(line.replace(b'"revision": 1,', b'"revision": %d,' % number))
    read: list[int] = []
    real = os.pread

    def counted(descriptor: int, size: int, offset: int) -> bytes:
        read.append(size)
        return real(descriptor, size, offset)

    monkeypatch.setattr(os, "pread", counted)
    book.commit("b")
    assert book.lines()[-1] == (5000, "b")
    assert sum(read) <= 64 * 1024


def test_a_history_that_stays_locked_is_given_up(tmp_path: Path) -> None:
    """Who can't have the lock in time is told so and has changed nothing."""
    book = Book(tmp_path)
    book.history = History(str(tmp_path), lambda entry: True, 0.05)
    with local_files.locked(str(tmp_path / "history.lock"), 1.0), pytest.raises(TimeoutError, match="locked"):
        book.commit("a")
    assert not (tmp_path / "a").exists()


def test_the_kinds_are_those_that_the_oracle_knows() -> None:
    """The words of the file are part of its format."""
    kinds = {local_history.CREATE, local_history.START, local_history.END, local_history.DELETE}
    assert kinds | {local_history.TOMBSTONE} == {"create", "start", "end", "delete", "tombstone"}
