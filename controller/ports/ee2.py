"""EE2's records as a port, and the hook that asks its scheduler to cancel a job.

The passes in ``controller.ee2`` use it; ``adapters.mongo_ee2`` and ``adapters.cancel_*`` are it. Nothing
but fields of EE2's model is ever written to EE2's records, and only those of the call's name; what is
ours lies in a collection of our own, under the record's id. Errors as everywhere: ``Unavailable`` may
have been applied, ``Rejected`` was not and never will be.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from controller.core.ee2 import Record, Stuck
from controller.core.ee2_decide import Step

EVERYWHERE = "ee2"
"""Stands for a namespace where good passes are noted: EE2's jobs have none."""


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to ask a job's scheduler, for a while: nobody else asks meanwhile."""

    failures: int = 0
    """How often in a row it has been asked in vain, the job being as it is."""
    cancelled: bool = False
    """It has said yes already: there is nothing to ask."""


class Ee2Records(Protocol):
    """EE2's collection of jobs, and ours beside it."""

    async def now(self) -> datetime:
        """The database's own clock."""
        ...

    async def next_epoch(self, holder: str) -> int:
        """Mint the next epoch for whoever was elected."""
        ...

    async def epoch(self) -> int:
        """The newest epoch minted; 0 before the first."""
        ...

    async def note_good_pass(self, at: datetime, longest: timedelta, namespaces: Iterable[str]) -> None:
        """Record a good pass, of ``EVERYWHERE``; too long a silence before it becomes a blind gap."""
        ...

    async def blind_gaps(self) -> Mapping[str, Sequence[tuple[datetime, datetime]]]:
        """Stretches of time without a good pass, oldest first; ``EVERYWHERE`` they are the same."""
        ...

    async def unfinished(self, before: datetime, after: str = "", limit: int = 500) -> Sequence[Record]:
        """Records with a retry parent and without the toggle, made before then, after that id; by id."""
        ...

    async def stuck(
        self, status: str, before: datetime, after: str = "", limit: int = 500
    ) -> Sequence[Record]:
        """Records of this status that are no batch parents, made before then, after that id; by id."""
        ...

    async def record(self, job_id: str) -> Record | None:
        """One record as it is now, as far as reapers read it."""
        ...

    async def parents(self, ids: Iterable[str], children: Iterable[str]) -> Mapping[str, Record]:
        """These records as they are now; of their lists only those children."""
        ...

    async def list_in(self, step: Step, parent: str, children: Iterable[str]) -> bool:
        """Add the children to the parent's list, as a set; whether anything was new."""
        ...

    async def toggle(self, children: Iterable[str]) -> int:
        """Set the toggle of children that both lists were read to have; how many it was set for now."""
        ...

    async def terminate(self, job: Stuck, limit: timedelta) -> bool:
        """End a job that is still what was read, and overdue by the database's clock at the write."""
        ...

    # -- our own collection

    async def claim(self, job: Stuck, epoch: int, term: timedelta) -> Claim | None:
        """The right to ask this job's scheduler for that long; None: somebody has it, or it is to rest."""
        ...

    async def answered(self, job: Stuck, epoch: int, note: str, rest: timedelta | None) -> None:
        """What the hook said. ``rest``: it failed, and is not asked again for so long."""
        ...

    async def set_aside(self, job_id: str, by: str, reason: str) -> None:
        """Remember why a pass leaves a record alone."""
        ...

    async def release(self, by: str, before: datetime) -> None:
        """Forget what that pass has not met again since then."""
        ...

    async def all_set_aside(self) -> Mapping[str, Sequence[str]]:
        """Every record that is left alone, with the reasons."""
        ...

    async def unserved(self) -> Sequence[str]:
        """Which reads no index serves, each with the index to create, one line each."""
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...


class Canceller(Protocol):
    """EE2's scheduler, as far as it can be asked."""

    async def cancel(self, job: Stuck) -> str:
        """Ask it to cancel, within a bounded time; returns what it said, for the evidence.

        Only success returns. Raises ``Unavailable`` or ``Rejected``.
        """
        ...


class Ee2Journal(Protocol):
    """What the passes tell people and machines; see ``Journal``."""

    def said(self, event: str, **facts: object) -> None:
        """Anything worth one line."""
        ...

    def trouble(self, where: str, error: BaseException, **facts: object) -> None:
        """Something is unavailable: nothing was decided."""
        ...

    def repaired(self, step: str, n: int) -> None:
        """The repair pass redid a step of that many lifecycles."""
        ...

    def reaped(self, state: str) -> None:
        """A job that was stuck in this state was ended."""
        ...

    def gauge(self, name: str, value: float, batch: str = "") -> None:
        """The present value of one of the contract's gauges."""
        ...

    def passed(self, kind: str, result: str, seconds: float, steps: int) -> None:
        """A pass ended."""
        ...
