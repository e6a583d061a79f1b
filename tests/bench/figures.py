"""What a row reports: our figure beside the raw limit of the same run, and their ratio."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table. ``raw`` is what the machine allows without Batchkeeper."""

    what: str
    ours: float
    unit: str
    raw: float | None = None
    goal: str = ""

    @property
    def ratio(self) -> float | None:
        """Ours as a multiple of the raw limit."""
        return self.ours / self.raw if self.raw else None


@dataclass(frozen=True, slots=True)
class Grid:
    """A table of its own, where a raw limit is not what stands beside ours."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]

    def __str__(self) -> str:
        told = [self.header, ["---"] * len(self.header), *self.rows]
        return "\n".join(f"| {' | '.join(cells)} |" for cells in told)


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that at least ``percent`` of them do not exceed; ``ValueError`` for none."""
    if not values:
        raise ValueError("nothing was measured")
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def table(figures: Sequence[Figure]) -> str:
    """All figures, as Markdown."""
    lines = ["| what | Batchkeeper | raw limit | ratio | goal |", "|---|---:|---:|---:|---|"]
    for figure in figures:
        raw = "" if figure.raw is None else f"{_short(figure.raw)} {figure.unit}"
        ratio = "" if figure.ratio is None else f"{figure.ratio:.2f}"
        ours = f"{_short(figure.ours)} {figure.unit}"
        lines.append(f"| {figure.what} | {ours} | {raw} | {ratio} | {figure.goal} |")
    return "\n".join(lines)


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.3g}"
