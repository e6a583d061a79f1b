"""The image, without an engine that builds it: its Dockerfile is read, its build stage is run in a folder."""

from __future__ import annotations

import faulthandler
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.chart.dockerfile import ROOT, Stage, allowed, stages

BUILD, FINAL = stages()
TOOLS = re.compile(r"\b(gcc|g\+\+|build-essential|cargo|go|apt-get|curl|wget|git)\b")


def test_the_base_is_one_image() -> None:
    """Both stages stand on the same one, pinned by digest; its Python is the oldest that is promised."""
    assert BUILD.base == FINAL.base
    found = re.fullmatch(r"python:(\d+)\.(\d+)\.\d+-slim-\w+@sha256:[0-9a-f]{64}", FINAL.base)
    assert found
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert (int(found[1]), int(found[2])) == (3, 11)
    assert project["requires-python"] == ">=3.11"


def test_who_runs_it() -> None:
    """A number that is not root's, as the chart says too; nothing comes after it that would need root."""
    words = [step.word for step in FINAL.steps]
    (user,) = FINAL.of("USER")
    assert user.told == "10001:10001"
    assert not {"RUN", "COPY"} & set(words[words.index("USER") :])
    assert 'runAsUser" 10001' in (ROOT / "deploy/helm/templates/_helpers.tpl").read_text(encoding="utf-8")


def test_what_it_runs() -> None:
    """The program itself is process 1, so that it gets the signals; the daemon unless told otherwise."""
    (entry,), (usual,) = FINAL.of("ENTRYPOINT"), FINAL.of("CMD")
    assert (entry.told, usual.told) == ('["batchkeeper"]', '["controller"]')
    (variables,) = FINAL.of("ENV")
    assert 'PATH="/opt/batchkeeper/bin:$PATH"' in variables.told


@pytest.mark.parametrize("stage", [BUILD, FINAL], ids=["build", "final"])
def test_its_rules(stage: Stage) -> None:
    """What a linter of Dockerfiles demands: absolute folders, COPY and not ADD, no secrets, all pinned."""
    words = {step.word for step in stage.steps}
    assert words <= {"WORKDIR", "COPY", "RUN", "LABEL", "ENV", "USER", "EXPOSE", "ENTRYPOINT", "CMD"}
    assert all(step.told.startswith("/") for step in stage.of("WORKDIR"))
    for step in stage.of("RUN"):
        assert not TOOLS.search(step.told), "nothing is compiled, and nothing fetched but locked wheels"
        assert "sudo" not in step.told
        for command in step.commands:
            if " install " in command or " wheel " in command:
                assert "--no-cache-dir" in command
                assert "--require-hashes --only-binary :all:" in command or "--no-deps" in command
    for step in stage.of("ENV"):
        assert not re.search(r"TOKEN|PASSWORD|SECRET|URI", step.told)


def test_what_is_copied_is_there() -> None:
    """Every source exists and gets into the build; the second stage takes one folder of the first."""
    taken = [source for step in BUILD.of("COPY") for source in step.sources]
    assert sorted(taken) == sorted(allowed())
    assert [source for source in taken if not (ROOT / source).exists()] == []
    (step,) = FINAL.of("COPY")
    assert step.told == f"--from={BUILD.name} /opt/batchkeeper /opt/batchkeeper"


def test_the_tool_that_builds_it_is_locked() -> None:
    """It is the very one that the environment here was made with."""

    def pin(lock: str) -> tuple[str, set[str]]:
        text = (ROOT / lock).read_text(encoding="utf-8")
        (block,) = re.findall(r"^setuptools==(\S+) \\\n((?:    --hash=\S+(?: \\)?\n)+)", text, re.MULTILINE)
        return block[0], set(re.findall(r"sha256:[0-9a-f]{64}", block[1]))

    assert pin("deploy/requirements-build.lock") == pin("requirements-dev.lock")


# ------------------------------------------------------------------------------- the build stage, run


@contextmanager
def built() -> Iterator[Path]:
    """The folder /opt as the build stage leaves it, made elsewhere: every COPY and RUN, in their order."""
    memory = Path("/dev/shm")
    here = tempfile.mkdtemp(prefix="batchkeeper-image-", dir=memory if os.access(memory, os.W_OK) else None)
    folder = Path(here)
    work = folder / "work"
    work.mkdir()
    try:
        for step in BUILD.steps:
            if step.word == "COPY":
                _copy(step.sources, work / step.target)
            elif step.word == "RUN":
                _run(step.told, work, folder)
        yield folder / "opt"
    finally:
        shutil.rmtree(folder)


def _copy(sources: list[str], target: Path) -> None:
    for source in sources:
        if (ROOT / source).is_dir():
            shutil.copytree(ROOT / source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / source, target)


def _run(told: str, work: Path, folder: Path) -> None:
    """As in the image, but for the place, the cache of what was downloaded already, and its Python's name."""
    told = told.replace("/opt/", f"{folder}/opt/").replace("--no-cache-dir ", "")
    bin_folder = folder / "bin"
    bin_folder.mkdir(exist_ok=True)
    python = bin_folder / "python"
    if not python.exists():
        python.symlink_to(Path(sys.base_prefix) / "bin" / f"python3.{sys.version_info.minor}")
    environment = {"PATH": f"{bin_folder}:{os.environ['PATH']}", "HOME": os.environ.get("HOME", "/")}
    kept = {
        name: value for name, value in os.environ.items() if name.startswith(("PIP_", "SSL_", "REQUESTS_"))
    }
    done = subprocess.run(
        ["sh", "-ec", told],
        cwd=work,
        env={**environment, **kept},
        capture_output=True,
        text=True,
        timeout=1200,
        check=False,
    )
    assert done.returncode == 0, f"{told}\n{done.stdout[-2000:]}{done.stderr[-2000:]}"


def _said(built: Path, *arguments: str, cwd: Path) -> str:
    done = subprocess.run(
        [str(built / "batchkeeper" / "bin" / arguments[0]), *arguments[1:]],
        cwd=cwd,
        env={"PATH": "/nowhere", "HOME": str(cwd)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_what_it_builds(tmp_path: Path) -> None:
    """What is locked is enough: every module was imported where it is installed, the program starts, and its
    page is there. And it is small: no pip, no tests, no compiler; the whole of it in less than 200 MB."""
    # On a busy machine it takes longer than a test may hang; the limit is back with the next test.
    faulthandler.cancel_dump_traceback_later()
    with built() as folder:
        (packages,) = (folder / "batchkeeper" / "lib").glob("python*/site-packages")
        assert modules(packages) == modules(ROOT) == {path.with_suffix("") for path in compiled(packages)}
        assert (packages / "controller/api/web/index.html").stat().st_size > 0
        names = {path.name for path in packages.iterdir()}
        assert not {"pip", "setuptools", "tests", "pytest"} & names
        assert sum(path.stat().st_size for path in packages.rglob("*") if path.is_file()) < 200_000_000
        assert "controller" in _said(folder, "batchkeeper", "--help", cwd=tmp_path)


def modules(root: Path) -> set[Path]:
    """Every module of the program but the one that runs it."""
    found = {path.relative_to(root).with_suffix("") for path in (root / "controller").rglob("*.py")}
    return found - {Path("controller/__main__")}


def compiled(root: Path) -> Iterator[Path]:
    """Every module that was imported: Python has compiled it."""
    for path in (root / "controller").rglob("__pycache__/*.pyc"):
        yield path.relative_to(root).parents[1] / path.name.split(".")[0]
