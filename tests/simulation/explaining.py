"""Asks ``explain`` about everything, at any instant: an empty or unknown answer is a failure (O5b)."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, TypeVar, cast

from controller.allowance import allowance_of
from controller.core.explain import Explanation, explain_batch, explain_job
from controller.core.model import Batch, Counts
from controller.engine import Engine, EngineSettings
from controller.looking import Scene, line_of, look
from controller.ports import Cluster, Journal, Store
from tests.fakes.memory_cluster import MemoryCluster
from tests.fakes.memory_store import MemoryStore
from tests.simulation.process import TrueClock
from tests.simulation.telling import crashed

_T = TypeVar("_T")


def drive(work: Coroutine[Any, Any, _T]) -> _T:
    """Run a coroutine that never waits, here and now."""
    try:
        work.send(None)
    except StopIteration as done:
        return cast(_T, done.value)
    work.close()
    raise AssertionError("it waits for something")


READS = frozenset(
    {"batch", "batches", "batches_with", "batches_with_live_jobs", "blind_gaps", "chain", "chains", "gates"}
    | {"halts", "has", "jobs", "next_due", "now", "recorded", "waiting", "waiting_for_end"}
    | {"active", "quarantined"}
)
"""Calls of the store that write nothing."""


class ReadOnly:
    """The store, of which nothing is asked but what reads; anything else is an error."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        assert name in READS, f"who merely looks asks the store for {name}"
        return getattr(self._store, name)

    async def recount(self, batch_id: str, *, keep: bool = True) -> Counts:
        """Count, and store nothing."""
        assert not keep, "who merely looks stores what it has counted"
        return await self._store.recount(batch_id, keep=False)


class Explainer:
    """Asks through ports without faults; what is wrong with an answer goes to ``trouble``."""

    def __init__(
        self,
        store: MemoryStore,
        cluster: MemoryCluster,
        clock: TrueClock,
        settings: EngineSettings,
        trouble: list[str],
    ) -> None:
        self.asked = 0
        self._store = store
        self._cluster = cluster
        self._trouble = trouble
        self._engine = Engine(
            cast(Cluster, cluster),
            cast(Store, ReadOnly(store)),
            clock,
            cast(Journal, None),
            settings,
            jitter=lambda _: 0.0,
            new_token=lambda: "",
        )

    def ask(self) -> None:
        """Ask about every batch and every attempt, as things stand; an error is trouble too."""
        try:
            drive(self._ask())
        except Exception as error:  # noqa: BLE001 -- whatever it is, it is what the test looks for
            self._trouble.append(crashed("explain", error))

    async def _ask(self) -> None:
        batches = await self._store.batches()
        self._engine.seen = self._cluster.snapshot(sorted({batch.namespace for batch in batches}))
        open_names: dict[str, frozenset[str]] = {}
        for batch in batches:
            if not batch.status.closed:
                names = open_names.get(batch.namespace, frozenset())
                open_names[batch.namespace] = names | {batch.name}
        for batch in batches:
            await self._about(batch, open_names)

    async def _about(self, batch: Batch, prefixes: dict[str, frozenset[str]]) -> None:
        engine, store = self._engine, self._store
        gate = (await store.gates([batch.id])).get(batch.id)
        if gate is None:
            return
        scene = Scene(await store.halts(), engine.settings.life, prefixes, engine.seen)
        view = await look(engine, batch, gate, scene, await allowance_of(engine, batch, gate))
        self._check(batch.name, explain_batch(view, await line_of(engine, view)))
        for job in store._attempts.of_batch(batch.id):
            chain = await store.chain(batch.id, job.task_id)
            self._check(job.name, explain_job(view, job, chain))

    def _check(self, name: str, answer: Explanation) -> None:
        self.asked += 1
        if not answer.cause or not answer.sentence or answer.cause == "none" or name not in answer.sentence:
            self._trouble.append(f"explain {name}: {answer}")
