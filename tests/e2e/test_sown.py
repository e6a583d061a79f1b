"""A daemon with a bug sown, on this machine: the oracle shows it by the status files of the jobs' folders."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.conftest import judged_place
from tests.e2e.sown import SOWN
from tests.e2e.specs import batch
from tests.oracle.invariants import Invariant


def _two_fail(root: Path, uri: str, *program: str) -> None:
    with judged_place(root, uri) as place:
        place.program = program or place.program
        place.know(most_auto=0)
        place.drop(batch("sown", {"a": "exit 2", "b": "exit 3"}, maxAutoRetries=0))
        place.start()
        place.over("sown")


@pytest.mark.parametrize("bug", SOWN)
def test_a_sown_bug_is_found(bug: str, root: Path, mongo_uri: str) -> None:
    """An end is called what its object did not show; without the bug nothing is broken in the same batch."""
    with pytest.raises(AssertionError, match=Invariant.TRUTH):
        _two_fail(root / "sown", mongo_uri, "tests.e2e.sown", bug)
    _two_fail(root / "without", mongo_uri)
