"""Watches of a server that misbehaves: each oddity ends in a new list, none in silence or a busy loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import aclosing
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from controller.adapters import kube_watch
from controller.adapters.kube_client import TURN, Access, KubeClient, Refused
from controller.adapters.kube_foreign import JOB, POD
from controller.adapters.kube_listing import list_all
from controller.adapters.kube_watch import Watching
from controller.adapters.labels import BATCH_ID, INSTANCE, JOB_ID, MANAGED_BY, MANAGER
from controller.core.sight import Hint
from controller.ports import Unavailable
from tests.kube.loopback import Loopback, Reply, answer, hang, kubeconfig, loopback, status, streams
from tests.kube.world import settings

JOBS = "apis/batch/v1/namespaces/lab/jobs"
Json = Mapping[str, Any]
ONE = settings(Path("unused"), "lab")


@pytest.fixture
async def server() -> AsyncIterator[Loopback]:
    """A server that does what its script says."""
    async with loopback() as found:
        yield found


@pytest.fixture
async def client(server: Loopback, tmp_path: Path) -> AsyncIterator[KubeClient]:
    """A client for which half a second is a long silence."""
    half = timedelta(seconds=0.5)
    found = KubeClient(Access(str(kubeconfig(tmp_path, server.url)), timeout=half, silence=half))
    await found.open()
    yield found
    await found.close()


def job(uid: str, version: int, **more: Any) -> dict[str, Any]:
    """A Job of ours."""
    marks = {MANAGED_BY: MANAGER, INSTANCE: "suite", JOB_ID: f"id-{uid}", BATCH_ID: "b"}
    about = {"uid": uid, "name": uid, "namespace": "lab", "labels": marks, "resourceVersion": str(version)}
    return {"metadata": about, **more}


def event(kind: str, thing: Json) -> Json:
    """A line of a watch."""
    return {"type": kind, "object": thing}


async def heard(client: KubeClient) -> list[str]:
    """The types of all events of one watch."""
    return [one["type"] async for one in client.watch(JOBS, {"resourceVersion": "7"}, resource="jobs")]


async def test_events_and_their_end(server: Loopback, client: KubeClient) -> None:
    """A watch asks for bookmarks from its revision on, and ends when the server ends it."""
    server.will(streams(event("ADDED", job("a", 8)), event("BOOKMARK", job("", 9))))
    assert await heard(client) == ["ADDED", "BOOKMARK"]
    asked = parse_qs(urlsplit(server.requests[0].path).query)
    assert asked == {"resourceVersion": ["7"], "watch": ["true"], "allowWatchBookmarks": ["true"]}


async def test_a_burst_of_events_lets_others_have_their_turn(server: Loopback, client: KubeClient) -> None:
    """A thousand that came at once are no wait to read: between them, the loop is everybody's."""
    server.will(streams(*(event("ADDED", job(f"j{n}", n)) for n in range(1000))))
    turns, over = 0, asyncio.Event()

    async def others() -> None:
        nonlocal turns
        while not over.is_set():
            turns += 1
            await asyncio.sleep(0)

    between = asyncio.create_task(others())
    most, last = 0, 0
    async for _ in client.watch(JOBS, {"resourceVersion": "7"}, resource="jobs"):
        most, last = (1, turns) if turns > last else (most + 1, last)
        assert most <= TURN + 1
    over.set()
    await between


BROKEN: dict[str, Reply] = {
    "silence": streams(event("ADDED", job("a", 8)), hold=True),
    "no-headers": hang,
    "garbage": streams(b"<html>\n"),
    "no-event": streams({"type": "ADDED"}),
    "half-a-line": streams(b'{"type": "ADDED", "obj'),
    "cut": streams(event("ADDED", job("a", 8)), end=b""),
    "overloaded": status(503),
    "unauthorized": status(401),
}


@pytest.mark.parametrize("fault", BROKEN)
async def test_broken_watches(server: Loopback, client: KubeClient, fault: str) -> None:
    """Whatever is odd about a watch is told, and within its time."""
    server.will(BROKEN[fault])
    with pytest.raises(Unavailable, match=f"^WATCH {JOBS}: "):
        await heard(client)


async def test_a_watch_that_is_not_granted(server: Loopback, client: KubeClient) -> None:
    """A revision that is too old, and a right that is missing, are definite."""
    server.will(status(410, "Expired"), status(403, "Forbidden"))
    for code in (410, 403):
        with pytest.raises(Refused) as refused:
            await heard(client)
        assert refused.value.code == code


# ------------------------------------------------------------------------------------------- the hints


