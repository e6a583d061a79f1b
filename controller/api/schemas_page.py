"""What the answers look like that only the page or an operator asks for; a part of ``schemas``."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from controller.core.model import Status, Verdict


class Answer_(BaseModel):  # noqa: N801  # never shown: the base of what is
    """A closed object."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)


class Me(Answer_):
    """The caller."""

    user: str
    operator: bool
    """May act with `as_admin`."""
    sees_all: bool
    """Is shown what belongs to others."""


class Timeline(Answer_):
    """Active jobs over time, as stairs."""

    start: str
    cap: int
    """maxConcurrent as it is now."""
    points: list[list[float]]
    """Pairs: seconds after the start, and how many are active from then on."""


class Durations(Answer_):
    """How long completed jobs ran."""

    edges: list[float]
    """Seconds at which columns begin and end: one more than there are counts."""
    counts: list[int]


class Charts(Answer_):
    """A batch in numbers to draw."""

    timeline: Timeline
    durations: Durations
    median_seconds: float | None
    """About so long a completed job ran."""
    eta_seconds: float | None
    """About so long until all is done; null: that can't be told, or nothing starts."""
    failures: dict[Verdict, int]
    """Attempts that ended without success, by verdict."""
    why: str
    """One sentence: what it waits for, or what became of it."""


class Overdue(Answer_):
    """A job that is stuck."""

    job: str
    job_id: str
    status: Status
    since: str
    so_long: str = Field(alias="for")
    limit: str | None


class Reaped(Answer_):
    """Jobs that the leader ends in its next pass."""

    overdue: list[Overdue]
    dry_run: bool
