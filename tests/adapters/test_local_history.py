"""The history file: in order, complete after any crash, and never read as a whole to be continued."""

from __future__ import annotations

import builtins
import contextlib
import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from controller.adapters import local_files, local_history
from controller.adapters.local_history import KEPT, LARGEST, Entry, History, read_history


class Book:
    """A history whose effects are files in a folder: a line's effect is there when its file is."""

    def __init__(
        self, root: Path, largest: int = LARGEST, step: Callable[[str], None] = lambda _: None
    ) -> None:
        self.root = root
        self.history = History(str(root), lambda entry: (root / entry.uid).exists(), 1.0, step, largest)

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


@pytest.mark.parametrize("spoiled", [b"\0\0\0\n", b"{}\n", b"7\n", b'{"revision": "x"}\n'])
def test_a_spoiled_line_stops_nobody(tmp_path: Path, spoiled: bytes) -> None:
    """What a power cut or a hand left at the end is passed over: creates go on, numbered as before."""
    book = Book(tmp_path)
    book.commit("a")
    for name in ("history.jsonl", "history.pending"):
        with (tmp_path / name).open("ab") as file:
            file.write(spoiled)
    book.commit("b")
    lines = (tmp_path / "history.jsonl").read_bytes().splitlines(keepends=True)
    assert lines[1] == spoiled
    assert (json.loads(lines[2])["revision"], json.loads(lines[2])["uid"]) == (2, "b")


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


FEW = 500
"""Bytes of four lines or five."""


def test_a_history_is_bounded(tmp_path: Path) -> None:
    """A large file is put aside, and a few of those are kept; a reader sees one history."""
    for number in range(60):
        Book(tmp_path, FEW).commit(f"{number}")
    names = {path.name for path in tmp_path.glob("history.jsonl*")}
    assert names == {"history.jsonl", *(f"history.jsonl.{number + 1}" for number in range(KEPT))}
    lines = Book(tmp_path, FEW).lines()
    assert lines == [(number + 1, f"{number}") for number in range(60)][-len(lines) :]
    assert max(path.stat().st_size for path in tmp_path.glob("history.jsonl*")) < 2 * FEW
    assert 3 * KEPT < len(lines) < 30


class Crash(Exception):
    """The process is gone."""


@pytest.mark.parametrize("after", [1, 2, 3])
def test_a_crash_while_a_file_is_put_aside_loses_nothing(tmp_path: Path, after: int) -> None:
    """Whichever rename it comes after, the next one goes on; each time no more than the oldest file goes."""
    steps: list[str] = []

    def die(step: str) -> None:
        steps.append(step)
        if steps.count("put aside") == after:
            raise Crash

    for written in range(1, 41):
        crashed = steps.count("put aside") == after
        steps.clear()
        with contextlib.suppress(Crash):
            Book(tmp_path, FEW, (lambda _: None) if crashed else die).commit(f"{written}")
        book = Book(tmp_path)
        book.history.settle()
        lines = book.lines()
        assert lines == [(number, f"{number}") for number in range(1, written + 1)][-len(lines) :]
        assert len(lines) >= min(written, 4 * KEPT)


def test_a_reader_misses_nothing_that_is_put_aside_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between two of the files that it opens all of them get other names: each line is read once."""
    for number in range(11):
        Book(tmp_path, FEW).commit(f"{number}")
    whole, opened = Book(tmp_path).lines(), builtins.open
    assert [(tmp_path / f"history.jsonl.{number}").exists() for number in (2, 3)] == [True, False]

    def opening(path: str, *more: Any, **options: Any) -> Any:
        file = opened(path, *more, **options)
        if path.endswith(".jsonl"):
            for newer, older in ((".2", ".3"), (".1", ".2"), ("", ".1")):
                os.rename(path + newer, path + older)
        return file

    monkeypatch.setattr(builtins, "open", opening)
    assert [(entry.revision, entry.uid) for entry in read_history(str(tmp_path / "history.jsonl"))] == whole


def test_what_can_not_be_put_aside_grows_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A history that can't be bounded must not stop every create."""

    def refuse(*paths: str) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "replace", refuse)
    for number in range(9):
        Book(tmp_path, FEW).commit(f"{number}")
    assert len(Book(tmp_path).lines()) == 9
    assert [path.name for path in tmp_path.glob("history.jsonl*")] == ["history.jsonl"]


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
