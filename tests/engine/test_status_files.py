"""What is told beside a spec stays true: also after its batch's end, and once the file is gone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

from controller import requests
from controller.core.explain import explain_batch
from controller.core.model import Attempt, Batch, Gate
from controller.core.sharing import Limits
from controller.core.view import UNLIMITED, View
from controller.daemon import Daemon
from controller.looking import look
from controller.parts import Parts, cheap_view
from controller.ports import SpecFile
from controller.requests import Caller
from controller.spec_pass import Reading, SpecPass
from controller.surroundings import scene_of
from tests.engine.acting import batch_named, drop, gate_of
from tests.engine.leftovers import NEVER_ENDS, leave
from tests.fakes.memory_objects import End
from tests.fakes.memory_source import MemorySource
from tests.simulation.faults import Fault
from tests.simulation.people import OWNER, spec_of
from tests.simulation.scenario import BatchPlan
from tests.simulation.stage import Stage, perform


def _specs(stage: Stage, engine: Any, source: MemorySource) -> SpecPass:
    """A spec pass whose reader knows one good spec, ``scan.yaml``; every other is refused.

    Where its content is ``csv`` it names a file.
    """

    async def read(file: SpecFile) -> Reading:
        if file.key != "scan.yaml" or file.content == b"broken":
            return Reading(None, ("no",))
        names = ("traits.csv",) if file.content == b"csv" else ()
        return Reading(spec_of(BatchPlan("scan", 1, 1), stage.world.scenario), names_files=names)

    async def view_of(batch: Batch, gate: Gate) -> View:
        life = engine.settings.life
        return View(batch, gate, engine.now(), life, foreign=())

    return SpecPass(engine, source, read, view_of)


async def _ended(stage: Stage) -> tuple[Daemon, MemorySource, SpecPass]:
    """A leader, and ``scan.yaml``, whose batch has ended and was told."""
    daemon, source = await stage.leader(), MemorySource()
    specs = _specs(stage, daemon.engine, source)
    source.drop("scan.yaml", b"spec")
    for _ in range(2):
        await specs.scan()
    stage.world.recorder.catch_up()
    await stage.passes(daemon, 20)
    await specs.tell_all()
    return daemon, source, specs


def test_a_batch_that_a_retry_reopens_is_told_again() -> None:
    """The file said 'finished' for ever, while its batch ran again."""

    async def trace(stage: Stage) -> None:
        daemon, source, specs = await _ended(stage)
        before = str(source.status("scan.yaml"))
        assert "finished" in before
        assert not specs._last, "what it looked like is kept of no batch that has ended"
        await requests.retry(stage.people, Caller(OWNER), [stage.job("scan-t0").id])
        await specs.tell_all()
        assert "finished" not in str(source.status("scan.yaml"))
        await stage.until_over(daemon)

    perform(trace, ends={"scan-t0": End(0.0, 1.0, 1)})


def test_a_batch_that_ends_again_before_anybody_looks_is_told_again() -> None:
    """A retry took less time than passes between two looks: the file said 'failed' for ever."""

    async def trace(stage: Stage) -> None:
        daemon, source, specs = await _ended(stage)
        assert "failed" in str(source.status("scan.yaml"))
        await stage.retry("scan-t0")
        await stage.until_over(daemon)
        await specs.tell_all()
        assert "'result': 'completed'" in str(source.status("scan.yaml"))

    perform(trace, ends={"scan-t0": End(0.0, 1.0, 1)})


def test_a_refused_spec_that_is_deleted_is_refused_no_more() -> None:
    """The quarantine listed a file that nobody could find, and the gauge counted it."""

    async def trace(stage: Stage) -> None:
        daemon, source = await stage.leader(), MemorySource()
        specs = _specs(stage, daemon.engine, source)
        source.drop("bad.yaml", b"x")
        for _ in range(2):
            await specs.scan()
        assert await stage.world.store.quarantine() == {"bad.yaml": ("no",)}
        source.remove("bad.yaml")
        await specs.scan()
        assert await stage.world.store.quarantine() == {}
        assert not specs.refused

    perform(trace)


def test_what_was_refused_before_a_restart_is_refused_no_more_once_it_is_mended_or_gone() -> None:
    """Who began to lead knew nothing of it: the quarantine listed good files, and files that were gone."""

    async def trace(stage: Stage) -> None:
        await stage.world.store.set_quarantine("scan.yaml", ("no",))
        await stage.world.store.set_quarantine("gone.yaml", ("no",))
        await stage.world.store.set_quarantine("s3://specs/other.yaml", ("another store's",))
        daemon, source = await stage.leader(), MemorySource()
        specs = _specs(stage, daemon.engine, source)
        source.drop("scan.yaml", b"spec")
        for _ in range(2):
            await specs.scan()
        stage.world.recorder.catch_up()
        assert await stage.world.store.quarantine() == {"s3://specs/other.yaml": ("another store's",)}
        assert not specs.refused
        await stage.until_over(daemon)

    perform(trace)


def test_a_spec_that_is_gone_before_it_could_be_taken_in_starts_nothing() -> None:
    """The store was away, and somebody who took the file back meanwhile got its batch all the same."""

    async def trace(stage: Stage) -> None:
        daemon, source = await stage.leader(), MemorySource()
        specs = _specs(stage, daemon.engine, source)
        source.drop("scan.yaml", b"spec")
        stage.script.lines.append(("batch_named", Fault.FAILED))
        for _ in range(2):
            await specs.scan()
        assert not stage.script.lines, "it was about to be taken in"
        source.remove("scan.yaml")
        await specs.scan()
        assert not stage.world.store._batches

    perform(trace)


def test_a_pass_that_fails_is_said_to_have_failed() -> None:
    """A pass that broke was counted as a good one, and the daemon called itself ready."""

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()

        async def broken() -> Any:
            raise RuntimeError("bent")

        daemon.after_pass = broken
        try:
            await daemon.full_pass()
        except RuntimeError:
            assert "bent" in daemon.trouble
        else:
            raise AssertionError("it must not be swallowed")

    perform(trace)


def test_a_running_batch_whose_file_breaks_is_told_with_what_is_wrong() -> None:
    """A slip of the keyboard: the file said that nothing was started, after a restart for ever."""

    async def trace(stage: Stage) -> None:
        daemon, source = await stage.leader(), MemorySource()
        specs = _specs(stage, daemon.engine, source)
        source.drop("scan.yaml", b"spec")
        for _ in range(2):
            await specs.scan()
        stage.world.recorder.catch_up()
        source.drop("scan.yaml", b"broken")
        for restarted in (False, True):
            if restarted:
                source.restart()
                specs = _specs(stage, daemon.engine, source)
            for _ in range(2):
                await specs.scan()
            status = source.status("scan.yaml")
            assert status is not None
            assert (status["refused"], status["tasks"]["total"]) == (["no"], 1)
        await stage.until_over(daemon)

    perform(trace)


def test_after_a_restart_a_batch_with_a_csv_is_not_told_as_one_that_is_read() -> None:
    """Each start overwrote what stood beside its spec, as if it were not taken in; Events were repeated."""

    async def trace(stage: Stage) -> None:
        daemon, source = await stage.leader(), MemorySource()
        source.drop("scan.yaml", b"csv")
        source.drop("traits.csv", b"id")
        for _ in range(2):
            specs = _specs(stage, daemon.engine, source)
            source.restart()
            for _ in range(4):
                await specs.scan()
            stage.world.recorder.catch_up()
        assert len(await stage.world.store.batches()) == 1
        assert {status["state"] for _, status in source.told} <= {"expanding", "running"}
        await stage.until_over(daemon)

    perform(trace)


def test_a_csv_that_is_still_being_copied_is_said_to_be_waited_for() -> None:
    """Once it takes longer than two looks."""

    async def trace(stage: Stage) -> None:
        daemon, source = await stage.leader(), MemorySource()
        specs = _specs(stage, daemon.engine, source)
        source.drop("scan.yaml", b"csv")
        for size in range(5):
            source.drop("traits.csv", b"x" * size)
            await specs.scan()
        status = source.status("scan.yaml")
        assert status is not None
        assert (status["state"], status["waits"]) == ("reading", ["traits.csv"])
        for _ in range(2):
            await specs.scan()
        stage.world.recorder.catch_up()
        await stage.until_over(daemon)

    perform(trace)


def test_a_refusal_is_of_the_content_that_was_read_here() -> None:
    """What was refused before, by another process or of an older content, says nothing of what lies there."""

    async def trace(stage: Stage) -> None:
        await stage.world.store.set_quarantine("scan.yaml", ("an old one",))
        daemon, source = await stage.leader(), MemorySource()
        specs = _specs(stage, daemon.engine, source)
        source.drop("scan.yaml", b"broken")
        source.drop("bad.yaml", b"x")
        await specs.scan()
        assert specs.refused == {"scan.yaml": ("an old one",)}
        assert specs.refusal("scan.yaml", b"broken") == ()
        await specs.scan()
        assert specs.refusal("scan.yaml", b"broken") == ("no",)
        assert specs.refusal("scan.yaml", b"spec") == ()
        source.spoil("bad.yaml", "permission denied")
        for _ in range(2):
            await specs.scan()
        assert specs.refusal("bad.yaml", b"y") == ("no",), "nobody knows what is in it"
        source.drop("scan.yaml", b"spec")
        source.remove("bad.yaml")
        for _ in range(2):
            await specs.scan()
        assert [specs.refusal(*one) for one in (("scan.yaml", b"broken"), ("bad.yaml", b"y"))] == [(), ()]
        stage.world.recorder.catch_up()
        await stage.until_over(daemon)

    perform(trace)


def test_a_spec_that_names_no_file_any_more_waits_for_none() -> None:
    """The file that it named before went on changing, and every later change of the spec waited for it."""

    async def trace(stage: Stage) -> None:
        daemon, source = await stage.leader(), MemorySource()
        specs = _specs(stage, daemon.engine, source)
        source.drop("scan.yaml", b"csv")
        source.drop("traits.csv", b"id")
        for _ in range(4):
            await specs.scan()
        stage.world.recorder.catch_up()
        source.drop("scan.yaml", b"spec")
        for _ in range(2):
            await specs.scan()
        source.drop("scan.yaml", b"broken")
        for size in range(3):
            source.drop("traits.csv", b"x" * size)
            await specs.scan()
        assert "no" in str(source.status("scan.yaml"))
        assert specs.refused
        await stage.until_over(daemon)

    perform(trace)


async def _beside(stage: Stage, daemon: Daemon, name: str) -> str:
    """Why the batch waits, as a status file says it."""
    parts, batch = cast(Parts, SimpleNamespace(engine=daemon.engine)), batch_named(stage, name)
    return explain_batch(await cheap_view(parts, batch, gate_of(stage, batch))).sentence


def test_an_operators_limit_is_told_beside_the_spec() -> None:
    """The file said for days that jobs start in the next pass, while a limit over all batches let none."""

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        daemon.engine.settings = replace(daemon.engine.settings, limits=Limits(total=1))
        await drop(stage, "scan", 1, 1)
        await daemon.full_pass()
        await drop(stage, "leaf", 3, 2)
        await daemon.full_pass()
        await daemon.full_pass()
        said = await _beside(stage, daemon, "leaf")
        assert "1 of at most 1 active jobs in all batches" in said
        await stage.until_over(daemon)

    perform(trace)


def test_what_is_under_a_longer_prefix_takes_no_place_beside_the_spec() -> None:
    """Others' jobs under the names of ``scan-leaf`` made the file of ``scan`` say that it is full."""

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        await drop(stage, "scan", 2, 1)
        await drop(stage, "scan-leaf", 1, 2)
        leave(stage, "scan-leaf-old", NEVER_ENDS)
        await daemon.full_pass()
        stage.set_gate(max=2)
        assert "more may start" in await _beside(stage, daemon, "scan")
        stage.world.cluster.remove_foreign("lab", "scan-leaf-old")
        await stage.until_over(daemon)

    perform(trace)


def test_a_view_beside_a_pass_brings_it_nothing_older_than_its_own_writes() -> None:
    """What both read is remembered in the pass; a read that was late took the place of what was written."""

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        engine, read = daemon.engine, stage.world.store.jobs
        batch = await drop(stage, "scan", 1, 1)
        await daemon.full_pass()
        job = stage.job("scan-t0")
        written = replace(job, node="written-meanwhile")
        engine.known[batch.id] = {}

        async def late(ids: Iterable[str]) -> Sequence[Attempt]:
            found = await read(ids)
            engine.known[batch.id][job.id] = written
            return found

        engine.store.jobs = late  # type: ignore[assignment,method-assign]
        scene = await scene_of(engine, [batch])
        view = await look(engine, batch, gate_of(stage, batch), scene, UNLIMITED)
        assert view.holders == (written,)
        assert engine.known[batch.id] == {job.id: written}

    perform(trace, ends={"scan-t0": NEVER_ENDS})
