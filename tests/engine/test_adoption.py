"""A batch that others run already is held, looked at, taken over, and never started twice (S11)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from controller import intake, requests
from controller.adopting import ask_to_adopt
from controller.core.explain import Explanation, explain_batch, explain_job
from controller.core.model import BatchStatus, Hold, Origin, Result, Status, TerminatedCode, Verdict
from controller.core.view import UNLIMITED, View
from controller.daemon import Daemon
from controller.looking import Scene, look
from controller.requests import Refused
from tests.engine.acting import asked_digests, drop
from tests.engine.leftovers import FAILS, ME, NEVER_ENDS, adopt, leave, leftovers, still_theirs
from tests.fakes.memory_objects import End
from tests.simulation.faults import Fault
from tests.simulation.people import spec_of
from tests.simulation.scenario import BatchPlan
from tests.simulation.stage import Stage, perform


def test_a_new_batch_is_looked_at_first() -> None:
    """Its gate is born held; with nothing under its names one pass opens it and starts it."""

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        await stage.drop(2, 2)
        assert stage.gate.held_for(Hold.LOOKING)
        assert not stage.gate.open
        await daemon.full_pass()
        assert stage.gate.hold == ""
        assert stage.batch.status is BatchStatus.RUNNING
        await stage.until_over(daemon)
        assert stage.batch.result is Result.COMPLETED

    perform(trace)


def test_a_batch_that_cannot_be_looked_at_starts_nothing() -> None:
    """While the look fails the batch waits; a list that succeeds does not open its gate."""

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        await stage.drop(1, 1)
        stage.script.lines += [("find", Fault.FAILED)] * 3
        for _ in range(3):
            await daemon.full_pass()
            assert stage.gate.held_for(Hold.LOOKING)
            assert stage.job("scan-t0").status is Status.WAITING
        await stage.until_over(daemon)
        assert stage.batch.result is Result.COMPLETED

    perform(trace)


@pytest.mark.parametrize("active", [True, False])
def test_a_name_that_others_took_holds_the_batch(active: bool) -> None:
    """One object under one name, running or long ended: nothing starts, and the hold says what would."""

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        uid = leave(stage, "scan-t1", active=active)
        await stage.drop(3, 3)
        await stage.passes(daemon, 30)
        assert {job.status for job in stage.world.records()} == {Status.WAITING}
        assert stage.batch.status is BatchStatus.HELD
        assert stage.gate.hold.startswith("adoption-needed: 1 job under its names is not ours")
        assert "'batchkeeper adopt scan', or adopt: true" in stage.batch.reason
        still_theirs(stage, {"scan-t1": uid})

    perform(trace)


def test_only_first_attempts_names_hold_a_batch() -> None:
    """A retry's name, a longer one, another batch's: they count as foreign, and the batch starts."""

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        for name in ("scan-t0-r1", "scan-t00", "scan-iron-t0", "scan"):
            leave(stage, name, End(0.0, 20.0))
        await stage.drop(2, 2)
        await daemon.full_pass()
        assert stage.gate.hold == ""
        assert len(stage.gate.foreign) == 3
        await stage.until_over(daemon)

    perform(trace)


def test_everything_is_taken_over() -> None:
    """Ended ones get their verdict, failed ones their retry, active ones a place; the rest is submitted."""

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        uids = leftovers(stage)
        await stage.drop(6, 2)
        await daemon.full_pass()
        assert stage.gate.held_for(Hold.ADOPTION_NEEDED)
        await adopt(stage)
        await daemon.full_pass()
        found = {name: stage.job(name) for name in uids if name in stage.names()}
        assert {name: job.status for name, job in found.items()} == {
            "scan-t0": Status.COMPLETED,
            "scan-t1": Status.ERROR,
            "scan-t2": Status.RUNNING,
            "scan-t3": Status.QUEUED,
        }
        assert all(
            job.origin is Origin.ADOPTED and job.scheduler_id == uids[job.name] for job in found.values()
        )
        assert found["scan-t2"].kind == "TrainingWorkload"
        assert {job.scheduler_type for job in found.values()} == {"memory"}
        assert (found["scan-t1"].verdict, found["scan-t1"].exit_code) == (Verdict.MOUNT_FAILURE, 2)
        assert found["scan-t1"].evidence.log_tail == "no data"
        assert stage.job("scan-t1-r1").origin is Origin.AUTO
        assert {holder.uid for holder in stage.gate.holders} == {uids["scan-t2"], uids["scan-t3"]}
        assert {foreign.name for foreign in stage.gate.foreign} == {"scan-t0-test"}
        assert stage.gate.hold == ""
        await stage.passes(daemon, 20)
        assert {job.name for job in stage.world.records() if job.status.active} == {"scan-t2", "scan-t3"}
        stage.world.cluster.finish_foreign("lab", "scan-t0-test")
        await stage.until_over(daemon)
        assert stage.batch.result is Result.COMPLETED
        assert {name for name in stage.names() if name.endswith("-r1")} == {"scan-t1-r1"}
        assert stage.job("scan-t3").running
        assert stage.job("scan-t1-r1").scheduler_type == "memory"
        still_theirs(stage, uids)

    perform(trace)


def test_adopt_in_the_spec_is_the_order() -> None:
    """With adopt: true the batch is never held for a person; it may also be added to the file later."""

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        leave(stage, "scan-t0", End(), active=False)
        spec = spec_of(BatchPlan("scan", 2, 1), stage.world.scenario)
        asked = replace(spec, adopt=True, document={**spec.document, "adopt": True}, hash="with adopt")
        await intake.accept(stage.world.store, asked, source="scan.yaml")
        await stage.until_over(daemon)
        assert stage.job("scan-t0").origin is Origin.ADOPTED
        leave(stage, "leaf-t0", End(), active=False)
        await drop(stage, "leaf", 2, 1)
        await daemon.full_pass()
        leaf = spec_of(BatchPlan("leaf", 2, 1), stage.world.scenario)
        later = replace(leaf, adopt=True, document={**leaf.document, "adopt": True}, hash="with adopt")
        taken = await intake.accept(stage.world.store, later, source="leaf.yaml")
        assert taken.outcome is intake.Outcome.CHANGED
        await daemon.full_pass()
        assert stage.job("leaf-t0").status is Status.COMPLETED
        await stage.passes(daemon, 60)
        stage.world.recorder.catch_up()
        stage.world.oracle.finish()

    perform(trace)


def test_asked_again_it_changes_nothing() -> None:
    """While it is under way, after it, and of a batch that has nothing to take over: one sentence each."""

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        leave(stage, "scan-t0", End(), active=False)
        await stage.drop(2, 1)
        await daemon.full_pass()
        held = stage.gate
        assert "in the next pass" in await ask_to_adopt(stage.people, ME, stage.batch, dry_run=True)
        assert stage.gate == held
        await adopt(stage)
        assert "already" in await adopt(stage)
        await daemon.full_pass()
        before = stage.world.records()
        assert "nothing to take over" in await adopt(stage)
        assert stage.world.records() == before
        await stage.until_over(daemon)
        with pytest.raises(Refused, match="has ended"):
            await adopt(stage)

    perform(trace)


def test_what_vanished_before_the_order_is_submitted() -> None:
    """Somebody removed the leftovers by hand; adopt then finds nothing, opens the gate, and all start."""

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        leave(stage, "scan-t0", active=False)
        await stage.drop(2, 2)
        await daemon.full_pass()
        stage.world.cluster.remove_foreign("lab", "scan-t0")
        await adopt(stage)
        await stage.until_over(daemon)
        assert {job.origin for job in stage.world.records()} == {Origin.SPEC}
        assert stage.batch.result is Result.COMPLETED

    perform(trace)


def test_resume_does_not_lift_it() -> None:
    """Only a look and a take-over do: resume is refused, and on a fresh batch leaves the look to be made."""

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        leave(stage, "scan-t0", active=False)
        await stage.drop(2, 2)
        await requests.resume(stage.people, ME, stage.batch)
        assert stage.gate.held_for(Hold.LOOKING)
        await daemon.full_pass()
        with pytest.raises(Refused, match="batchkeeper adopt scan"):
            await requests.resume(stage.people, ME, stage.batch)
        assert stage.gate.held_for(Hold.ADOPTION_NEEDED)

    perform(trace)


def test_running_ones_above_the_maximum_let_nothing_start() -> None:
    """Three run, one is allowed: all three hold places, and ours start only once the sum is below."""

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        for n, seconds in enumerate((30.0, 60.0, 90.0)):
            leave(stage, f"scan-t{n}", End(0.0, seconds))
        await stage.drop(4, 1)
        await daemon.full_pass()
        await adopt(stage)
        while stage.world.loop.time() < 80:
            await stage.passes(daemon, 1)
            assert stage.job("scan-t3").status is Status.WAITING
        assert stage.gate.foreign == ()
        await stage.until_over(daemon)
        assert stage.batch.result is Result.COMPLETED

    perform(trace)


def test_a_failure_of_a_running_one_is_retried_as_ours() -> None:
    """Its end is judged once it is seen live, and attempt 1 starts under its own name."""

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        uids = {"scan-t0": leave(stage, "scan-t0", replace(FAILS, runs=20.0))}
        await stage.drop(1, 1)
        await daemon.full_pass()
        await adopt(stage)
        await stage.until_over(daemon)
        assert stage.job("scan-t0").verdict is Verdict.MOUNT_FAILURE
        assert stage.job("scan-t0-r1").status is Status.COMPLETED
        still_theirs(stage, uids)

    perform(trace)


def test_one_that_vanishes_is_lost_and_retried() -> None:
    """Its uid is gone: lost, from a live look; so is one that was replaced under its name."""

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        leave(stage, "scan-t0", NEVER_ENDS)
        leave(stage, "scan-t1", NEVER_ENDS)
        await stage.drop(2, 2)
        await daemon.full_pass()
        await adopt(stage)
        await daemon.full_pass()
        stage.world.cluster.remove_foreign("lab", "scan-t0")
        stage.world.cluster.remove_foreign("lab", "scan-t1")
        other = leave(stage, "scan-t1", End(0.0, 200.0))
        await daemon.full_pass()
        assert [stage.job(name).verdict for name in ("scan-t0", "scan-t1")] == [Verdict.LOST] * 2
        assert {foreign.uid for foreign in stage.gate.foreign} == {other}
        await stage.until_over(daemon)
        assert stage.batch.result is Result.COMPLETED
        still_theirs(stage, {"scan-t1": other})

    perform(trace)


def test_a_cancel_leaves_it_to_whoever_started_it() -> None:
    """One job: refused, with a sentence. The batch: ours stop, theirs run on, and the batch waits."""

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        uids = {"scan-t0": leave(stage, "scan-t0", End(0.0, 100.0))}
        await stage.drop(3, 2)
        await daemon.full_pass()
        await adopt(stage)
        await stage.passes(daemon, 2)
        (answer,) = await requests.cancel_jobs(stage.people, ME, [stage.job("scan-t0").id], "enough")
        assert "whoever started it must stop it" in answer.error
        await requests.cancel_batch(stage.people, ME, stage.batch, "enough")
        await stage.passes(daemon, 40)
        assert {job.name for job in stage.world.records() if job.status.active} == {"scan-t0"}
        assert stage.job("scan-t0").stop is None
        await stage.until_over(daemon)
        assert stage.batch.status is BatchStatus.CANCELLED
        assert stage.job("scan-t0").status is Status.COMPLETED
        assert stage.job("scan-t1").terminated_code in (None, TerminatedCode.BATCH_ABORT)
        still_theirs(stage, uids)

    perform(trace)


def test_what_others_failed_holds_nothing() -> None:
    """Twelve leftovers with one verdict tell nothing about what ours will do: no systemic failure."""

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        for n in range(12):
            leave(stage, f"scan-t{n}", FAILS, active=False)
        await stage.drop(12, 4)
        await daemon.full_pass()
        await adopt(stage)
        await stage.until_over(daemon)
        assert stage.batch.result is Result.COMPLETED

    perform(trace)


def test_a_retry_of_what_others_failed_runs_the_image_of_the_spec() -> None:
    """It was pinned to the digest that theirs had run: of an older tag, or of no image under that name."""

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        theirs = replace(FAILS, image_digest="sha256:theirs")
        leave(stage, "scan-t0", theirs, active=False)
        stage.ends |= {"scan-t0-r1": replace(FAILS, image_digest="sha256:ours")}
        await stage.drop(1, 1)
        await daemon.full_pass()
        await adopt(stage)
        asked = asked_digests(stage)
        await stage.until_over(daemon)
        digests = [stage.job(f"scan-t0{retry}").image_digest for retry in ("", "-r1", "-r2")]
        assert digests == ["sha256:theirs", "sha256:ours", "sha256:ours"]
        assert asked == ["", "sha256:ours"], "what ran under the spec's own name for it"

    perform(trace)


def test_it_is_explained() -> None:
    """Held, and taken over: what it waits for, and who ends it."""

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        leave(stage, "scan-t0", NEVER_ENDS)
        await stage.drop(2, 1)
        assert "the next pass does" in (await _why(stage, daemon)).sentence
        await daemon.full_pass()
        held = (await _why(stage, daemon)).sentence
        assert "1 job under its names is not ours" in held
        assert "resume" not in held
        await adopt(stage)
        assert "as local:" in (await _why(stage, daemon)).sentence
        await daemon.full_pass()
        job = stage.job("scan-t0")
        answer = explain_job(await _view(stage, daemon), job, [job])
        assert (answer.cause, "followed by its uid" in answer.sentence) == ("adopted", True)

    perform(trace)


async def _view(stage: Stage, daemon: Daemon) -> View:
    seen = await daemon.engine.cluster.observe(["lab"])
    daemon.engine.seen = seen
    scene = Scene(await daemon.engine.store.halts(), daemon.engine.settings.life, {}, seen)
    return await look(daemon.engine, stage.batch, stage.gate, scene, UNLIMITED)


async def _why(stage: Stage, daemon: Daemon) -> Explanation:
    return explain_batch(await _view(stage, daemon))
