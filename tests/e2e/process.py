"""A daemon as a process of its own: started, watched through its log and its port, ended or killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.e2e.waiting import wait_for
from tests.freezing import freeze

ROOT = Path(__file__).parents[2]
PROGRAM = ("controller",)


def environment() -> dict[str, str]:
    """A clean environment: nothing of the developer's own settings gets into a run."""
    mine = {key: value for key, value in os.environ.items() if not key.startswith("BATCHKEEPER_")}
    for name in ("MONGODB_URI", "MAX_CONCURRENT"):
        mine.pop(name, None)
    return {**mine, "NO_COLOR": "1", "PYTHONPATH": str(ROOT)}


def command(*arguments: str, program: Sequence[str] = PROGRAM) -> list[str]:
    """The command line of the program itself."""
    return [sys.executable, "-m", *program, *arguments]


@dataclass(frozen=True)
class Ran:
    """What a command did."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Its output, read as JSON."""
        return json.loads(self.out)


def run(folder: Path, *arguments: str, timeout: float = 120) -> Ran:
    """Run one command to its end."""
    done = subprocess.run(
        command(*arguments),
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    return Ran(done.returncode, done.stdout, done.stderr)


class Daemon:
    """One ``batchkeeper controller``. Its log is a file, one JSON object a line."""

    def __init__(self, folder: Path, log: Path, *arguments: str, program: Sequence[str] = PROGRAM) -> None:
        """``program``: the module that is run, and what it is told before the command."""
        self.log = log
        with log.open("wb") as file:
            self._process = subprocess.Popen(
                command("controller", *arguments, program=program),
                cwd=folder,
                env=environment(),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it has not ended yet."""
        return self._process.poll() is None

    def kill(self) -> None:
        """``kill -9``: no chance to tidy anything."""
        self._process.kill()
        self._process.wait()

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """It does nothing at all meanwhile, as in a long pause of its machine."""
        try:
            freeze(self.pid)
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    def stop(self) -> int:
        """SIGTERM, and its exit code once it has ended."""
        if self.running:
            self._process.send_signal(signal.SIGTERM)
        return self.ended()

    def ended(self, seconds: float = 60) -> int:
        """Its exit code, once it has ended by itself."""
        return self._process.wait(seconds)

    # ------------------------------------------------------------------------------------- its log

    def lines(self) -> Iterator[dict[str, Any]]:
        """What it has logged so far; what is no JSON (a traceback) as the field ``text``."""
        for line in self.log.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                found = json.loads(line)
            except ValueError:
                found = {"text": line}
            yield found

    def said(self, event: str) -> list[dict[str, Any]]:
        """Its log lines of this event."""
        return [line for line in self.lines() if line.get("event") == event]

    def says(self, event: str) -> dict[str, Any]:
        """Its first log line of this event, once it is there."""

        def look() -> list[dict[str, Any]]:
            found = self.said(event)
            assert found or self.running, "it ended instead"
            return found

        try:
            return wait_for(f"a log line '{event}'", look)[0]
        except AssertionError as error:
            log = self.log.read_text(errors="replace")[-3000:]
            raise AssertionError(f"{error}\nits log ends:\n{log}") from None

    def errors(self) -> list[str]:
        """What no run may log: tracebacks, failed passes, items that failed in an unforeseen way."""
        bad = {"error", "critical"}
        return [str(line) for line in self.lines() if line.get("level") in bad or "text" in line]

    # ------------------------------------------------------------------------------------ its port

    @property
    def url(self) -> str:
        """Where its port is, once it listens."""
        return str(self.says("http listens")["url"])

    def get(self, path: str) -> tuple[int, str]:
        """Status and text of one page."""
        try:
            with urllib.request.urlopen(f"{self.url}{path}", timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def ready(self) -> None:
        """Wait until it says that it is ready."""
        wait_for("ready", lambda: self.get("/readyz")[0] == 200)
