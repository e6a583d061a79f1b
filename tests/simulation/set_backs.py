"""The database set back to a copy from before some claims: what they started runs on as orphans (R13).

The part of it that the lifecycle does not model: records that wait again although their objects are there.
Of one batch the newest claims are forgotten, in the records and in the gate, while everything else stays as
it is; that is what a copy of no one instant may hold as well. Or its gate is from before the batch: there is
none. Nobody of ours runs while that is done.
"""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from controller.core.model import Attempt, BatchStatus, Status
from tests.simulation.replica import Replica
from tests.simulation.world import World

SET_BACK = "the database is set back"
WITHOUT_GATE = 0.5
"""The share of them in which the batch's gate is lost as a whole."""


class SetBacks:
    """Does it at drawn instants; hands take away at the healing what would run for ever."""

    def __init__(self, world: World, replicas: Sequence[Replica]) -> None:
        self.world = world
        self.replicas = replicas
        self.rng = random.Random(f"{world.scenario.seed} set back")
        self.lost = random.Random(f"{world.scenario.seed} lost gates")
        self._forgotten: set[str] = set()
        """Job ids."""

    async def strike(self) -> None:
        """One after the other."""
        scenario = self.world.scenario
        instants = sorted(self.rng.uniform(10, scenario.duration) for _ in range(scenario.set_backs))
        for instant in instants:
            await asyncio.sleep(max(0.0, instant - self.world.loop.time()))
            lost = self._newest_claims()
            if lost and self.world.faults.note(SET_BACK, f"{len(lost)} claims"):
                self._forget(lost)

    def heal(self) -> None:
        """Only somebody with hands ends what never ends and nobody knows of."""
        for job in self._started():
            if job.id in self._forgotten and job.status is Status.WAITING:
                self.world.recorder.deleted_by_hand(job.namespace, job.name)
                self.world.cluster.delete_by_hand(job.namespace, job.name)

    def _started(self) -> list[Attempt]:
        """Whose object is there and lives."""
        there = {(space, name): job_id for space, name, job_id in self.world.objects()}
        live = {thing.job_id for thing in self.world.oracle.state.live.values()}
        jobs = self.world.records()
        return [job for job in jobs if job.id in live and there.get((job.namespace, job.name)) == job.id]

    def _newest_claims(self) -> list[Attempt]:
        """Of a batch that is drawn, the newest claims whose creates were answered, as many as are drawn."""
        self.world.recorder.catch_up()
        by_batch: dict[str, list[Attempt]] = defaultdict(list)
        for job in self._started():
            answered = job.status in (Status.QUEUED, Status.RUNNING) and not job.open_creates
            has_gate = job.batch_id in self.world.store._gates  # no other set-back has taken it
            if answered and has_gate and not job.stop and not job.kind:
                by_batch[job.batch_id].append(job)
        if not by_batch:
            return []
        claims = sorted(self.rng.choice(list(by_batch.values())), key=lambda job: (job.created, job.id))
        return claims[-self.rng.randint(1, len(claims)) :]

    def _forget(self, lost: Sequence[Attempt]) -> None:
        """Records and gate as they were before; the judge is told, and our processes are started anew."""
        world, ids = self.world, {job.id for job in lost}
        for replica in self.replicas:
            replica.process.kill()
        store, waited = world.store, dict[str, Attempt]()
        for write in store.oplog:
            if write.collection == "jobs" and write.id in ids and write.after.status is Status.WAITING:
                waited[write.id] = write.after
        for job in waited.values():
            store._attempts.put(job)
        gate = store._gates.pop(lost[0].batch_id)
        gate = replace(gate, holders=tuple(holder for holder in gate.holders if holder.job not in ids))
        recorded = store._batches[gate.batch_id].status is not BatchStatus.EXPANDING
        without = self.lost.random() < WITHOUT_GATE and recorded
        if not without:
            store._gates[gate.batch_id] = gate
        self._forgotten |= ids
        world.oracle.state.set_back(waited.values(), gate, world.clock.now(), without_gate=without)
