"""The image's Dockerfile, read: its instructions by stage. Called by the tests of the image."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCKERFILE = ROOT / "deploy" / "Dockerfile"
IGNORED = ROOT / ".dockerignore"


@dataclass(frozen=True)
class Step:
    """One instruction."""

    word: str
    told: str

    @property
    def sources(self) -> list[str]:
        """What a COPY takes, without its options."""
        return [word for word in self.told.split()[:-1] if not word.startswith("--")]

    @property
    def target(self) -> str:
        """Where a COPY puts it."""
        return self.told.split()[-1]

    @property
    def commands(self) -> list[str]:
        """What a RUN runs."""
        return re.split(r"\s*&&\s*", self.told)


@dataclass(frozen=True)
class Stage:
    """What stands between two FROM."""

    base: str
    name: str
    steps: tuple[Step, ...]

    def of(self, word: str) -> list[Step]:
        """All its instructions of one kind."""
        return [step for step in self.steps if step.word == word]


def steps() -> Iterator[Step]:
    """Every instruction, its continued lines joined."""
    lines = [line for line in DOCKERFILE.read_text("utf-8").splitlines() if not line.lstrip().startswith("#")]
    for line in re.sub(r"\\\n\s*", "", "\n".join(lines)).splitlines():
        if line.strip():
            word, told = line.split(maxsplit=1)
            yield Step(word, told.strip())


def stages() -> list[Stage]:
    """The stages, in their order."""
    found: list[tuple[str, list[Step]]] = []
    for step in steps():
        if step.word == "FROM":
            found.append((step.told, []))
        else:
            found[-1][1].append(step)
    return [_stage(told, tuple(inner)) for told, inner in found]


def _stage(told: str, inner: tuple[Step, ...]) -> Stage:
    base, _, name = told.partition(" AS ")
    return Stage(base, name, inner)


def allowed() -> list[str]:
    """What .dockerignore lets into the build."""
    lines = IGNORED.read_text(encoding="utf-8").splitlines()
    return [line.removeprefix("!") for line in lines if line.startswith("!")]
