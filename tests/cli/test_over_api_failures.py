"""Whatever goes wrong on the way to the API is one line that says what to do, without the token."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from controller.cli import commands_look, way_api
from controller.cli.api_address import address_of
from controller.cli.api_client import Client, _Got, _Lost
from controller.ports import BatchkeeperError
from controller.reading import LIMIT
from tests.cli.place import Place, Shell
from tests.cli.two_ways import SOMEBODY, TOKEN, TwoWays

PROBLEM = "application/problem+json"
Serve = Callable[[web.Response], Awaitable[str]]


def problem(status: int, kind: str, detail: str, **headers: str) -> web.Response:
    """An error as the API answers it."""
    body = {"type": f"urn:batchkeeper:problem:{kind}", "status": status, "detail": detail}
    return web.json_response(body, status=status, content_type=PROBLEM, headers=headers)


def bare(status: int, text: str = "<html>no</html>", kind: str = "text/html", **headers: str) -> web.Response:
    """What a proxy says, or whoever else listens there."""
    return web.Response(status=status, text=text, content_type=kind, headers=headers)


MODES: list[tuple[str, Callable[[], web.Response], str]] = [
    ("401", lambda: problem(401, "unknown-caller", f"{TOKEN} is not valid"), "BATCHKEEPER_TOKEN_FILE"),
    ("401 bare", lambda: bare(401), "set BATCHKEEPER_TOKEN"),
    ("403", lambda: problem(403, "no-admin", "you are bob: ask with as_admin"), "ask with --as-admin"),
    ("403 bare", lambda: bare(403), "ask whoever runs it"),
    ("404", lambda: problem(404, "no-such-path", "there is nothing at /x"), "there is nothing at /x"),
    ("404 bare", lambda: bare(404), "BATCHKEEPER_URL right"),
    ("409", lambda: problem(409, "ambiguous", "give the id of one"), "give the id of one"),
    ("413", lambda: problem(413, "too-many", "send at most 10,000"), "send at most 10,000"),
    ("413 bare", lambda: bare(413), "send less at once"),
    (
        "429",
        lambda: problem(429, "too-fast", "ask again in 3600 s", **{"Retry-After": "3600"}),
        "ask again in",
    ),
    ("500", lambda: problem(500, "bug", "report it with request 12"), "request 12"),
    ("502 bare", lambda: bare(502), "ask again later"),
    ("503", lambda: problem(503, "unavailable", "mongodb is away: ask again"), "mongodb is away"),
    ("503 bare", lambda: bare(503), "ask again later"),
    ("redirect", lambda: bare(302, Location="http://other.example/"), "sends on to elsewhere"),
    ("a page", lambda: bare(200), "not Batchkeeper's API"),
    ("broken JSON", lambda: bare(200, '{"items": [', "application/json"), "not Batchkeeper's API"),
    ("other JSON", lambda: bare(200, '{"ok": true}', "application/json"), "not Batchkeeper's API"),
    ("a list", lambda: bare(200, "[]", "application/json"), "not Batchkeeper's API"),
    ("other items", lambda: bare(200, '{"items": [{}], "next": null}', "application/json"), "own version"),
]


@pytest.fixture
async def serve(ways: TwoWays) -> AsyncIterator[Serve]:
    """A server that gives every request the same answer, and the shell types to it."""
    runners: list[web.AppRunner] = []

    async def start(answer: web.Response) -> str:
        async def handle(request: web.Request) -> web.Response:
            return web.Response(status=answer.status, body=answer.body, headers=[*answer.headers.items()])

        app = web.Application()
        app.router.add_route("*", "/{path:.*}", handle)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        runners.append(runner)
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        ways.here.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        return ways.here.url

    yield start
    for runner in runners:
        await runner.cleanup()


@pytest.mark.parametrize(("answer", "says"), [mode[1:] for mode in MODES], ids=[mode[0] for mode in MODES])
async def test_a_bad_answer_is_one_line(
    ways: TwoWays, serve: Serve, answer: Callable[[], web.Response], says: str
) -> None:
    """Exit code 1, nothing on stdout, what to do, and no token even where the server repeats it."""
    await serve(answer())
    told = await ways.api("list")
    assert (told.code, told.out) == (1, ""), told.err
    assert says in told.err
    assert len(told.err.splitlines()) == 1
    assert TOKEN not in told.err


async def test_nobody_there_is_one_line(ways: TwoWays) -> None:
    """The address is named, and what to look at."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        ways.here.url = f"http://127.0.0.1:{free.getsockname()[1]}"
        told = await ways.api("list")
    assert (told.code, told.out) == (1, "")
    assert f"{ways.here.url} can't be reached" in told.err
    assert "is the controller up, and BATCHKEEPER_URL right?" in told.err


