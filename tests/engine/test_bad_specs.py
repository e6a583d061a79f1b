"""All bad specs at once in one folder: nothing is written for them, each is answered, the good one runs."""

from __future__ import annotations

from controller.core.model import Batch, Gate, Result
from controller.core.view import View
from controller.ports import SpecFile
from controller.spec_pass import Reading, SpecPass
from tests.fakes.memory_source import MemorySource
from tests.simulation.people import spec_of
from tests.simulation.scenario import BatchPlan
from tests.simulation.stage import Stage, perform
from tests.specfile.corpus import FILE, cases
from tests.specfile.reading import read as read_text

BAD = {f"bad-{number}.yaml": case for number, case in enumerate(cases())}
GOOD = "good.yaml"
OF_BATCHES = frozenset({"jobs", "batches", "gates", "child_jobs"})


def test_among_all_bad_specs_the_good_one_is_served() -> None:
    """It comes last and runs to its end; each bad one is told its own problems, and makes no record."""

    async def trace(stage: Stage) -> None:
        daemon, source, store = await stage.leader(), MemorySource(), stage.world.store

        async def read(file: SpecFile) -> Reading:
            if file.key == GOOD:
                return Reading(spec_of(BatchPlan("scan", 2, 1), stage.world.scenario))
            found = read_text(file.content, name=FILE)
            return Reading(found.spec, tuple(map(str, found.problems)))

        async def view_of(batch: Batch, gate: Gate) -> View:
            return View(batch, gate, daemon.engine.now(), daemon.engine.settings.life, foreign=())

        specs = SpecPass(daemon.engine, source, read, view_of)
        for key, case in BAD.items():
            source.drop(key, case.content)
        for _ in range(2):
            await specs.scan()
        assert not [write for write in store.oplog if write.collection in OF_BATCHES]
        assert set(await store.quarantine()) == set(BAD)
        for key, case in BAD.items():
            told = str(source.status(key))
            assert "refused" in told
            assert len(specs.refused[key]) == len(case.problems), key
        source.drop(GOOD, b"good")
        for _ in range(2):
            await specs.scan()
        (batch,) = await store.batches()
        assert batch.source == GOOD
        stage.world.recorder.catch_up()
        await stage.until_over(daemon)
        written = len(store.oplog)
        await specs.scan()
        assert len(store.oplog) == written, "what was answered is not answered again"

    stage = perform(trace)
    assert stage.batch.result is Result.COMPLETED
