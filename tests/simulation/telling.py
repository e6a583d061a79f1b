"""Errors as one line for the story of a schedule."""

from __future__ import annotations

import traceback
from pathlib import Path


def told(error: BaseException) -> str:
    """An error and where it came from, the innermost one of a group."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    where = traceback.extract_tb(error.__traceback__)[-3:]
    places = " < ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in reversed(where))
    return f"{type(error).__name__}: {error} ({places})"
