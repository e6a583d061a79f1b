"""Errors as one line for the story of a schedule."""

from __future__ import annotations

import traceback
from pathlib import Path

CRASHED = "crashed"


def told(error: BaseException) -> str:
    """An error and where it came from, the innermost one of a group."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    where = traceback.extract_tb(error.__traceback__)[-3:]
    places = " < ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in reversed(where))
    return f"{type(error).__name__}: {error} ({places})"


def crashed(who: str, error: BaseException) -> str:
    """Somebody ended, or did not come to an answer, of an error that nobody foresaw: it tells of itself."""
    return f"{CRASHED}: {who}: {told(error)}"
