"""The daemon with a bucket as its store of specs: from an upload to the report beside it."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.e2e.place import Document, Place
from tests.e2e.specs import batch
from tests.s3.conftest import credentials, hand, s3
from tests.s3.server import Hand, settings
from tests.s3.way import Way, way_to

__all__ = ["credentials", "hand", "s3"]

NO_CREDENTIALS = 'test -z "$AWS_ACCESS_KEY_ID$AWS_SECRET_ACCESS_KEY"'
"""What the daemon reads the bucket with is none of a job's business."""


class Shelf:
    """What people do at the bucket, and what they read there."""

    def __init__(self, place: Place, hand: Hand, url: str = "") -> None:
        self.place = place
        self.hand = hand
        self.start = f"s3://{hand.bucket}/specs/"
        s3 = {**settings(hand, url), "interval": "200ms", "timeout": "2s"}
        owners = [{"source": f"{self.start}salk", "user": "eberrigan"}]
        place.configure(specs={"folder": None, "s3": s3, "owners": owners})

    def put(self, key: str, spec: Document) -> None:
        """Upload a spec."""
        self.hand.put(f"specs/{key}", json.dumps(spec).encode())
        self.place.expect(spec)

    def tells(self, key: str, so: Callable[[Document], Any]) -> Document:
        """What stands beside a spec, as soon as it is so."""
        seen: Document = {}

        def look() -> bool:
            content = self.hand.get(f"specs/{key}.status.yaml")
            seen.update(YAML(typ="safe").load(content) if content else {})
            return bool(content and so(seen))

        self.place.until(f"{key}.status.yaml as expected", look)
        return seen


@contextmanager
def way_beside(url: str) -> Iterator[Way]:
    """A way that runs in a thread, for a daemon that is a process."""
    loop, there = asyncio.new_event_loop(), threading.Event()
    found: list[Way] = []

    async def serve() -> None:
        async with way_to(url) as way:
            found.append(way)
            there.set()
            await ended.wait()

    ended = asyncio.Event()
    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    try:
        assert there.wait(60)
        yield found[0]
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join()
        loop.close()


def test_from_an_upload_to_the_report(place: Place, hand: Hand) -> None:
    """Tasks from a csv beside the spec; the status object says what became of each, the owner is the map's,
    and no job sees the daemon's credentials."""
    shelf = Shelf(place, hand)
    spec = batch("bucket", {}, most=2)
    spec["tasks"] = {"csv": {"path": "traits.csv"}}
    hand.put("specs/salk/traits.csv", f'id,DO\na,true\nb,"{quoted(NO_CREDENTIALS)}"\nc,exit 3\n'.encode())
    shelf.put("salk/sweep.json", {**spec, "owner": "eberrigan"})
    place.start()
    place.over("bucket")
    assert place.statuses("bucket") == {
        "bucket-a": "completed",
        "bucket-b": "completed",
        "bucket-c": "error",
    }
    told = shelf.tells("salk/sweep.json", lambda told: told["state"] == "finished")
    assert (told["result"], told["owner"]) == ("partial", "eberrigan")
    assert told["source"] == f"{shelf.start}salk/sweep.json"
    assert told["failures"][0]["job"] == "bucket-c"
    assert not place.specs.exists() or not list(place.specs.iterdir())


def quoted(text: str) -> str:
    """As in a csv."""
    return text.replace('"', '""')


def test_what_is_refused_and_what_is_nobodys(place: Place, hand: Hand) -> None:
    """A claim without a line of the map and a broken spec are refused beside themselves; the neighbour
    without an owner runs, and belongs to the bucket."""
    shelf = Shelf(place, hand)
    shelf.put("thief.json", {**batch("thief", 1), "owner": "eberrigan"})
    shelf.put("broken.json", {**batch("broken", 1), "maxConcurent": 3})
    hand.put("specs/huge.yaml", b"#" * 300_000)
    shelf.put("good.json", batch("good", 1))
    place.start()
    place.over("good")
    refused = {
        key: " ".join(shelf.tells(key, lambda told: told["state"] == "refused")["refused"])
        for key in ("thief.json", "broken.json", "huge.yaml")
    }
    assert "can't be confirmed" in refused["thief.json"]
    assert f"{shelf.start}broken.json" in refused["broken.json"]
    assert "at most" in refused["huge.yaml"]
    assert place.parent("good")["user"] == f"s3:{hand.bucket}"
    assert not place.parent("thief")
    listed = {one["item"] for one in place.cli("list", "--quarantined", "-o", "json").json}
    assert listed == {f"{shelf.start}{key}" for key in refused}


def test_the_bucket_goes_away_while_a_batch_runs(place: Place, hand: Hand) -> None:
    """The batch goes on, the daemon stays ready and says it once; when the bucket is back, it is told all."""
    go = place.root / "go"
    with way_beside(hand.url) as way:
        shelf = Shelf(place, hand, way.url)
        does = {"a": f"until [ -e {go} ]; do sleep 0.02; done", "b": "true"}
        shelf.put("long.json", batch("long", does, most=1))
        daemon = place.start()
        place.is_("long-a", "running")
        way.gone()
        daemon.says("unavailable")
        go.touch()
        place.over("long")
        daemon.ready()
        assert len([line for line in daemon.said("unavailable") if line["where"] == "spec store"]) == 1
        way.well()
        assert shelf.tells("long.json", lambda told: told["state"] == "finished")["result"] == "completed"
        daemon.says("spec-store-back")


@pytest.mark.parametrize("first", ["folder", "bucket"])
def test_a_folder_and_a_bucket_at_once(place: Place, hand: Hand, first: str) -> None:
    """One name is one batch, whichever store had it first; the other one's file is told whose it is."""
    shelf = Shelf(place, hand)
    s3 = {**settings(hand), "interval": "200ms"}
    owners = [{"namespace": "default", "user": "lab"}]  # one owner, who may change the batch from either
    place.configure(specs={"folder": "specs", "s3": s3, "owners": owners})
    go = place.root / "go"
    spec = batch("both", {"a": f"until [ -e {go} ]; do sleep 0.02; done"})
    other = {**spec, "maxConcurrent": 9}
    place.start()
    if first == "folder":
        place.drop(spec)
        place.is_("both-a", "running")
        shelf.put("both.json", other)
        told = shelf.tells("both.json", lambda told: told["state"] == "refused")
        assert "defined by both.json" in " ".join(told["refused"])
    else:
        shelf.put("both.json", spec)
        place.is_("both-a", "running")
        place.drop(other)
        told = place.tells("both.json", lambda told: told["state"] == "refused")
        assert f"defined by {shelf.start}both.json" in " ".join(told["refused"])
    assert place.gate("both")["max"] == 5
    go.touch()
    place.over("both")
