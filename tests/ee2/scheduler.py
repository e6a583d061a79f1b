"""EE2's scheduler and our journal, as tests need them: they do what they are told, and remember."""

from __future__ import annotations

from collections.abc import Callable

from controller.core.ee2 import Stuck
from controller.ports import Unavailable


class Scheduler:
    """``Canceller``: says yes, or refuses; ``meanwhile`` is what else happens while it is asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.agreed: list[str] = []
        self.refuses = False
        self.meanwhile: Callable[[Stuck], None] = lambda job: None

    async def cancel(self, job: Stuck) -> str:
        """See ``Canceller.cancel``."""
        self.asked.append(job.id)
        self.meanwhile(job)
        if self.refuses:
            raise Unavailable("condor_rm: no schedd")
        self.agreed.append(job.id)
        return "removed"


class Told:
    """``Ee2Journal``: everything that was told, in lists."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, dict[str, object]]] = []
        self.counts: dict[str, int] = {}
        self.gauges: dict[str, float] = {}

    def said(self, event: str, **facts: object) -> None:
        """One line."""
        self.lines.append((event, facts))

    def trouble(self, where: str, error: BaseException, **facts: object) -> None:
        """One line."""
        self.lines.append((where, {"error": str(error), **facts}))

    def repaired(self, step: str, n: int) -> None:
        """A count."""
        self.counts[step] = self.counts.get(step, 0) + n

    def reaped(self, state: str) -> None:
        """A count."""
        self.repaired(state, 1)

    def gauge(self, name: str, value: float, batch: str = "") -> None:
        """A gauge."""
        self.gauges[name] = value

    def passed(self, kind: str, result: str, seconds: float, steps: int) -> None:
        """One line."""
        self.lines.append((f"pass {kind}", {"result": result}))

    def events(self) -> list[str]:
        """The events of the lines."""
        return [event for event, _ in self.lines]
