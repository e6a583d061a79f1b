"""A store that is away, slow, or does not allow everything: nothing is invented, nobody else waits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any

import pytest
from structlog.testing import capture_logs

from controller.adapters import spec_bucket
from controller.ports import SpecFile, Unavailable
from controller.telemetry.logs import get_logger
from tests.contract.source_suite import OTHER, SPEC, contents
from tests.s3.server import Hand
from tests.s3.way import CUT, HANG, Asked, Fault, way_to
from tests.s3.world import BucketWorld

RUNNING = {"state": "running"}
DONE = {"state": "finished"}


@contextmanager
def logged() -> Iterator[list[MutableMapping[str, Any]]]:
    """What the bucket's source logs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(spec_bucket, "_log", get_logger(spec_bucket.__name__))
        with capture_logs() as logs:
            yield logs


def on_lists(fault: Fault) -> Callable[[Asked], Fault | None]:
    """A fault of listing only."""
    return lambda asked: fault if asked.is_list else None


def on(method: str, end: str, fault: Fault) -> Callable[[Asked], Fault | None]:
    """A fault of one method on keys that end so."""
    return lambda asked: (
        fault if asked.method == method and asked.path.endswith(end) and not asked.is_list else None
    )


async def fails(world: BucketWorld) -> str:
    """The one line that a scan fails with."""
    with pytest.raises(Unavailable) as caught:
        await world.source.scan()
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ((403, "AccessDenied"), "can't be listed: told so for a test (AccessDenied)"),
        ((404, "NoSuchBucket"), "can't be listed: told so for a test (NoSuchBucket)"),
        ((400, "ExpiredToken"), "(ExpiredToken)"),
        ((500, "InternalError"), "(InternalError)"),
        ((503, "SlowDown"), "(SlowDown)"),
        (CUT, "can't be listed: the connection was closed"),
    ],
)
async def test_a_bucket_that_can_t_be_listed(world: BucketWorld, fault: Fault, says: str) -> None:
    """Each scan says why, always in the same words; the keys stay, and nothing is handed out twice."""
    world.put("a.yaml", SPEC)
    await world.settle()
    world.way.fault = on_lists(fault)
    first = await fails(world)
    assert first.startswith(world.start)
    assert says in first
    assert await fails(world) == first
    assert await world.source.keys() == {"a.yaml"}
    world.way.well()
    assert await world.settle() == []


