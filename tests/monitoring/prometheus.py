"""A real Prometheus: where its programs are, and one server as a child on a loopback port.

Debian's package ``prometheus`` has ``prometheus`` and ``promtool``. Where it is missing the tests skip,
with the reason; with ``TESTS_REQUIRE_PROMETHEUS=1``, as in ``.ci/run``, they fail.
"""

from __future__ import annotations

import os
import shutil

import pytest

REQUIRED = "TESTS_REQUIRE_PROMETHEUS"


def program(name: str) -> str:
    """The path of ``prometheus`` or ``promtool``; skips or fails the test where it is missing."""
    if found := shutil.which(name):
        return found
    why = f"no {name} on PATH: install Debian's package prometheus"
    if os.environ.get(REQUIRED) == "1":
        pytest.fail(f"{why}, or unset {REQUIRED}")
    pytest.skip(why)
