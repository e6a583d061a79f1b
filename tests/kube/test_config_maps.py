"""ConfigMaps of a real API server keep the spec source's contract, and what only they can do to it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import pytest

from controller.adapters import spec_configmap
from controller.adapters.kube_access import SPEC_RULES, Right
from controller.adapters.kube_client import Refused
from controller.adapters.spec_configmap_status import ANNOTATION
from controller.ports import SpecFile, Unavailable
from tests.contract.source_suite import CSV, OTHER, SPEC, SourceSuite, World, contents
from tests.control_plane.plane import ControlPlane
from tests.kube.spec_world import ConfigMapWorld, config_map_world

RUNNING = {"batch": "lab/sweep", "state": "running"}
DONE = {"batch": "lab/sweep", "state": "finished", "result": "completed"}
REFUSED = {"state": "refused", "refused": ["sweep.yaml:4: maxConcurent: unknown key"]}


@pytest.fixture
async def world(control_plane: ControlPlane, namespace: str) -> AsyncIterator[ConfigMapWorld]:
    """A namespace without ConfigMaps of ours."""
    async with config_map_world(control_plane, namespace) as found:
        yield found


class TestSpecConfigMaps(SourceSuite):
    @pytest.fixture
    def world(self, world: ConfigMapWorld) -> World:
        """One ConfigMap, whose keys are the files."""
        return world


async def settled(world: ConfigMapWorld) -> dict[str, bytes]:
    """What is handed out under whole keys, less the namespace."""
    found = [file for _ in range(3) for file in await world.config_maps.scan()]
    assert all(file.user == f"configmap:{world.namespace}" for file in found)
    return {key.removeprefix(world.start): content for key, content in contents(found).items()}


async def test_the_label_makes_it_a_store(world: ConfigMapWorld) -> None:
    """Others are not looked at; one that loses the label is as good as deleted, and comes back with it."""
    world.make("ours", {"a.yaml": SPEC.decode(), "notes": "x"})
    world.make("others", {"a.yaml": SPEC.decode()}, labels={"batchkeeper.io/specs": "false"})
    assert await settled(world) == {"ours/a.yaml": SPEC}
    world.change("ours", labels={"batchkeeper.io/specs": None})
    assert await settled(world) == {}
    assert await world.config_maps.keys() == frozenset()
    await world.config_maps.tell(f"{world.start}ours/a.yaml", RUNNING)
    assert world.annotation("ours") == ""
    world.change("ours", labels={"batchkeeper.io/specs": "true"})
    assert await settled(world) == {"ours/a.yaml": SPEC}


async def test_a_csv_is_another_key(world: ConfigMapWorld) -> None:
    """Of the same ConfigMap, or of another with the label; not of one without it, or of another namespace."""
    world.make("sweep", {"a.yaml": SPEC.decode(), "t.csv": CSV.decode()})
    world.make("data", {"t.csv": OTHER.decode()})
    world.make("private", {"t.csv": "secret"}, labels={})
    await settled(world)
    paths = ["t.csv", "../data/t.csv", "../private/t.csv", "../../kube-system/t.csv"]
    await world.config_maps.depends(f"{world.start}sweep/a.yaml", paths)
    (found,) = [file for _ in range(3) for file in await world.config_maps.scan()]
    assert [found.beside[path].content for path in paths] == [CSV, OTHER, b"", b""]
    assert [found.beside[path].error for path in paths[2:]] == [
        "no such file",
        "it leads out of the watched store",
    ]


async def test_our_annotation_is_no_change_of_a_spec(world: ConfigMapWorld) -> None:
    """It changes the ConfigMap's version; also while a new spec settles."""
    world.make("sweep", {"a.yaml": SPEC.decode()})
    await settled(world)
    world.change(data={"b.yaml": OTHER.decode()})
    found = list[SpecFile]()
    for n in range(4):
        found += await world.config_maps.scan()
        await world.source.tell("a.yaml", {**RUNNING, "n": n})
    assert contents(found) == {f"{world.start}sweep/b.yaml": OTHER}