async def test_a_page_that_fails_fails_the_list(world: BucketWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a listing is none: what stands on the second page is not deleted."""
    monkeypatch.setattr("controller.adapters.spec_bucket_client.PAGE", 1)
    for name in ("a.yaml", "b.yaml"):
        world.put(name, SPEC)
    await world.settle()
    world.way.fault = lambda asked: CUT if "continuation-token" in asked.query else None
    await fails(world)
    assert await world.source.keys() == {"a.yaml", "b.yaml"}


async def test_a_store_that_hangs(hand: Hand) -> None:
    """Nobody waits past the bound, nor at all while it still hangs; what it brings at last is not lost."""
    async with way_to(hand.url) as way:
        world = BucketWorld(hand, way, bound=0.2, timeout=1.0)
        world.put("a.yaml", SPEC)
        way.fault = on_lists(HANG)
        while not way.asked:
            assert "has not answered for 0.2 s or more" in await fails(world)
        for _ in range(3):
            await fails(world)
        assert len(way.asked) == 1
        way.well()
        found = await until(world, lambda files: bool(files))
        assert contents(found) == {"a.yaml": SPEC}


async def until(world: BucketWorld, enough: Callable[[list[SpecFile]], bool]) -> list[SpecFile]:
    """What scans bring until it is enough, however long the store takes."""
    found: list[SpecFile] = []
    while not enough(found):
        try:
            found += await world.source.scan()
        except Unavailable:
            continue
        world.pass_time()
    return found


async def test_a_listing_that_takes_long_leaves_time_to_fetch(world: BucketWorld) -> None:
    """Many objects, or a slow store: every look was over with its listing, and nothing was ever taken in."""

    def takes_long(asked: Asked) -> None:
        if asked.is_list:
            world.time += spec_bucket.FETCHING + 1

    world.put("a.yaml", SPEC)
    world.way.before = takes_long
    assert contents(await world.settle()) == {"a.yaml": SPEC}


async def test_an_object_that_may_not_be_read(world: BucketWorld) -> None:
    """It is that object's problem, told once; the right to it heals it, without another upload."""
    world.put("bad.yaml", SPEC)
    world.put("good.yaml", SPEC)
    world.way.fault = on("GET", "bad.yaml", (403, "AccessDenied"))
    found = {file.key: file for file in await world.settle()}
    assert found["good.yaml"].content == SPEC
    assert "bad.yaml can't be read: told so for a test (AccessDenied)" in found["bad.yaml"].error
    assert await world.settle() == []
    world.way.well()
    assert contents(await world.settle()) == {"bad.yaml": SPEC}


@pytest.mark.parametrize("fault", [(500, "InternalError"), (403, "InvalidAccessKeyId"), CUT])
async def test_an_object_that_can_t_be_had_now(world: BucketWorld, fault: Fault) -> None:
    """It is no problem of the spec's: it waits, is logged once, keeps none back, and comes when it can."""
    for name in ("a-bad.yaml", "good.yaml"):
        world.put(name, SPEC)
    world.way.fault = on("GET", "a-bad.yaml", fault)
    with logged() as logs:
        assert contents(await world.settle()) == {"good.yaml": SPEC}
        assert await world.settle() == []
    assert [line["event"] for line in logs] == ["spec-not-fetched"]
    world.way.well()
    assert contents(await world.settle()) == {"a-bad.yaml": SPEC}


async def test_an_object_that_is_never_as_it_was_listed(world: BucketWorld) -> None:
    """A store whose listing lags behind for good: nothing is handed out, and that is said, once."""
    world.put("a.yaml", SPEC)
    world.way.fault = on("GET", "a.yaml", (412, "PreconditionFailed"))
    with logged() as logs:
        for _ in range(3):
            assert await world.settle() == []
    assert [(line["event"], line["error"]) for line in logs] == [
        ("spec-not-fetched", f"{world.start}a.yaml is never as it was listed")
    ]
    world.way.well()
    assert contents(await world.settle()) == {"a.yaml": SPEC}


@pytest.mark.parametrize("method", ["HEAD", "GET", "PUT"])
async def test_a_status_that_may_not_be_written_stops_nothing(world: BucketWorld, method: str) -> None:
    """Said once; specs are taken in as ever, and the next status is tried."""
    world.put("a.yaml", SPEC)
    await world.settle()
    world.way.fault = on(method, "a.yaml" if method == "HEAD" else ".status.yaml", (403, "AccessDenied"))
    with logged() as logs:
        for status in (RUNNING, DONE):
            await world.source.tell("a.yaml", status)
        world.put("b.yaml", OTHER)
        assert contents(await world.settle()) == {"b.yaml": OTHER}
    assert [line["event"] for line in logs] == ["spec-status-not-written"]
    world.way.well()
    await world.source.tell("a.yaml", RUNNING)
    assert world.status("a.yaml") == RUNNING


async def test_a_status_told_in_an_outage_is_written_after_it(world: BucketWorld) -> None:
    """The last word about a batch is told once only, so it is kept until the store is back."""
    world.put("a.yaml", SPEC)
    await world.settle()
    world.way.gone()
    for status in (RUNNING, DONE):
        await world.source.tell("a.yaml", status)
    world.way.well()
    assert world.status("a.yaml") is None
    await world.source.scan()
    assert world.status("a.yaml") == DONE


@pytest.mark.parametrize(
    ("fault", "kept"),
    [((400, "KeyTooLongError"), False), ((500, "InternalError"), True), ((429, "TooManyRequests"), True)],
)
async def test_a_status_that_can_t_be_written_keeps_no_other_one_back(
    world: BucketWorld, fault: Fault, kept: bool
) -> None:
    """It was tried first again and again, and no other one in the bucket was written. One that is kept is
    written in the end."""
    keys = [f"{n}.yaml" for n in range(4)]
    for key in (*keys, "long.yaml"):
        world.put(key, SPEC)
    await world.settle()
    world.way.fault = on("PUT", "long.yaml.status.yaml", fault)
    with logged() as logs:
        await asyncio.gather(*(world.source.tell(key, RUNNING) for key in ("long.yaml", *keys)))
        await world.source.tell("long.yaml", RUNNING)
        assert [world.status(key) for key in keys] == [RUNNING] * 4
        for key in keys:
            await world.source.tell(key, DONE)
        assert [world.status(key) for key in keys] == [DONE] * 4
    assert [line["event"] for line in logs] == ["spec-status-not-written"]
    world.way.well()
    await world.source.scan()
    assert world.status("long.yaml") == (RUNNING if kept else None)


async def test_a_status_is_written_when_it_says_something_new(world: BucketWorld) -> None:
    """Not again by this process or the next; but where somebody removed or replaced it."""
    world.put("a.yaml", SPEC)
    await world.settle()
    await tells(world, RUNNING, writes=1)
    await tells(world, RUNNING, writes=0)
    await world.settle()
    await tells(world, RUNNING, writes=0)
    world.restart()
    await world.settle()
    await tells(world, RUNNING, writes=0)
    for change in (world.remove, lambda key: world.put(key, b"# mine\n")):
        change("a.yaml.status.yaml")
        await world.settle()
        await tells(world, RUNNING, writes=1)
        assert world.status("a.yaml") == RUNNING


async def tells(world: BucketWorld, status: dict[str, str], writes: int) -> None:
    """Telling it makes so many writes."""
    before = len(world.way.requests("PUT"))
    await world.source.tell("a.yaml", status)
    assert len(world.way.requests("PUT")) - before == writes


async def test_a_slow_store_is_asked_a_bounded_number_of_times(world: BucketWorld) -> None:
    """A failing request is tried three times, and then it has failed."""
    world.way.fault = on_lists((503, "SlowDown"))
    await fails(world)
    assert len(world.way.asked) == 3