class Script:
    """Replies to lists and watches of Jobs; Pods are none, and their watch is silent."""

    def __init__(self, server: Loopback, lists: list[Reply], watches: list[Reply]) -> None:
        self.asked: list[str] = []
        self._jobs = {"list": lists, "watch": watches}
        self._server = server

    def __call__(self) -> Reply:
        """The reply to the request that came last."""
        seen = urlsplit(self._server.requests[-1].path)
        what = "watch" if "watch=true" in seen.query else "list"
        if not seen.path.endswith("/jobs"):
            return streams(hold=True) if what == "watch" else listed(5)
        self.asked.append(what)
        replies = self._jobs[what]
        return replies.pop(0) if len(replies) > 1 else replies[0]


def listed(version: int, *things: Json) -> Reply:
    """A list."""
    return answer(200, {"metadata": {"resourceVersion": str(version)}, "items": list(things)})


def script(server: Loopback, lists: list[Reply], watches: list[Reply]) -> Script:
    """Let the server reply so, for ever: the last ones are repeated."""
    found = Script(server, lists, watches)

    class Always:
        def __bool__(self) -> bool:
            return True

        def popleft(self) -> Reply:
            return found()

    server.script = Always()  # type: ignore[assignment]
    return found


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Short pauses."""
    monkeypatch.setattr(kube_watch, "PAUSE", (0.01, 0.02))


def watching(client: KubeClient, told: list[tuple[str, str]]) -> Watching:
    """Hints of one namespace."""
    return Watching(client, ONE, lambda resource, reason: told.append((resource, reason)))


async def until(hints: AsyncIterator[Hint], so: Callable[[Hint], bool]) -> Hint:
    """The first hint that is so."""
    async with asyncio.timeout(PATIENCE):
        async for hint in hints:
            if so(hint):
                return hint
    raise AssertionError("the hints ended")


async def until_b(client: KubeClient) -> list[Hint]:
    """All hints up to the one of the job ``b``."""
    seen: list[Hint] = []
    async with aclosing(watching(client, []).hints()) as hints:  # type: ignore[type-var]
        async with asyncio.timeout(PATIENCE):
            async for hint in hints:
                seen.append(hint)
                if hint.job_id == "id-b":
                    break
    return seen


PATIENCE = 20
"""Seconds for a hint to come."""
START = "2026-01-02T03:04:05Z"
GONE_EVENT = event("ERROR", {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"})


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (streams(GONE_EVENT), "expired"),
        (status(410, "Expired"), "expired"),
        (streams(event("ERROR", {"kind": "Status", "code": 500, "message": "etcd"})), "unavailable"),
        (streams(b"{}\n"), "unavailable"),
        (streams(b"no json\n"), "unavailable"),
        (streams(event("ADDED", job("lost", 6)), end=b""), "unavailable"),
        (status(403, "Forbidden"), "refused"),
    ],
)
@pytest.mark.usefixtures("quick")
async def test_what_was_missed_is_listed(
    server: Loopback, client: KubeClient, fault: Reply, reason: str
) -> None:
    """After whatever broke a watch, the difference between the lists is hinted: who came and who went."""
    told: list[tuple[str, str]] = []
    script(server, [listed(5, job("a", 4)), listed(9, job("b", 8))], [fault, streams(hold=True)])
    async with aclosing(watching(client, told).hints()) as hints:  # type: ignore[type-var]
        assert await anext(hints) == Hint()
        known = await until(hints, lambda hint: hint.job_id == "id-a")
        assert known.job is not None
        gone = await until(hints, lambda hint: hint.job_id == "id-a")
        assert (gone.batch_id, gone.job) == ("b", None)
        came = await until(hints, lambda hint: hint.job_id == "id-b")
        assert came.job is not None
    assert ("jobs", reason) in told


@pytest.mark.usefixtures("quick")
async def test_malformed_objects_cost_nothing(server: Loopback, client: KubeClient) -> None:
    """Objects that make no sense are left out, and the watch goes on."""
    odd: list[Json] = [
        {"metadata": 3},
        {"metadata": {"labels": 4, "uid": "x"}},
        job("o", 6, status=[1], spec="no"),
        job("p", 7, status={"conditions": [None, {"type": 3}]}),
    ]
    lines = [event("ADDED", thing) for thing in odd]
    script(server, [listed(5)], [streams(*lines, event("ADDED", job("good", 8)), hold=True)])
    async with aclosing(watching(client, []).hints()) as hints:  # type: ignore[type-var]
        assert (await until(hints, lambda hint: hint.job_id == "id-good")).job is not None


async def test_a_watch_that_ends_at_once_is_no_busy_loop(server: Loopback, client: KubeClient) -> None:
    """A server that ends every watch at once is asked again after pauses that grow up to a bound."""
    asked = script(server, [listed(5)], [streams()])
    pauses: list[float] = []
    enough = asyncio.Event()

    async def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 8:
            enough.set()
            await asyncio.Event().wait()

    hints = Watching(client, ONE, sleep=pause).hints()
    await anext(hints)
    listening = asyncio.ensure_future(anext(hints))
    async with asyncio.timeout(PATIENCE):
        await enough.wait()
    listening.cancel()
    await asyncio.gather(listening, return_exceptions=True)
    assert asked.asked[:4] == ["list", "watch", "list", "watch"]
    assert pauses[0] <= kube_watch.PAUSE[0] < pauses[-1] <= kube_watch.PAUSE[1]


DONE = {"conditions": [{"type": "Complete", "status": "True"}]}
POD_DONE = {
    "phase": "Succeeded",
    "containerStatuses": [{"name": "job", "state": {"terminated": {"exitCode": 0, "startedAt": START}}}],
}


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("expiring", [True, False])
async def test_what_is_collected_in_time_is_no_news(
    server: Loopback, client: KubeClient, expiring: bool
) -> None:
    """A finished object that goes when its time is up is not hinted; one that somebody deletes is."""
    spec = {"ttlSecondsAfterFinished": 60} if expiring else {}
    ended = job("a", 6, status=DONE, spec=spec)
    lines = [event("DELETED", ended), event("ADDED", job("b", 8))]
    script(server, [listed(5, ended)], [streams(*lines, hold=True)])
    assert (Hint("id-a", "b", None) in await until_b(client)) is not expiring


@pytest.mark.usefixtures("quick")
async def test_what_changes_nothing_that_is_read_is_no_news(server: Loopback, client: KubeClient) -> None:
    """An object whose bookkeeping alone has changed is not hinted again; many events tell no more."""
    again = job("a", 7) | {"status": {"ready": 1, "uncountedTerminatedPods": {}}}
    lines = [event("MODIFIED", again), event("ADDED", job("b", 8))]
    script(server, [listed(5, job("a", 4))], [streams(*lines, hold=True)])
    seen = await until_b(client)
    assert [hint.job_id for hint in seen] == ["", "id-a", "id-b"]


@pytest.mark.usefixtures("quick")
async def test_an_end_is_told_although_its_object_goes_at_once(server: Loopback, client: KubeClient) -> None:
    """Of an object that ended and was collected in one moment it is told that it ended, not that it is gone.

    Here it has no pod, so that a look is to tell the rest.
    """
    ended = job("a", 6, status=DONE, spec={"ttlSecondsAfterFinished": 0})
    lines = [event("ADDED", ended), event("DELETED", ended), event("ADDED", job("b", 8))]
    script(server, [listed(5)], [streams(*lines, hold=True)])
    before, told, _ = await until_b(client)
    assert before == Hint()
    assert (told.job_id, told.batch_id) == ("id-a", "b")
    assert told.job is not None
    assert (told.job.finished, told.job.half_told, told.job.active) == (True, True, True)


def test_an_end_is_half_told_until_its_pod_is_shown(client: KubeClient) -> None:
    """A live look is asked for, of this job alone; the pod that comes after it makes news of the whole."""
    watch, ended, pod = Watching(client, ONE), job("a", 6, status=DONE), job("a-pod", 7, status=POD_DONE)
    pod["metadata"]["labels"] = ended["metadata"]["labels"]
    for kind, thing, half in ((JOB, ended, True), (POD, pod, False)):
        watch._seen(kind, "lab", thing, deleted=False)
        told = watch._news["id-a"]()
        assert told.job is not None
        assert (told.batch_id, told.job.finished, told.job.half_told) == ("b", True, half)


async def test_an_unforeseen_error_ends_the_hints(
    server: Loopback, client: KubeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A watcher that dies is not missed in silence."""

    def broken(*_: object) -> bool:
        raise ZeroDivisionError

    monkeypatch.setattr(kube_watch, "is_ours", broken)
    script(server, [listed(5, job("a", 4))], [streams(hold=True)])
    with pytest.raises(ZeroDivisionError):
        await until(watching(client, []).hints(), lambda hint: hint != Hint())


async def test_a_list_that_expires_under_way(server: Loopback, client: KubeClient) -> None:
    """Pages whose revision is gone are thrown away, and the list begins anew."""
    page = {"metadata": {"continue": "more", "resourceVersion": "5"}, "items": [job("old", 4)]}
    server.will(answer(200, page), status(410, "Expired"), listed(9, job("new", 8)))
    things, version = await list_all(client, JOB, "lab")
    assert ([thing["metadata"]["uid"] for thing in things], version) == (["new"], "9")
    queries = [parse_qs(urlsplit(seen.path).query) for seen in server.requests]
    assert [query.get("continue") for query in queries] == [None, ["more"], None]
    assert not any("resourceVersion" in query for query in queries)
