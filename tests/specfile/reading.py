"""Helpers of these tests: a spec from its text, and a valid one to vary."""

from __future__ import annotations

from pathlib import Path

from controller.core.spec import BatchSpec
from controller.specfile import ReadSpec, SpecDefaults, read_spec
from tests.specfile.corpus import completed

DEFAULTS = SpecDefaults(max_concurrent=50, namespace="default", user="local:me")


def read(text: str | bytes, folder: Path = Path("/nowhere"), name: str = "spec.yaml") -> ReadSpec:
    """What becomes of a spec's text in this folder, which is also the watched one."""
    content = text.encode() if isinstance(text, str) else text
    return read_spec(content, name=name, folder=folder, root=folder, defaults=DEFAULTS)


def told(text: str | bytes, folder: Path = Path("/nowhere"), name: str = "spec.yaml") -> list[str]:
    """Its problems as lines."""
    return [str(problem) for problem in read(text, folder, name).problems]


def good(text: str, folder: Path = Path("/nowhere")) -> BatchSpec:
    """The spec in a text that may leave out what every spec needs; fails when it is not valid."""
    result = read("\n".join(completed(text.splitlines())), folder)
    assert result.spec is not None, [str(problem) for problem in result.problems]
    return result.spec
