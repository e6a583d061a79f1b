"""Bugs planted into the Kubernetes adapter: a suite that can't find them would prove nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from controller.ports import Rejected
from tests.control_plane.plane import ControlPlane
from tests.kube.planted import BUGS, Bug, planted
from tests.kube.situations import SITUATIONS, Here

FOUND = (AssertionError, Rejected, TimeoutError, pytest.fail.Exception)
"""How a situation says that it went wrong; anything else would be the bug's own mistake, or the server's."""


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
async def test_a_planted_bug_is_found(bug: Bug, control_plane: ControlPlane, tmp_path: Path) -> None:
    """The situation goes wrong with it, and the very same situation is good without it."""
    situation = SITUATIONS[bug.situation]
    with control_plane.namespace() as namespace, planted(bug), pytest.raises(FOUND):
        await situation(Here(control_plane, namespace, tmp_path))
    with control_plane.namespace() as namespace:
        await situation(Here(control_plane, namespace, tmp_path))


def test_no_situation_is_idle() -> None:
    """Each is there for a bug, and each bug has one."""
    assert {bug.situation for bug in BUGS} == set(SITUATIONS)
