"""The fixtures that tests on a real control plane import into their ``conftest.py``.

``from tests.control_plane.fixtures import control_plane, namespace, private_control_plane``, and
``pytest_runtest_makereport`` with them, so that many tests without a control plane are one line.
"""

from __future__ import annotations

import faulthandler
import os
import sys
import tempfile
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn
from uuid import uuid4

import pytest

from tests.control_plane.admin import Api
from tests.control_plane.binaries import find
from tests.control_plane.building import Unavailable
from tests.control_plane.commands import ADMIN
from tests.control_plane.elsewhere import USE, api_of, asked_for, config_elsewhere
from tests.control_plane.plane import ControlPlane
from tests.control_plane.sharing import Hold, acquire

MISSING = "no control plane: "
REQUIRED = "TESTS_REQUIRE_CONTROL_PLANE"


@pytest.fixture(scope="session")
def control_plane(request: pytest.FixtureRequest) -> Iterator[ControlPlane]:
    """The control plane that all workers of this test run share, each test in its own namespace.

    No test may kill a part of it, or change what is not in its namespace and not its own.
    """
    run = str(getattr(request.config, "workerinput", {}).get("testrunuid", uuid4().hex))
    with _a_control_plane(request, run) as plane:
        yield plane


@pytest.fixture(scope="module")
def private_control_plane(request: pytest.FixtureRequest) -> Iterator[ControlPlane]:
    """One that only this module's tests use, so that they may kill and restart what they like."""
    if asked_for():
        pytest.skip(f"{USE}: the cluster is somebody's, and not ours to break")
    with _a_control_plane(request, uuid4().hex) as plane:
        yield plane


@pytest.fixture
def namespace(control_plane: ControlPlane) -> Iterator[str]:
    """A namespace of this test's own on the shared control plane."""
    with control_plane.namespace() as name:
        yield name


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """All tests that skip for want of a control plane skip in one place, for pytest folds those."""
    report = yield
    if report.skipped and isinstance(report.longrepr, tuple) and MISSING in report.longrepr[2]:
        report.longrepr = (__file__, 1, report.longrepr[2])
    return report


@contextmanager
def _a_control_plane(request: pytest.FixtureRequest, key: str) -> Iterator[ControlPlane]:
    """The one of that key; skips, or fails where one is required, when there can be none."""
    with tempfile.TemporaryDirectory(prefix="bk-control-plane-user-") as folder:
        try:
            plane = _found(request, key, Path(folder))
        except Unavailable as reason:
            without(f"{MISSING}{reason}")
        try:
            yield plane
        finally:
            if plane.hold:
                plane.hold.release()


def _found(request: pytest.FixtureRequest, key: str, folder: Path) -> ControlPlane:
    if elsewhere := config_elsewhere():
        api = api_of(elsewhere, folder)
        return ControlPlane(api.url, api.ca, api, folder, tokens={ADMIN: api.token})
    # A build takes longer than any test may hang; the limit is back with the next test.
    faulthandler.cancel_dump_traceback_later()
    return ours(acquire(key, find(sayer(request))), folder)


def ours(hold: Hold, folder: Path) -> ControlPlane:
    """A control plane of our own, as its keeper describes it."""
    about = hold.about
    admin = Api(about["url"], Path(about["ca"]), about["tokens"][ADMIN])
    return ControlPlane(admin.url, admin.ca, admin, folder, about["tokens"], hold)


def sayer(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Says a line where people see it while the tests run."""
    capture = request.config.pluginmanager.getplugin("capturemanager")

    def say(line: str) -> None:
        with capture.global_and_fixture_disabled():
            sys.stderr.write(f"\n{line}\n")
            sys.stderr.flush()

    return say


def without(reason: str) -> NoReturn:
    """Skip the test, or fail it where a control plane is required."""
    if os.environ.get(REQUIRED):
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)
