"""Several watched stores at once: one name is one batch among all of them, and none waits for another."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from controller.core.model import Batch, Gate
from controller.core.statusfile import refused_status
from controller.core.view import View
from controller.intake import KEPT, Outcome, Taken
from controller.people import Caller
from controller.ports import SpecFile
from controller.spec_pass import Reading, SpecPass
from controller.spec_stores import SpecStores, Watched
from controller.submitting import submit_spec
from tests.fakes.memory_source import MemorySource
from tests.simulation.faults import Fault
from tests.simulation.people import spec_of
from tests.simulation.scenario import BatchPlan
from tests.simulation.stage import Stage, perform

BUCKET = "s3://lab/"
SENT = "ada: sent"


class Stores:
    """A folder and a bucket, in memory. A spec's content is the maxConcurrent of the batch ``scan``; one that
    is ``csv`` names a file."""

    def __init__(self, stage: Stage, engine: Any) -> None:
        async def read(file: SpecFile) -> Reading:
            if file.content == b"csv":
                return Reading(
                    spec_of(BatchPlan("scan", 1, 1), stage.world.scenario), names_files=["traits.csv"]
                )
            if not file.content.isdigit():
                return Reading(None, ("no",))
            plan = BatchPlan("scan", 1, 1)
            return Reading(spec_of(plan, stage.world.scenario, int(file.content)))

        async def view_of(batch: Batch, gate: Gate) -> View:
            return View(batch, gate, engine.now(), engine.settings.life, foreign=())

        self.world = stage.world
        self.folder, self.bucket = MemorySource(), MemorySource()
        self.over_folder = SpecPass(engine, self.folder, read, view_of)
        self.over_bucket = SpecPass(engine, self.bucket, read, view_of, start=BUCKET)
        self.over_folder.peers.append(self.over_bucket)
        self.over_bucket.peers.append(self.over_folder)

    async def scan(self, times: int = 2) -> None:
        """Scans of both."""
        for _ in range(times):
            await self.over_folder.scan()
            await self.over_bucket.scan()
        self.world.recorder.catch_up()

    async def submit(self, most: int) -> Taken:
        """A person sends the spec of ``scan`` with this maxConcurrent."""
        (batch,) = await self.world.store.batches()
        spec = spec_of(BatchPlan("scan", 1, 1), self.world.scenario, most)
        return await submit_spec(self.world.store, Caller(batch.user), spec, SENT)

    async def most(self) -> tuple[int, str]:
        """The batch's maxConcurrent, and what it goes by."""
        (batch,) = await self.world.store.batches()
        return batch.settings["maxConcurrent"].value, batch.source

    def told(self, *keys: str) -> list[str]:
        """What stands beside specs, as text."""
        return [str(self.folder.status(key) or self.bucket.status(key)) for key in keys]


def test_other_content_under_a_name_of_another_store_is_refused() -> None:
    """Loudly, beside the second file; the first one's batch goes on as it was."""

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        stores = Stores(stage, daemon.engine)
        stores.folder.drop("a.yaml", b"1")
        await stores.scan()
        stores.bucket.drop(f"{BUCKET}a.yaml", b"2")
        await stores.scan()
        (told,) = stores.told(f"{BUCKET}a.yaml")
        assert "batch scan is defined by a.yaml: edit that file" in told
        assert (await stage.world.store.quarantine()).keys() == {f"{BUCKET}a.yaml"}
        (batch,) = await stage.world.store.batches()
        assert batch.settings["maxConcurrent"].value == 1

    perform(trace)


def test_the_same_content_in_two_stores_is_one_batch() -> None:
    """And both are told of it."""

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        stores = Stores(stage, daemon.engine)
        stores.folder.drop("a.yaml", b"1")
        stores.bucket.drop(f"{BUCKET}b.yaml", b"1")
        await stores.scan()
        (batch,) = await stage.world.store.batches()
        assert all(batch.id in told for told in stores.told("a.yaml", f"{BUCKET}b.yaml"))

    perform(trace)


