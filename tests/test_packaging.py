"""What a fresh machine installs: everything declared, pinned, hashed, and from nowhere in particular."""

import re
import tomllib
from pathlib import Path

import pytest

from controller import __version__

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
LOCKS = ("requirements.lock", "requirements-dev.lock")


def pinned(lock: str) -> dict[str, str]:
    """The packages in a lock file and their versions; of two for different Pythons, the last."""
    text = (ROOT / lock).read_text(encoding="utf-8")
    return dict(re.findall(r"^([a-z0-9.-]+)==(\S+)", text, re.MULTILINE))


def names(requirements: list[str]) -> set[str]:
    """The names in a list of requirements."""
    return {re.split(r"[^a-z0-9-]", requirement)[0] for requirement in requirements}


def test_the_version_is_said_once() -> None:
    """The package's version is the code's."""
    assert "version" in PROJECT["project"]["dynamic"]
    assert re.fullmatch(r"\d+\.\d+\.\d+", __version__)


def test_what_is_declared_is_locked() -> None:
    """Every requirement has its pin: the program's in both files, the rest in the developers'."""
    program = names(PROJECT["project"]["dependencies"])
    rest = [
        requirement
        for requirements in (
            *PROJECT["project"]["optional-dependencies"].values(),
            *PROJECT["dependency-groups"].values(),
        )
        for requirement in requirements
    ]
    assert program <= set(pinned("requirements.lock"))
    assert program | names(rest) <= set(pinned("requirements-dev.lock"))


def test_both_locks_agree() -> None:
    """What was tested is what is installed elsewhere."""
    developers = pinned("requirements-dev.lock")
    assert {name: developers[name] for name in pinned("requirements.lock")} == pinned("requirements.lock")


@pytest.mark.parametrize("lock", LOCKS)
def test_locks_are_hashed_and_name_no_index(lock: str) -> None:
    """Each pin has its hashes, and where packages come from is the installer's business."""
    text = (ROOT / lock).read_text(encoding="utf-8")
    blocks = re.split(r"^(?=[a-z0-9.-]+==)", text, flags=re.MULTILINE)[1:]
    assert all("--hash=sha256:" in block for block in blocks)
    assert not re.search(r"https?://|--index-url|--extra-index-url|--find-links|file:", text)


def test_choices_are_explained() -> None:
    """Every direct requirement has its line in docs/dependencies.md."""
    text = (ROOT / "docs" / "dependencies.md").read_text(encoding="utf-8")
    direct = names(PROJECT["project"]["dependencies"])
    for requirements in (
        *PROJECT["project"]["optional-dependencies"].values(),
        *PROJECT["dependency-groups"].values(),
    ):
        direct |= names(requirements)
    assert [name for name in sorted(direct) if f"| {name} |" not in text] == []
