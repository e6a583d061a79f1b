"""One thing that is wrong, or worth a look, in a spec: what, where, and what to do about it.

Made by the spec reader and the policy check; shown by the commands and beside the spec file.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    """``str()`` is one line: ``traits.yaml:12: job.resources.memory: what is wrong: what to do``."""

    message: str
    """What is wrong and what to do, without the place. Never a value of a job's env."""
    file: str = ""
    line: int = 0
    """From 1; 0 when it is about the file as a whole."""
    field: str = ""
    """The path of the field, as ``retry[0].backoff.max``; empty when it is about no field."""

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        line = ": ".join(part for part in (place, self.field, self.message) if part)
        if line.isprintable():
            return line
        # A key of the spec may hold anything; the line stays one line.
        return "".join(
            char if char.isprintable() else char.encode("unicode_escape").decode() for char in line
        )
