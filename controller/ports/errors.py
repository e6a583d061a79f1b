"""The errors that ports may raise; adapters translate into these once, at their edge."""

from __future__ import annotations


class BatchkeeperError(Exception):
    """The root of every error of ours. ``str()`` is one line: what happened, where, what to do."""


class Unavailable(BatchkeeperError):
    """The other side could not be asked, or did not answer: try later, believe nothing."""


class Rejected(BatchkeeperError):
    """The other side refused: repeating the same call will not help. ``code`` is its own number."""

    def __init__(self, message: str, code: int = 0) -> None:
        super().__init__(message)
        self.code = code


class Conflict(BatchkeeperError):
    """A unique key is taken: read again, then decide."""


class StaleEpoch(BatchkeeperError):
    """Another controller has taken the lead: this one must stop deciding."""
