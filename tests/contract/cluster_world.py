"""What the cluster suite needs of each cluster: jobs that do something, and hands that do what others do."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from enum import Enum, auto

from controller.adapters.local_history import Entry
from controller.core.sight import ClusterJob
from controller.ports import Cluster, NewJob

NS = "runai-talmo-lab"
LONG = timedelta(hours=1)


class Does(Enum):
    """What a job of the suite does."""

    SUCCEED = auto()
    """Writes ``first`` and ``last``, a line each, and exits 0."""
    FAIL = auto()
    """Exits 3."""
    STAY = auto()
    """Runs for ever, ends at SIGTERM."""
    IGNORE = auto()
    """Runs for ever and ignores SIGTERM: the grace, about a second, passes before it is gone."""


class World(ABC):
    """A cluster, and hands that do what others do to it."""

    cluster: Cluster
    namespace: str = NS
    foreign_kind: str = ""
    """The kind of what ``add_foreign`` makes; a cluster with one kind only asks for none."""

    @abstractmethod
    def job(self, name: str, does: Does, job_id: str = "") -> NewJob:
        """A job that can be created; its job id is made from its name unless given."""

    @abstractmethod
    async def pass_time(self) -> None:
        """Let a tenth of a second or less pass."""

    @abstractmethod
    def add_foreign(self, name: str) -> str:
        """Let somebody else create an object that runs; its uid."""

    @abstractmethod
    def remove_foreign(self, name: str) -> None:
        """Let it vanish."""

    @abstractmethod
    def history(self) -> Sequence[Entry]:
        """Everything that happened, in order."""

    async def until(self, check: Callable[[], Awaitable[bool]], tries: int = 200) -> None:
        """Let time pass until it is so."""
        for _ in range(tries):
            if await check():
                return
            await self.pass_time()
        raise AssertionError("it never came to be")

    async def shown(self, job: NewJob) -> ClusterJob | None:
        """The object of this job, asked live."""
        return (await self.cluster.get(job.namespace, job.name, job.job_id)).job

    async def started(self, job: NewJob) -> ClusterJob:
        """The object once its container has run."""
        return await self._once(job, lambda shown: shown.started)

    async def finished(self, job: NewJob) -> ClusterJob:
        """The object once it has finished."""
        return await self._once(job, lambda shown: shown.finished)

    async def gone(self, job: NewJob) -> None:
        """Wait until there is no object under the name."""

        async def check() -> bool:
            return await self.shown(job) is None

        await self.until(check)

    async def _once(self, job: NewJob, so: Callable[[ClusterJob], bool]) -> ClusterJob:
        found: list[ClusterJob] = []

        async def check() -> bool:
            shown = await self.shown(job)
            found[:] = [shown] if shown and so(shown) else []
            return bool(found)

        await self.until(check)
        return found[0]

    def kinds(self, job: NewJob) -> list[str]:
        """What happened to the objects of this job's name."""
        return [entry.kind for entry in self.history() if entry.name == job.name]