async def test_several_keys_share_the_annotation(world: ConfigMapWorld) -> None:
    """Each has its status, in their order; that of a key that is gone goes with the next."""
    world.make("sweep", {"a.yaml": SPEC.decode(), "b.yaml": OTHER.decode()})
    await settled(world)
    await world.source.tell("b.yaml", RUNNING)
    await world.source.tell("a.yaml", DONE)
    assert list(world.statuses().items()) == [("a.yaml", DONE), ("b.yaml", RUNNING)]
    world.remove("b.yaml")
    await world.source.tell("a.yaml", RUNNING)
    assert world.statuses() == {"a.yaml": RUNNING}


async def test_an_immutable_one_is_told_like_any_other(world: ConfigMapWorld) -> None:
    """Its data can't change; its annotations can."""
    world.make("sweep", {"a.yaml": SPEC.decode()}, immutable=True)
    assert await settled(world) == {"sweep/a.yaml": SPEC}
    await world.source.tell("a.yaml", DONE)
    assert world.statuses() == {"a.yaml": DONE}


async def test_a_status_whose_writing_is_cut_off_is_written_by_the_next_scan(
    world: ConfigMapWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pass has its time limit; and the last status of a batch is told once only."""
    world.make("sweep", {"a.yaml": SPEC.decode()})
    await settled(world)
    with monkeypatch.context() as slow:
        slow.setattr(world.config_maps, "_write", lambda *_: asyncio.sleep(60))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await world.source.tell("a.yaml", DONE)
    await world.config_maps.scan()
    assert world.statuses() == {"a.yaml": DONE}


async def test_the_same_status_is_not_written_again(world: ConfigMapWorld) -> None:
    """Neither by this process nor by the next: the ConfigMap keeps its version."""
    world.make("sweep", {"a.yaml": SPEC.decode()})
    for _ in range(2):
        world.restart()
        await settled(world)
        await world.source.tell("a.yaml", RUNNING)
        version = world.plane.admin.get(f"{world.maps}/sweep")["metadata"]["resourceVersion"]
        await world.source.tell("a.yaml", RUNNING)
        assert world.plane.admin.get(f"{world.maps}/sweep")["metadata"]["resourceVersion"] == version


async def test_somebody_elses_change_between_read_and_write_is_kept(
    world: ConfigMapWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The API server refuses what was meant for another version; it is read again, and nothing is lost."""
    world.make("sweep", {"a.yaml": SPEC.decode(), "b.yaml": OTHER.decode()})
    await settled(world)
    real, times = world.config_maps._found, list[str]()

    async def overtaken(name: str) -> object:
        found = await real(name)
        if len(times) < 2:
            times.append(name)
            theirs = json.dumps({"b.yaml": {**RUNNING, "n": len(times)}})
            world.change(annotations={f"note-{len(times)}": "mine", ANNOTATION: theirs})
        return found

    monkeypatch.setattr(world.config_maps, "_found", overtaken)
    await world.source.tell("a.yaml", DONE)
    annotations = world.plane.admin.get(f"{world.maps}/sweep")["metadata"]["annotations"]
    assert annotations.keys() == {ANNOTATION, "note-1", "note-2"}
    assert world.statuses() == {"a.yaml": DONE, "b.yaml": {**RUNNING, "n": 2}}


async def test_one_that_was_made_anew_under_its_name_is_not_told_of_the_old(
    world: ConfigMapWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The write was meant for another object: it is read again, and that one has no such key."""
    world.make("sweep", {"a.yaml": SPEC.decode()})
    await settled(world)
    real, done = world.config_maps._found, list[str]()

    async def replaced(name: str) -> object:
        found = await real(name)
        if not done:
            done.append(name)
            world.plane.admin.delete(f"{world.maps}/sweep")
            world.make("sweep", {"b.yaml": SPEC.decode()})
        return found

    monkeypatch.setattr(world.config_maps, "_found", replaced)
    await world.source.tell("a.yaml", DONE)
    assert world.annotation() == ""


async def test_people_are_told_by_events(world: ConfigMapWorld) -> None:
    """Once for each thing that they wait for, also over a restart; what goes on is no Event."""
    world.make("sweep", {"a.yaml": SPEC.decode()})
    await settled(world)
    for status in (REFUSED, REFUSED, RUNNING, {**RUNNING, "waits": ["x"]}):
        await world.source.tell("a.yaml", status)
    world.restart()
    await settled(world)
    for status in (RUNNING, DONE, DONE):
        await world.source.tell("a.yaml", status)
    assert world.told() == [
        ("Warning", "SpecRefused"),
        ("Normal", "SpecAccepted"),
        ("Normal", "BatchCompleted"),
    ]
    first = world.events()[0]
    assert first["message"] == "a.yaml: sweep.yaml:4: maxConcurent: unknown key"
    assert first["involvedObject"]["name"] == "sweep"


async def test_what_may_not_be_written_stops_nothing(control_plane: ControlPlane, namespace: str) -> None:
    """Without the right to patch, or to make Events, specs are taken in as ever."""
    reading = (Right("", "configmaps", ("list",)),)
    async with config_map_world(control_plane, namespace, reading) as world:
        world.make("sweep", {"a.yaml": SPEC.decode()})
        assert await settled(world) == {"sweep/a.yaml": SPEC}
        await world.source.tell("a.yaml", RUNNING)
        assert world.annotation() == ""
        world.change(data={"b.yaml": OTHER.decode()})
        assert await settled(world) == {"sweep/b.yaml": OTHER}


async def test_without_the_right_to_events_the_annotation_is_written(
    control_plane: ControlPlane, namespace: str
) -> None:
    """An Event is an extra."""
    async with config_map_world(control_plane, namespace, SPEC_RULES) as world:
        world.make("sweep", {"a.yaml": SPEC.decode()})
        await settled(world)
        await world.source.tell("a.yaml", DONE)
        assert world.statuses() == {"a.yaml": DONE}
        assert world.told() == []


async def test_without_the_right_to_list_nothing_is_seen(control_plane: ControlPlane, namespace: str) -> None:
    """That is no empty store."""
    async with config_map_world(control_plane, namespace, ()) as world:
        with pytest.raises(Unavailable, match="can't be listed"):
            await world.source.scan()


async def test_a_list_that_expires_is_begun_anew(
    world: ConfigMapWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """410 on a later page: the first pages are asked for again, and nothing is missing or twice."""
    monkeypatch.setattr(spec_configmap, "PAGE", 1)
    for n in range(3):
        world.make(f"m{n}", {"a.yaml": SPEC.decode()})
    real, expired = world.client.request, list[str]()

    async def expires(method: str, path: str, *args: object, **more: object) -> object:
        query = more.get("query")
        if isinstance(query, dict) and "continue" in query and not expired:
            expired.append(query["continue"])
            raise Refused(410, "Expired", "the list is too old", path)
        return await real(method, path, *args, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(world.client, "request", expires)
    assert sorted(await settled(world)) == ["m0/a.yaml", "m1/a.yaml", "m2/a.yaml"]
    assert expired


async def test_too_much_to_read_at_every_look(world: ConfigMapWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line that says how much, and what to do."""
    monkeypatch.setattr(spec_configmap, "MAX_BYTES", 10)
    world.make("sweep", {"a.yaml": SPEC.decode()})
    with pytest.raises(Unavailable, match="bytes, 10 at most: remove what is done, or use a bucket"):
        await world.source.scan()


async def test_a_status_that_can_t_be_written_keeps_no_other_one_back(
    world: ConfigMapWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A ConfigMap that an admission webhook fails for, say: it was tried first again and again."""
    names = ["m0", "m1", "m2", "sick"]
    for name in names:
        world.make(name, {"a.yaml": SPEC.decode()})
    await settled(world)
    real = world.client.request

    async def fails(method: str, path: str, *args: object, **more: object) -> object:
        if method == "PATCH" and path.endswith("/sick"):
            raise Unavailable("the webhook does not answer")
        return await real(method, path, *args, **more)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(world.client, "request", fails)
        for status in (RUNNING, DONE):
            keys = [f"{world.start}{name}/a.yaml" for name in names]
            await asyncio.gather(*(world.config_maps.tell(key, status) for key in keys))
            assert [world.statuses(name) for name in names] == [{"a.yaml": status}] * 3 + [{}]
    await world.config_maps.scan()
    assert world.statuses("sick") == {"a.yaml": DONE}


async def test_a_status_told_in_an_outage_is_written_after_it(world: ConfigMapWorld) -> None:
    """The last word about a batch is told once only, so it is kept until the API server is back."""
    world.make("sweep", {"a.yaml": SPEC.decode()})
    await settled(world)
    world.lose()
    for status in (RUNNING, DONE):
        await world.source.tell("a.yaml", status)
    world.heal()
    assert world.annotation() == ""
    await world.source.scan()
    assert world.statuses() == {"a.yaml": DONE}
