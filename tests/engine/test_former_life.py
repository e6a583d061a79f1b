"""What a database that was lost left in the cluster: nobody's attempts, ours by its labels alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from controller import intake, surroundings
from controller.core.model import ForeignKind
from controller.core.sight import Adoptable, ClusterJob, ForeignObject, Observation, Stray
from controller.daemon import Daemon
from controller.explaining import explanation_of_job
from controller.former import nobodys, sorted_out
from controller.ports import NewJob
from controller.surroundings import _look_again
from tests.simulation.people import spec_of
from tests.simulation.scenario import BatchPlan
from tests.simulation.stage import Stage, perform

LEFT = ClusterJob("scan-t1", "lab", "u2", "2" * 24, "f" * 24, task_id="t1", pod_unfinished=True)


def test_a_list_shows_it_as_foreign() -> None:
    """An object whose batch has no record is no attempt: it counts as an orphan while it is active."""

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        await stage.drop(1, 1)
        ours = replace(LEFT, name="scan-t0", uid="u1", job_id="1" * 24, batch_id=stage.batch.id)
        ended = replace(LEFT, uid="u3", job_id="3" * 24, finished=True, pod_unfinished=False)
        jobs = {job.job_id: job for job in (ours, LEFT, ended)}
        seen = await sorted_out(daemon.engine, Observation(1.0, frozenset({"lab"}), {}, jobs))
        assert dict(seen.jobs) == {ours.job_id: ours}
        assert seen.foreign == (
            ForeignObject("scan-t1", "lab", "u2", "Job", active=True, orphan=True),
            ForeignObject("scan-t1", "lab", "u3", "Job", active=False, orphan=True),
        )
        await stage.until_over(daemon)

    perform(trace)


def test_a_batch_that_was_read_is_not_asked_for_again() -> None:
    """A pass that has read its batches costs no further call, and changes nothing of the list."""

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        await stage.drop(1, 1)
        seen = Observation(1.0, frozenset({"lab"}), {}, {LEFT.job_id: LEFT})
        assert await sorted_out(daemon.engine, seen, [LEFT.batch_id]) is seen
        await stage.until_over(daemon)

    perform(trace)


def test_a_pod_whose_job_is_gone_counts_where_no_record_knows_of_it() -> None:
    """An object without a record was deleted by hand before a pass had seen it: its pod ran on, uncounted."""

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        await stage.drop(2, 1)
        await daemon.full_pass()
        runs, waits = stage.job("scan-t0"), stage.job("scan-t1")
        pods = [ForeignObject(f"scan-{n}", "lab", f"u{n}", "Job", orphan=True) for n in range(3)]
        strays = tuple(map(Stray, (runs.id, waits.id, "f" * 24), pods))
        seen = Observation(1.0, frozenset({"lab"}), strays=strays)
        assert (await sorted_out(daemon.engine, seen)).foreign == tuple(pods[1:])
        assert (await sorted_out(daemon.engine, seen, attempts={runs.id})).foreign == tuple(pods[1:])
        assert await sorted_out(daemon.engine, seen, attempts={one.job_id for one in strays}) is seen
        await stage.until_over(daemon)

    perform(trace)


def test_a_place_alone_tells_nothing_of_a_pod() -> None:
    """A record that still waits has a place, as after a crash between the two, and its pod runs: the database
    was set back. A pass counts the pod, and none of a holder that was asked for."""

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        await stage.drop(2, 1)
        await daemon.full_pass()
        runs, waits = stage.job("scan-t0"), stage.job("scan-t1")
        pods = [ForeignObject(f"scan-{n}", "lab", f"u{n}", "Job", orphan=True) for n in range(2)]
        strays = tuple(map(Stray, (runs.id, waits.id), pods))
        engine = daemon.engine

        async def observe(namespaces: Sequence[str]) -> Observation:
            return Observation(engine.clock.monotonic(), frozenset(namespaces), strays=strays)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(engine.cluster, "observe", observe)
            records = {stage.batch.id: [runs, waits]}
            seen, _ = await surroundings.observe(engine, [stage.batch], engine.clock.monotonic(), records)
        assert seen is not None
        assert seen.foreign == (pods[1],)
        await stage.until_over(daemon)

    perform(trace)


def test_a_look_finds_it_as_if_others_had_made_it() -> None:
    """Ours of a recorded batch are left out; what has no record comes without our labels, like others'."""

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        await stage.drop(1, 1)
        ours = replace(LEFT, name="scan-t0", job_id="1" * 24, batch_id=stage.batch.id)
        theirs = replace(LEFT, name="scan-t9", job_id="", batch_id="", task_id="")
        found = [Adoptable("Job", one) for one in (ours, LEFT, theirs)]
        bare = replace(LEFT, job_id="", batch_id="", task_id="")
        assert await nobodys(daemon.engine, found) == [Adoptable("Job", bare), Adoptable("Job", theirs)]
        await stage.until_over(daemon)

    perform(trace)


async def _runs_on(stage: Stage, daemon: Daemon, name: str) -> None:
    """The database was set back to before its claim; the first list after that shows it, and no pass yet."""
    lost, batch = stage.job(name), stage.batch
    stage.world.recorder.orphans.add(lost.id)
    stage.world.cluster.restore(
        NewJob(lost.name, "lab", "scan", batch.id, lost.task_id, 0, lost.id, lost.job_input)
    )
    await _look_again(daemon.engine, batch)


def test_nobody_starts_beside_what_runs_for_a_record_that_waits() -> None:
    """Before the full pass had come to it, news of another object gave the places away (seed 295)."""

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        await stage.drop(3, 2)
        await _runs_on(stage, daemon, "scan-t2")
        another = frozenset({stage.job("scan-t1").id})
        await daemon.batch_pass(stage.batch.id, another)
        assert [thing.cause for thing in stage.gate.foreign] == [ForeignKind.ORPHAN]
        assert [holder.job for holder in stage.gate.holders] == [stage.job("scan-t0").id]
        await daemon.batch_pass(stage.batch.id, another)
        assert len(stage.gate.holders) == 1
        await stage.until_over(daemon)

    perform(trace)


def test_nor_beside_what_runs_for_a_record_that_has_ended() -> None:
    """A ghost, as that was withdrawn meanwhile: it counts and goes, before the places are given away."""

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        await stage.drop(3, 2)
        await _runs_on(stage, daemon, "scan-t2")
        await stage.cancel("scan-t2")
        await daemon.batch_pass(stage.batch.id, frozenset({stage.job("scan-t1").id}))
        assert stage.found("scan-t2") is None
        await stage.until_over(daemon)

    perform(trace)


def test_it_keeps_back_its_own_task_only_whatever_tasks_are_called() -> None:
    """Tasks ``r1`` and ``r2``: their names end like retries' names, so one such job kept back all."""

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        spec = spec_of(BatchPlan("scan", 3, 3), stage.world.scenario)
        tasks = tuple(replace(task, id=f"r{task.index}") for task in spec.tasks)
        await intake.accept(stage.world.store, replace(spec, tasks=tasks), source="scan.yaml")
        await _runs_on(stage, daemon, "scan-r2")
        await daemon.batch_pass(stage.batch.id, None)
        await daemon.batch_pass(stage.batch.id, None)
        held = {holder.job for holder in stage.gate.holders}
        assert held == {stage.job("scan-r0").id, stage.job("scan-r1").id}
        why = await explanation_of_job(daemon.engine, stage.job("scan-r2"))
        assert "job scan-r2 of that task runs" in why.sentence
        await stage.until_over(daemon)

    perform(trace)
