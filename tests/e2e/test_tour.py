"""The README's tour, walked: its very commands, on its very example, beside a daemon that runs."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOUR = "examples/tour"
BLOCKS = re.findall(r"^```sh\n(.*?)^```", (ROOT / "README.md").read_text("utf-8"), re.MULTILINE | re.DOTALL)
PATIENCE = 90.0


class Walk:
    """A copy of the example in a folder of its own, a daemon, and a shell that stands in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        shutil.copytree(ROOT / TOUR, folder / TOUR, ignore=shutil.ignore_patterns("state", "mars-is-there"))
        for dropped in (folder / TOUR / "specs").glob("*.y*ml"):
            dropped.unlink()
        script = folder / TOUR / "greet.sh"
        script.write_text(script.read_text("utf-8").replace("sleep 12", "sleep 8"), "utf-8")
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        kept = {key: value for key, value in os.environ.items() if not key.startswith("BATCHKEEPER")}
        kept.pop("MONGODB_URI", None)
        self.env = kept | {"PATH": path, "BATCHKEEPER_CONFIG": f"{TOUR}/config.yaml", "COLUMNS": "200"}
        with (folder / "log").open("wb") as log:
            self.daemon = subprocess.Popen(
                ["batchkeeper", "controller"], cwd=folder, env=self.env, stdout=log, stderr=log
            )

    def type(self, line: str) -> str:
        """What a line of the tour answers; it must go well."""
        line = line.replace(" --watch", "")  # a person ends it with Ctrl-C
        done = subprocess.run(
            ["sh", "-c", line],
            cwd=self.folder,
            env=self.env,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
        return done.stdout + done.stderr

    def until(self, line: str, shows: str) -> str:
        """Ask again and again until the answer shows it."""
        end, answer = time.monotonic() + PATIENCE, ""
        while time.monotonic() < end:
            done = subprocess.run(
                ["sh", "-c", line], cwd=self.folder, env=self.env, capture_output=True, text=True
            )
            answer = done.stdout + done.stderr
            if shows in answer:
                return answer
            time.sleep(2)  # each question is a process of its own
        raise AssertionError(f"{line} never showed {shows!r}:\n{answer}")


@pytest.fixture
def walk(tmp_path: Path) -> Iterator[Walk]:
    """The tour's daemon, ended by SIGTERM."""
    walk = Walk(tmp_path)
    yield walk
    walk.daemon.send_signal(signal.SIGTERM)
    assert walk.daemon.wait(60) == 0


def lines(word: str) -> list[str]:
    """The commands of the tour's block that holds this word."""
    (block,) = [block for block in BLOCKS if word in block]
    return [line for line in block.splitlines() if line and not line.startswith((". ", "export "))]


def test_the_tour_goes_as_the_readme_says(walk: Walk) -> None:
    """Drop a spec, watch it, change it, see what failed, mend it and press retry."""
    walk.until("batchkeeper list", "no batches yet")
    drop = lines("greet.yaml.status.yaml")
    for line in drop[:3]:
        walk.type(line)
    walk.until("batchkeeper status greet", "active")
    for line in lines("scale greet"):  # at once: typing takes longer here than the batch may
        walk.type(line)
    for line in drop[3:]:
        walk.until(line.replace(" --watch", ""), "greet")
    walk.until("batchkeeper status greet", "finished (partial)")
    seen = [walk.type(line) for line in lines("logs greet-mars")]
    assert "configuration-error" in seen[0]
    assert "never retried automatically" in seen[1]
    assert "Mars is not there" in seen[2]
    mend = lines("mars-is-there")
    for line in mend[:-1]:
        walk.type(line)
    walk.until("batchkeeper status greet", "finished (completed)")
    assert "succeeded after retry" in walk.type(mend[-1])