def test_a_restart_does_not_take_back_what_was_submitted() -> None:
    """The file as it was is handed out anew, and differed from the batch: a change, it seemed."""

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        stores = Stores(stage, daemon.engine)
        stores.folder.drop("a.yaml", b"1")
        await stores.scan()
        await stores.submit(7)
        await stores.over_folder.tell_all()
        line = f"superseded by {SENT}: for this content to count, edit the file, or submit it again"
        assert line in stores.told("a.yaml")[0]
        again = Stores(stage, daemon.engine)
        again.folder.drop("a.yaml", b"1")
        await again.scan(3)
        assert await again.most() == (7, SENT)
        assert line in again.told("a.yaml")[0]
        assert not await stage.world.store.quarantine()

    perform(trace)


def test_what_was_superseded_counts_again_once_a_person_means_it() -> None:
    """Submitted again, or another content in the file, and from then on the file goes back as it likes."""

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        stores = Stores(stage, daemon.engine)
        stores.folder.drop("a.yaml", b"1")
        await stores.scan()
        for most in (7, 1):
            assert (await stores.submit(most)).outcome is Outcome.CHANGED
            assert await stores.most() == (most, SENT)
        await stores.over_folder.tell_all()
        assert "superseded" not in stores.told("a.yaml")[0]
        await stores.submit(7)
        for content in (b"2", b"7", b"1", b"2"):
            stores.folder.drop("a.yaml", content)
            await stores.scan()
            assert await stores.most() == (int(content), "a.yaml")

    perform(trace)


def test_a_restart_does_not_bring_back_what_an_older_copy_says() -> None:
    """One of two copies was edited, and deleted: deleting a spec changes nothing."""

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        stores = Stores(stage, daemon.engine)
        for name in ("a.yaml", "b.yaml"):
            stores.folder.drop(name, b"1")
        await stores.scan()
        stores.folder.drop("a.yaml", b"7")
        await stores.scan()
        stores.folder.remove("a.yaml")
        await stores.scan()
        again = Stores(stage, daemon.engine)
        again.folder.drop("b.yaml", b"1")
        await again.scan(3)
        assert await again.most() == (7, "a.yaml")
        assert "superseded by a.yaml" in again.told("b.yaml")[0]

    perform(trace)


def test_of_what_was_superseded_the_newest_are_remembered() -> None:
    """A bounded list, whatever a script submits."""

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        stores = Stores(stage, daemon.engine)
        stores.folder.drop("a.yaml", b"1")
        await stores.scan()
        hashes = []
        for most in (*range(2, KEPT + 4), 1):
            (batch,) = await stage.world.store.batches()
            hashes.append(batch.spec_hash)
            await stores.submit(most)
        (batch,) = await stage.world.store.batches()
        assert batch.superseded == tuple(hashes[-KEPT:])
        assert batch.spec_hash == hashes[0]

    perform(trace)


def test_the_same_content_in_somebody_elses_name_is_refused() -> None:
    """Beside Bob's copy of her spec stood how Alice's batch fares, though he might see his own only."""

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        stores = Stores(stage, daemon.engine)
        read = stores.over_folder.read

        async def of_its_owner(file: SpecFile) -> Reading:
            reading = await read(file)
            assert reading.spec
            return replace(reading, spec=replace(reading.spec, owner=file.user))

        stores.over_folder.read = of_its_owner
        for name in ("alice", "bob"):
            stores.folder.drop(f"{name}/a.yaml", b"1", f"local:{name}")
            await stores.scan()
        assert stores.folder.status("bob/a.yaml") == refused_status(
            ["batch scan belongs to local:alice, and this spec to local:bob: choose another name"]
        )

    perform(trace)


def test_a_store_that_could_not_be_read_since_the_start_may_hold_the_other_one() -> None:
    """Until it is read nobody takes its batch over; then it is refused, or taken over where it is gone."""

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        stores = Stores(stage, daemon.engine)
        stores.bucket.drop(f"{BUCKET}a.yaml", b"1")
        await stores.scan()
        again = Stores(stage, daemon.engine)
        again.bucket.drop(f"{BUCKET}a.yaml", b"1")
        again.bucket.unavailable = "gone for a test"
        again.folder.drop("a.yaml", b"2")
        await again.scan(4)
        assert again.told("a.yaml") == ["None"]
        again.bucket.unavailable = ""
        await again.scan(4)
        assert f"defined by {BUCKET}a.yaml" in again.told("a.yaml")[0]

    perform(trace)


