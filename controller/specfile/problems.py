"""Collects everything that is wrong with one spec, so that its author sees all of it at once."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from controller.core.problem import Problem
from controller.specfile.nodes import Fields, Node, Path, dotted, in_hole, line_of

MOST = 50
"""Problems told; what lies beyond is counted."""
_LONGEST_SHOWN = 60
_LONGEST_KEY = 200
"""Beyond that a key is no slip of the keyboard, and comparing it would take long."""


class Problems:
    """The problems and warnings of one spec file, in the order of their lines."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.root: Node = Fields(1)
        self._found: dict[Problem, None] = {}
        self._warned: dict[Problem, None] = {}
        self._beyond = 0

    def add(self, path: Path, message: str, *, line: int = 0, file: str = "") -> None:
        """Note a problem with the field at the path; ``line`` and ``file`` where the path can't tell."""
        if in_hole(self.root, path):
            return
        self._note(self._problem(path, message, line, file))

    def warn(self, path: Path, message: str, *, line: int = 0, file: str = "") -> None:
        """Note something that is allowed but probably not meant."""
        if len(self._warned) < MOST:
            self._warned[self._problem(path, message, line, file)] = None

    def whole(self, message: str, line: int = 0) -> None:
        """Note a problem with the file itself: one of its lines, or all of it."""
        self._note(Problem(message, self.file, line))

    def under(self, section: str) -> bool:
        """Whether a problem was noted at or under this top-level field."""
        return any(
            problem.field == section or problem.field.startswith((f"{section}.", f"{section}["))
            for problem in self._found
        )

    @property
    def found(self) -> tuple[Problem, ...]:
        """All problems by line; when there are too many, the last says how many more."""
        problems = tuple(sorted(self._found, key=lambda problem: (problem.file != self.file, problem.line)))
        if not self._beyond:
            return problems
        more = f"and {self._beyond} more problems: correct these first"
        return (*problems, Problem(more, self.file))

    @property
    def warned(self) -> tuple[Problem, ...]:
        """All warnings by line."""
        return tuple(sorted(self._warned, key=lambda problem: problem.line))

    def _note(self, problem: Problem) -> None:
        if len(self._found) < MOST:
            self._found[problem] = None
        elif problem not in self._found:
            self._beyond += 1

    def _problem(self, path: Path, message: str, line: int, file: str) -> Problem:
        field = dotted(tuple(step if isinstance(step, int) else _short(step) for step in path))
        if file:  # another file than the spec: the root knows nothing of its lines
            return Problem(message, file, line, field)
        return Problem(message, self.file, line or line_of(self.root, path), field)


def _short(key: str) -> str:
    return key if len(key) <= _LONGEST_SHOWN else f"{key[: _LONGEST_SHOWN - 1]}…"


def shown(value: object) -> str:
    """A value as part of a one-line message: quoted, without line breaks, short."""
    text = repr(str(value))
    return text if len(text) <= _LONGEST_SHOWN else text[: _LONGEST_SHOWN - 4] + "...'"


def unknown_key(key: str, known: Iterable[str]) -> str:
    """What to say about a key that is not known: the nearest one, else all that are."""
    if near := nearest(key, names := list(known)):
        return f"unknown key; did you mean {near}?"
    return f"unknown key; known here: {', '.join(names)}"


def nearest(key: str, known: Iterable[str]) -> str:
    """The known key that was probably meant, whatever its capitals, dashes and underscores; or empty."""
    by_letters = {_letters(name): name for name in known}
    close = get_close_matches(_letters(key[:_LONGEST_KEY]), by_letters, n=1, cutoff=0.6)
    return by_letters[close[0]] if close else ""


def _letters(key: str) -> str:
    return key.lower().replace("_", "").replace("-", "")
