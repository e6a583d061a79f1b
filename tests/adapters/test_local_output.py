"""A job's output: its end is kept, its file stays small, and a full disk costs output only."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from controller.adapters import local_files
from controller.adapters.local_output import Output, last_line, tail


def test_the_file_never_has_more_than_twice_its_limit(tmp_path: Path) -> None:
    """While a job writes, its file holds at least the last bytes and at most twice as many."""
    path = tmp_path / "log"
    output = Output(str(path), 100)
    written = b""
    for number in range(200):
        chunk = f"line {number}\n".encode()
        output.write(chunk)
        written += chunk
        content = path.read_bytes()
        assert len(content) <= 200
        assert written.endswith(content)
        assert len(content) >= min(100, len(written))
    output.close()
    assert path.read_bytes() == written[-100:]


def test_one_large_piece_is_cut(tmp_path: Path) -> None:
    """A piece larger than the limit leaves its end."""
    output = Output(str(tmp_path / "log"), 10)
    output.write(b"0123456789abcdef")
    output.close()
    assert (tmp_path / "log").read_bytes() == b"6789abcdef"


def test_silence_makes_no_file(tmp_path: Path) -> None:
    """A job that writes nothing has no log file."""
    Output(str(tmp_path / "log"), 10).close()
    assert not (tmp_path / "log").exists()
    assert tail(str(tmp_path / "log"), 10) is None
    assert last_line(str(tmp_path / "log")) == ""


def test_a_full_disk_costs_output_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What can't be written is lost without an error, and what comes once there is space is kept."""

    def full(descriptor: int, data: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    output = Output(str(tmp_path / "log"), 100)
    with monkeypatch.context() as patch:
        patch.setattr(local_files, "write_all", full)
        output.write(b"lost\n")
    output.write(b"kept\n")
    output.close()
    assert (tmp_path / "log").read_bytes() == b"kept\n"
    assert last_line(str(tmp_path / "log")) == "kept"
