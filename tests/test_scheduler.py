"""What becomes of a run of tests when a worker dies in it, by a time limit or otherwise."""

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]

CONFTEST = """
def pytest_xdist_make_scheduler(config, log):
    from tests import conftest

    conftest.TOGETHER["test_shared.py"] = "shared"
    return conftest.Together(config, log)
"""

DYING = """
import os
import time

import pytest

@pytest.mark.parametrize("number", range(12))
def test_it(number):
    time.sleep(0.01)
    if number in {dying}:
        os._exit(1)
"""

CHANGED = """
from pathlib import Path

if not Path("begun").exists():
    def test_that_is_found_once():
        Path("begun").touch()
"""


def ran(folder: Path, workers: int, **modules: str) -> tuple[int, str]:
    """The exit status of a run of these modules, and what it told."""
    (folder / "pytest.ini").write_text("[pytest]\n")
    (folder / "conftest.py").write_text(CONFTEST)
    for name, text in modules.items():
        (folder / f"{name}.py").write_text(text)
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "xdist", "-n", str(workers), "-q", "--color=no"],
        cwd=folder,
        env=inherited | {"PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout


def failed(told: str) -> list[str]:
    """The tests that are told to have failed, each as often as it is."""
    return sorted(re.findall(r"^FAILED (\S+)", told, flags=re.MULTILINE))


def test_the_only_worker_dies(tmp_path: Path) -> None:
    """Each test that ends its worker has failed, once; the others are run by the worker after it."""
    alone, shared = DYING.format(dying={5, 11}), DYING.format(dying={4})
    status, told = ran(tmp_path, 1, test_alone=alone, test_shared=shared)
    dead = ["test_alone.py::test_it[11]", "test_alone.py::test_it[5]", "test_shared.py::test_it[4]"]
    assert (status, failed(told)) == (1, dead), told
    assert "3 failed, 21 passed" in told


def test_several_workers_die_at_about_the_same_time(tmp_path: Path) -> None:
    """What one had left is not given to another that has yet to find the tests, and is lost with nobody."""
    status, told = ran(tmp_path, 3, test_alone=DYING.format(dying={3, 4, 5, 11}))
    dead = [f"test_alone.py::test_it[{number}]" for number in (11, 3, 4, 5)]
    assert (status, failed(told)) == (1, dead), told
    assert "4 failed, 8 passed" in told


def test_the_tests_changed_before_a_worker_died(tmp_path: Path) -> None:
    """A worker that finds other tests than the first found runs none: the run ends, and is no success."""
    status, told = ran(tmp_path, 1, test_alone=CHANGED, test_later=DYING.format(dying={4}))
    assert (status, "no active workers available" in told) == (3, True), told