async def test_whoever_asks_too_fast_waits_and_goes_on(
    ways: TwoWays, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A 429 that says how long is waited out: the command is none the wiser."""
    await ways.here.submit()
    once, asked = Client._once, []

    async def too_fast_once(self: Client, *request: Any) -> _Got:
        asked.append(request[1])
        if len(asked) == 1:
            return _Got(429, PROBLEM, b'{"detail": "too fast"}', "0")
        return await once(self, *request)

    monkeypatch.setattr(Client, "_once", too_fast_once)
    assert (await ways.api("list")).code == 0
    assert asked == ["batches", "batches"]


async def test_a_lost_answer_is_asked_for_once_more_and_done_once(
    ways: TwoWays, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The order was carried out and its answer lost: the same key gets the first answer again."""
    _, jobs = await ways.here.failed()
    once, keys = Client._once, []

    async def lost_once(self: Client, method: str, *request: Any) -> _Got:
        got = await once(self, method, *request)
        if method == "POST":
            keys.append(request[-1]["Idempotency-Key"])
            if len(keys) == 1:
                raise _Lost("gone")
        return got

    monkeypatch.setattr(Client, "_once", lost_once)
    answers = await ways.json(f"retry --as-admin {' '.join(job.id for job in jobs)}")
    assert len(keys) == 2
    assert keys[0] == keys[1]
    assert all(one["done"] and one["retry_ids"] == [one["retry_id"]] for one in answers)


async def test_an_answer_that_is_lost_twice_is_told(ways: TwoWays, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may have been done: the line says how to find out."""

    async def lost(self: Client, *request: Any) -> _Got:
        raise _Lost("it did not answer: 'batchkeeper status' tells whether it was done; then ask again")

    monkeypatch.setattr(Client, "_once", lost)
    told = await ways.api("halt submissions --as-admin")
    assert told.code == 1
    assert "tells whether it was done" in told.err


async def test_an_api_that_is_off_is_not_waited_for(ways: TwoWays, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever watches is told at once: it has to be turned on first."""
    await ways.here.submit()
    once, asked = Client._once, []

    async def turned_off(self: Client, *request: Any) -> _Got:
        asked.append(request[1])
        if len(asked) <= 2:
            return await once(self, *request)
        assert len(asked) == 3, "it asks again"
        return _Got(503, PROBLEM, b'{"type": "urn:batchkeeper:problem:off", "detail": "set auth"}', "")

    async def at_once(seconds: float) -> None:
        """No test waits."""

    monkeypatch.setattr(commands_look, "sleep", at_once)
    monkeypatch.setattr(Client, "_once", turned_off)
    told = await ways.api("status sweep --watch")
    assert told.code == 1
    assert told.err == "error: set auth\n"


async def test_what_is_not_yours_is_not_there(ways: TwoWays) -> None:
    """Somebody else's token sees none of it and changes none of it; --as-admin is refused."""
    await ways.here.failed()
    ways.token = SOMEBODY
    assert (await ways.json("list")) == []
    for line, code, says in (
        ("status sweep", 1, "there is no batch sweep"),
        ("pause sweep", 1, "there is no batch sweep"),
        ("retry sweep-1", 3, "there is no job sweep-1"),
        ("cancel sweep-1", 3, "there is no batch or job sweep-1"),
        ("halt retries", 1, "ask with --as-admin"),
        ("halt retries --as-admin", 1, "ask without --as-admin"),
        ("repair", 1, "ask with --as-admin"),
        ("reap --as-admin", 1, "ask without --as-admin"),
    ):
        told = await ways.api(line)
        assert told.code == code, line
        assert says in told.err + told.out, line


async def test_as_admin_changes_what_is_others(ways: TwoWays) -> None:
    """Without it the refusal names the owner, as over the store."""
    await ways.here.failed()
    refused = await ways.api("pause sweep")
    assert refused.code == 1
    assert "belongs to ada" in refused.err
    assert (await ways.api("retry sweep-1")).code == 3
    for line in ("pause sweep", "retry sweep-1", "halt retries", "unhalt retries", "repair", "reap"):
        told = await ways.api(f"{line} --as-admin")
        assert told.code == 0, told.err


URL = "BATCHKEEPER_URL"


@pytest.mark.parametrize(
    ("environment", "says"),
    [
        ({URL: "batchkeeper.example"}, "is no address"),
        ({URL: "ftp://batchkeeper.example"}, "is no address"),
        ({URL: "http://[::1"}, "is no address"),
        ({URL: "http://me:hunter2@batchkeeper.example"}, "holds a user or a password"),
        ({URL: "https://batchkeeper.example/?x=1"}, "leave out"),
        ({URL: "http://batchkeeper.example"}, "BATCHKEEPER_INSECURE=1"),
        ({URL: "http://127.0.0.1.example"}, "BATCHKEEPER_INSECURE=1"),
        ({URL: "https://b.example", "BATCHKEEPER_TOKEN": "hunter2 hunter2"}, "give the token alone"),
        ({URL: "https://b.example", "BATCHKEEPER_TOKEN": "", "BATCHKEEPER_TOKEN_FILE": "nowhere"}, "nowhere"),
    ],
)
def test_a_bad_address_is_refused_before_anything_is_sent(environment: dict[str, str], says: str) -> None:
    """One line names the variable; no password and no token is in it."""
    with pytest.raises(BatchkeeperError) as refused:
        address_of({"BATCHKEEPER_TOKEN": TOKEN, **environment})
    assert says in str(refused.value)
    assert "hunter2" not in str(refused.value)
    assert TOKEN not in str(refused.value)


@pytest.mark.parametrize(
    "words", ["list", "status sweep", "retry sweep-1", "plan spec.yaml", "submit spec.yaml"]
)
def test_a_configuration_beside_the_address_is_refused(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, words: str
) -> None:
    """It would not be read, whether there is such a file or not; what the environment names may stay."""
    monkeypatch.setenv(URL, "http://127.0.0.1:9")
    told = shell(*words.split(), "--config", "/no/such/file.yaml")
    assert told.code == 1
    assert "BATCHKEEPER_URL is set, and --config /no/such/file.yaml would not be read: unset it" in told.err
    assert told.err.endswith("or leave out --config\n")
    assert len(told.err.splitlines()) == 1
    monkeypatch.setenv("BATCHKEEPER_CONFIG", "/no/such/file.yaml")
    assert "is the controller up" in shell("list").err


@pytest.mark.parametrize(
    "environment",
    [
        {URL: "https://batchkeeper.example/"},
        {URL: "http://127.0.0.1:8080"},
        {URL: "http://localhost:8080"},
        {URL: "http://[::1]:8080"},
        {URL: "http://batchkeeper.example", "BATCHKEEPER_INSECURE": "1"},
    ],
)
def test_a_good_address_is_taken(environment: dict[str, str]) -> None:
    """TLS, this machine, or whoever says that the network is theirs; the token is not shown by a slip."""
    address = address_of({"BATCHKEEPER_TOKEN": TOKEN, **environment})
    assert address.token == TOKEN
    assert not address.url.endswith("/")
    assert TOKEN not in repr(address)


def test_a_token_is_read_from_its_file(place: Place) -> None:
    """Without the newline at its end; an empty file is told."""
    from pathlib import Path

    Path("token").write_text(f"{TOKEN}\n")
    environment = {URL: "https://batchkeeper.example", "BATCHKEEPER_TOKEN_FILE": "token"}
    assert address_of(environment).token == TOKEN
    Path("token").write_text("\n")
    with pytest.raises(BatchkeeperError, match="is empty"):
        address_of(environment)


def test_no_configuration_is_read_over_the_api(
    place: Place, shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mistake in a file that plays no part is no reason to fail: the address is."""
    from pathlib import Path

    Path("config.yaml").write_text("no: such: thing")
    monkeypatch.setenv(URL, "nonsense")
    assert "BATCHKEEPER_URL is no address" in shell("list").err


def test_a_file_that_never_ends_is_read_no_further_than_a_spec_may_be() -> None:
    """It filled the memory."""
    content, _ = way_api._read(Path("/dev/zero"))
    assert len(content) == LIMIT + 1
