"""The program with a bug sown, unknown to the product: ``python -m tests.e2e.sown <bug> controller …``."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping

import pytest

from controller.cli import main
from controller.core import verdict
from controller.core.model import Verdict

Patch = pytest.MonkeyPatch


def mounts_are_the_programs(patch: Patch) -> None:
    """Exit code 2 is a failure of the program like any other."""

    def exit_two(case: verdict._Case) -> verdict.Ruling | None:
        two = case.exit_code == verdict.MOUNT_EXIT_CODE
        return verdict.Ruling(Verdict.APPLICATION_ERROR, "exit code 2") if two else None

    rules = tuple(exit_two if rule is verdict._exit_two else rule for rule in verdict.RULES)
    patch.setattr(verdict, "RULES", rules)


def codes_unread(patch: Patch) -> None:
    """Of what has ended the exit code is not read."""
    patch.setattr(verdict, "exit_code_of", lambda job: None if job.succeeded is False else job.exit_code)


SOWN: Mapping[str, Callable[[Patch], None]] = {
    "exit 2 is the program's": mounts_are_the_programs,
    "exit codes are not read": codes_unread,
}

if __name__ == "__main__":
    SOWN[sys.argv[1]](pytest.MonkeyPatch())
    sys.exit(main(sys.argv[2:]))