def test_an_outage_of_one_stops_no_other_and_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A line for each reason and one when it ends; the other store's specs are taken in meanwhile."""

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        engine = daemon.engine
        stores, lines = Stores(stage, engine), list[str]()
        monkeypatch.setattr(engine.journal, "trouble", lambda where, error, **_: lines.append(str(error)))
        monkeypatch.setattr(engine.journal, "said", lambda event, **_: lines.append(event))
        stores.folder.drop("a.yaml", b"1")
        for why in ("gone for a test", "no answer", "gone for a test", "no answer"):
            stores.bucket.unavailable = why
            await stores.scan()
        assert len(await stage.world.store.batches()) == 1
        stores.bucket.unavailable = ""
        await stores.scan(5)
        assert [line for line in lines if line != "spec"] == [
            "gone for a test",
            "no answer",
            "spec-store-back",
        ]

    perform(trace)


def test_the_gauge_counts_what_is_refused_anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever store was looked at last."""

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        stores, seen = Stores(stage, daemon.engine), dict[str, float]()
        monkeypatch.setattr(
            daemon.engine.journal, "gauge", lambda name, value, batch="": seen.update({name: value})
        )
        stores.folder.drop("a.yaml", b"x")
        stores.bucket.drop(f"{BUCKET}a.yaml", b"y")
        await stores.scan()
        assert seen["quarantined_specs"] == 2
        stores.bucket.remove(f"{BUCKET}a.yaml")
        await stores.scan()
        assert seen["quarantined_specs"] == 1

    perform(trace)


def test_who_steps_down_during_a_scan_tells_no_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """It stood still on a replica that stands by, and the alert with it, when the spec had been mended."""

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        stores, seen = Stores(stage, daemon.engine), list[tuple[str, float]]()
        monkeypatch.setattr(
            daemon.engine.journal, "gauge", lambda name, value, batch="": seen.append((name, value))
        )
        stores.folder.drop("a.yaml", b"x")
        tell = stores.folder.tell

        async def tell_and_lose(*told: Any) -> None:
            await tell(*told)
            daemon.step_down("the Lease was lost")

        stores.folder.tell = tell_and_lose  # type: ignore[assignment, method-assign]
        await stores.over_folder.scan()
        await stores.over_folder.scan()
        assert "refused" in stores.told("a.yaml")[0]
        assert ("quarantined_specs", 1) not in seen

    perform(trace)


@pytest.mark.parametrize("fault", [Fault.FAILED, Fault.REPLY_LOST])
def test_a_refused_spec_goes_while_the_records_are_away(fault: Fault) -> None:
    """That it is refused no more is written by a later scan; what is to be taken in is not held up by it."""

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        stores = Stores(stage, daemon.engine)
        stores.folder.drop("a.yaml", b"x")
        await stores.scan()
        assert set(await stage.world.store.quarantine()) == {"a.yaml"}
        stores.folder.remove("a.yaml")
        stage.script.lines.append(("set_quarantine", fault))
        await stores.over_folder.scan()
        await stores.scan()
        assert not await stage.world.store.quarantine()

    perform(trace)


def test_who_looks_once_takes_in_what_names_a_csv_and_nothing_that_is_being_copied() -> None:
    """Two looks in one millisecond tell nothing of a file, and a spec with a csv wants four: it was never
    taken in, however often somebody looked."""

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        stores = Stores(stage, daemon.engine)
        once = SpecStores((Watched("", timedelta(seconds=60), stores.over_folder),))
        stores.folder.drop("a.yaml", b"csv")
        stores.folder.drop("traits.csv", b"id")
        stores.folder.drop("half.yaml", b"")
        slept = list[float]()

        async def sleep(seconds: float) -> None:
            slept.append(seconds)
            stores.folder.drop("half.yaml", b"#" * len(slept))
            await asyncio.sleep(seconds)

        await once.settle(sleep)
        stage.world.recorder.catch_up()
        assert [batch.source for batch in await stage.world.store.batches()] == ["a.yaml"]
        assert stores.told("half.yaml") == ["None"]
        assert slept == [2.0] * 3
        await stage.until_over(daemon)

    perform(trace)
