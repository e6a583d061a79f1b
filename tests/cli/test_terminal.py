"""The installed command in a real terminal of 100 columns and 30 lines: what a person sees."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.cli.place import SPEC

COLUMNS, LINES = 100, 30
COMMAND = Path(sys.executable).with_name("batchkeeper")
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


class Seen(NamedTuple):
    """What came of a command in a terminal."""

    code: int
    raw: str

    @property
    def text(self) -> str:
        """Without escapes, as lines."""
        return _ESCAPES.sub("", self.raw).replace("\r\n", "\n")


def start(folder: Path, *words: str, columns: int = COLUMNS, **environment: str) -> tuple[int, int]:
    """Start the command on a terminal of its own; its pid and the terminal."""
    pid, terminal = pty.fork()
    if pid == 0:  # the child, which ends in the command or not at all
        try:
            for number in (signal.SIGINT, signal.SIGHUP):  # a suite that runs in the background ignores them
                signal.signal(number, signal.SIG_DFL)
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, columns, 0, 0))
            os.chdir(folder)
            clean = {k: v for k, v in os.environ.items() if k not in {"COLUMNS", "LINES", "NO_COLOR"}}
            clean = {k: v for k, v in clean.items() if not k.startswith(("BATCHKEEPER_", "MONGODB_"))}
            os.execve(COMMAND, [str(COMMAND), *words], {**clean, "TERM": "xterm-256color", **environment})
        finally:
            os._exit(127)
    return pid, terminal


def read(terminal: int) -> str:
    """Everything until the other side hangs up."""
    chunks = []
    while True:
        try:
            chunk = os.read(terminal, 65536)
        except OSError:  # how a terminal says that nobody is left
            break
        if not chunk:
            break
        chunks.append(chunk)
    return b"".join(chunks).decode()


def typed(folder: Path, *words: str, columns: int = COLUMNS, **environment: str) -> Seen:
    """Type a command, wait for its end."""
    pid, terminal = start(folder, *words, columns=columns, **environment)
    raw = read(terminal)
    _, status = os.waitpid(pid, 0)
    os.close(terminal)
    return Seen(os.waitstatus_to_exitcode(status), raw)


def test_help_fits_the_terminal(tmp_path: Path) -> None:
    """Every command is there, no line is wider than the terminal, at 100 columns and at 80."""
    for columns in (100, 80):
        seen = typed(tmp_path, "--help", columns=columns)
        assert seen.code == 0
        for name in ("controller", "run", "validate", "submit", "status", "retry", "unhalt"):
            assert re.search(rf"\b{name}\b", seen.text)
        assert max(len(line) for line in seen.text.splitlines()) <= columns


def test_a_good_spec(tmp_path: Path) -> None:
    """A table in colour, and every line fits."""
    (tmp_path / "größe.yaml").write_text(SPEC.format(name="sweep", at_most=4), encoding="utf-8")
    seen = typed(tmp_path, "validate", "größe.yaml")
    assert seen.code == 0
    assert "größe.yaml" in seen.text
    assert _COLOURS.search(seen.raw)


def test_a_narrow_terminal_loses_nothing(tmp_path: Path) -> None:
    """A name that is cut can't be typed again, a number that is cut is another one: lines break instead."""
    name = "a-name-of-a-file-that-is-longer-than-the-terminal-is-wide.yaml"
    (tmp_path / name).write_text(SPEC.format(name="sweep", at_most=4))
    seen = typed(tmp_path, "validate", name, columns=40)
    said = " ".join(seen.text.split())
    assert f"{name} yes batch sweep: 5" in said
    assert "at most 4 active" in said


def test_no_color_is_respected(tmp_path: Path) -> None:
    """NO_COLOR takes the colours away and leaves the words."""
    (tmp_path / "s.yaml").write_text(SPEC.format(name="sweep", at_most=4))
    seen = typed(tmp_path, "plan", "s.yaml", NO_COLOR="1")
    assert seen.code == 0
    assert "builtin:mount-failure" in seen.text
    assert not re.search(r"\x1b\[(3|9)\d", seen.raw)


def test_a_bad_spec_names_its_lines(tmp_path: Path) -> None:
    """Each problem with file, line, field and what to do; exit code 1."""
    (tmp_path / "bad.yaml").write_text(
        SPEC.format(name="sweep", at_most=4).replace("memory: 1Gi", "memroy: 1")
    )
    seen = typed(tmp_path, "validate", "bad.yaml")
    assert seen.code == 1
    assert "error: bad.yaml:" in seen.text
    assert "did you mean memory?" in " ".join(seen.text.split())


def test_a_misspelled_command(tmp_path: Path) -> None:
    """The nearest one, in one line."""
    seen = typed(tmp_path, "stauts")
    assert seen.code == 2
    assert seen.text == "error: no such command 'stauts'. Did you mean 'status'? see 'batchkeeper --help'\n"


@pytest.mark.slow
def test_run_shows_progress_and_ctrl_c_leaves_it_to_be_gone_on_with(tmp_path: Path) -> None:
    """A bar, then Ctrl-C: the daemon ends cleanly, says what goes on, and the next run finishes it."""
    (tmp_path / "config.yaml").write_text("http: {enabled: false}\nreconcile: {interval: 1s}\n")
    waits = "for _ in range(2000):\n    os.path.exists(os.environ['UNTIL']) or time.sleep(0.05)\n"
    (tmp_path / "job.py").write_text("import os, time\n" + waits)
    spec = {
        "apiVersion": "batchkeeper/v1",
        "kind": "Batch",
        "name": "naps",
        "maxConcurrent": 2,
        "tasks": {"list": [{"id": "short", "UNTIL": "job.py"}, {"id": "long", "UNTIL": "over"}]},
        "job": {
            "image": "example/none@sha256:" + "0" * 64,
            "local": {"command": ["python", "job.py"], "workdir": "."},
        },
    }

    (tmp_path / "naps.json").write_text(json.dumps(spec))
    pid, terminal = start(tmp_path, "run", "naps.json")
    shown = ""
    while "1/2 tasks" not in _ESCAPES.sub("", shown):
        shown += os.read(terminal, 65536).decode()
    os.write(terminal, b"\x03")
    shown += read(terminal)
    _, status = os.waitpid(pid, 0)
    os.close(terminal)
    seen = Seen(os.waitstatus_to_exitcode(status), shown)
    assert seen.code == 130
    assert "active jobs in batch: 1 of 2" in seen.text
    assert "jobs of naps that run go on by themselves" in " ".join(seen.text.split())
    assert "Traceback" not in seen.text

    (tmp_path / "over").touch()
    again = run(tmp_path, "run", "naps.json")
    assert again.returncode == 0, again.stderr
    assert re.search(r"naps (was begun|ran) here before", again.stderr)
    assert "naps  completed" in again.stdout
    assert re.search(r"^attempts +2$", again.stdout, re.MULTILINE), "something ran twice"
    assert "\x1b" not in again.stdout + again.stderr

    known = run(tmp_path, "run", "naps.json")
    assert "naps ran here before, with this very content" in known.stderr
    assert known.stdout == again.stdout
    fresh = run(tmp_path, "run", "naps.json", "--fresh")
    assert fresh.returncode == 0
    assert "is removed" in fresh.stderr


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Type a command without a terminal."""
    environment = {
        k: v for k, v in os.environ.items() if not k.startswith(("BATCHKEEPER_", "MONGODB_", "COLUMNS"))
    }
    return subprocess.run(
        [str(COMMAND), *words], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
