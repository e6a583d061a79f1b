"""What a local job finds in its environment, and what it never finds there."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from controller.core.model import LocalJob
from tests.adapters.local_world import LocalWorld


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[LocalWorld]:
    """A local cluster of its own that knows Run:ai's habits."""
    local = LocalWorld(tmp_path, runai=True)
    yield local
    await local.end()


def secret(world: LocalWorld, name: str, text: str, mode: int = 0o600) -> Path:
    """Put a secret's file where the operator would."""
    path = world.state / "secrets" / f"{name}.env"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
    return path


def parsed(log: str) -> dict[str, str]:
    """What `env` printed."""
    return dict(line.split("=", 1) for line in log.splitlines())


async def test_a_job_gets_its_own_variables_on_a_clean_base(
    world: LocalWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Identity, env and local env are there, later parts winning; nothing else of the daemon's is."""
    monkeypatch.setenv("MONGODB_URI", "mongodb://user:password@host")
    monkeypatch.setenv("TZ", "UTC")
    job = world.job(
        "sweep-7",
        "not-run",
        env={"MODEL": "BLINK", "DATA": "/data", "BATCHKEEPER_TASK": "forged"},
        local=LocalJob(command=("env",), env={"DATA": "here"}),
    )
    _, log = await world.run(job)
    env = parsed(log)
    assert env["MODEL"] == "BLINK"
    assert env["DATA"] == "here"
    assert env["BATCHKEEPER_BATCH"] == "sweep"
    assert env["BATCHKEEPER_TASK"] == "7"
    assert env["BATCHKEEPER_ATTEMPT"] == "0"
    assert env["BATCHKEEPER_JOB"] == job.job_id
    assert env["RUNAI_JOB_NAME"] == "sweep-7"
    assert env["TZ"] == "UTC"
    assert env["PATH"].split(os.pathsep)[0] == str(Path(sys.executable).parent)
    known = {"PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR"}
    assert {name for name in env if not name.startswith("BATCHKEEPER_")} <= known | {
        "MODEL",
        "DATA",
        "RUNAI_JOB_NAME",
    }


async def test_a_job_runs_where_it_was_told_to(world: LocalWorld, tmp_path: Path) -> None:
    """``workdir`` is the working directory, and ``python`` is the daemon's own."""
    place = tmp_path / "place"
    place.mkdir()
    program = "import os, sys; print(os.getcwd(), sys.executable, os.getsid(0) == os.getpid())"
    job = world.job("sweep-1", "python", "-c", program, local=LocalJob(workdir=str(place)))
    _, log = await world.run(job)
    assert log.split() == [str(place), sys.executable, "True"]


async def test_secrets_come_from_a_private_file(world: LocalWorld) -> None:
    """A secret's values reach the job and are written nowhere by us; the job's own env wins."""
    secret(world, "creds", "# a comment\n\nTOKEN=s3cr3t=value\nDATA=from-secret\n")
    job = world.job("sweep-1", "env", env={"DATA": "own"}, env_from_secret=("creds",))
    _, log = await world.run(job)
    env = parsed(log)
    assert (env["TOKEN"], env["DATA"]) == ("s3cr3t=value", "own")
    for path in world.folder("sweep-1").rglob("*"):
        assert path.name == "log" or not path.is_file() or "s3cr3t" not in path.read_text()


@pytest.mark.parametrize(
    ("text", "mode", "message"),
    [
        (None, 0, "secret 'creds' is missing: put KEY=VALUE lines into"),
        ("TOKEN=s3cr3t", 0o644, "may be read by others: run chmod 600"),
        ("TOKEN=ok\nno equals s3cr3t\n", 0o600, "line 2: not KEY=VALUE"),
    ],
    ids=["missing", "open to others", "malformed"],
)
async def test_a_bad_secret_is_a_verdict(
    world: LocalWorld, text: str | None, mode: int, message: str
) -> None:
    """A secret that can't be used is a StartError that says what to do and shows no value."""
    if text is not None:
        secret(world, "creds", text, mode)
    shown, log = await world.run(world.job("sweep-1", "env", env_from_secret=("creds",)))
    assert (shown.succeeded, shown.exit_code, shown.container_reason) == (False, 128, "StartError")
    assert message in shown.message
    assert "s3cr3t" not in shown.message + log
    assert not shown.started
