"""What goes over the wire at /rpc: statuses, headers, tokens, limits, and what is told when all is down."""

import asyncio
import json
import logging
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from urllib.parse import urlsplit

import pytest
from fastapi import Request

from controller.api import rpc as rpc_module
from controller.api.audit import KEY, Entry
from controller.api.auth import Identity
from controller.api.auth_session import COOKIE, Sessions
from controller.api.rpc import call as endpoint
from controller.people import People
from controller.ports import Store, Unavailable
from tests.api.rpc.client import Raw
from tests.api.rpc.world import ADA, RpcWorld, open_world


def call(method: str, params: dict[str, Any], call_id: Any = "7") -> dict[str, Any]:
    """A call as it goes over the wire."""
    return {"version": "1.1", "id": call_id, "method": method, "params": [params]}


def block(answer: Raw) -> dict[str, Any]:
    """The error block of an answer that has one."""
    assert answer.content_type == "application/json"
    assert set(answer.document) == {"version", "id", "error"}
    found: dict[str, Any] = answer.document["error"]
    assert set(found) == {"name", "code", "message", "error"}
    return found


async def test_a_result_is_wrapped(rpc: RpcWorld) -> None:
    """Version, id and the results in a list, also when the list has one list in it, or nothing."""
    job = await rpc.failed()
    asked = call("execution_engine2.retry_jobs", {"job_ids": [job.id]}, 7)
    answer = await rpc.send(asked)
    assert (answer.status, answer.content_type) == (200, "application/json")
    document = answer.document
    assert set(document) == {"version", "id", "result"}
    assert (document["version"], document["id"]) == ("1.1", 7)
    assert [len(document["result"]), len(document["result"][0])] == [1, 1]
    asked = call("execution_engine2.cancel_job", {"job_id": job.id})
    assert (await rpc.send(asked)).document["result"] == []


@pytest.mark.parametrize(
    "method", ["retry_jobs", "execution_engine2", "execution_engine2.", "execution_engine2.run_job",
               "njs.retry_jobs", "execution_engine2.retry_jobs.x", "execution_engine2.__class__"],
)  # fmt: skip
async def test_other_methods_are_not_found(rpc: RpcWorld, method: str) -> None:
    """Whatever is not one of the six, and the answer names these."""
    answer = await rpc.send(call(method, {}))
    assert answer.status == 500
    found = block(answer)
    assert (found["name"], found["code"]) == ("Method not found", -32601)
    assert "execution_engine2.check_job_batch" in found["message"]


async def test_a_token_is_needed(rpc: RpcWorld) -> None:
    """Without one, and with one that is nobody's, EE2's 500 and not 401, which its clients don't read."""
    job = await rpc.failed()
    asked = call("execution_engine2.check_job", {"job_id": job.id})
    missing, wrong = "Authentication required", "Token validation failed"
    for token, words in ((None, missing), ("", missing), ("Bearer ", missing), ("nobody", wrong)):
        answer = await rpc.send(asked, token)
        assert answer.status == 500
        found = block(answer)
        assert (found["name"], found["code"]) == ("Server error", -32000)
        assert found["message"].startswith(words)
        assert answer.document["id"] is None
    for token in (ADA, f"Bearer {ADA}", f"bearer  {ADA}"):
        assert (await rpc.send(asked, token)).status == 200


async def test_an_order_of_nobody_is_a_line_of_the_audit_log(
    rpc: RpcWorld, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever guesses tokens here was in no log; their call is not read, so that what it is can't be told.
    What somebody known only reads is in none."""
    caplog.set_level(logging.INFO)
    job, told = await rpc.failed(), []
    for method, token in (("retry_job", "nobody"), ("cancel_job", None), ("check_job", "nobody")):
        await rpc.send(call(f"execution_engine2.{method}", {"job_id": job.id}), token)
    rpc.here.api.context.world = None
    for method in ("check_job", "retry_job"):
        await rpc.send(call(f"execution_engine2.{method}", {"job_id": job.id}))
    for one in caplog.records:
        if one.name == "audit" and isinstance(one.msg, dict):
            told.append(tuple(one.msg[name] for name in ("who", "what", "ids", "outcome")))
    assert told == [
        *[("unknown, from 127.0.0.1", "POST /rpc", 0, "unknown-caller")] * 3,
        ("ada", "execution_engine2.retry_job", 1, "unavailable"),
    ]


async def test_too_long_a_body(rpc: RpcWorld) -> None:
    """413 with a block, for one byte more than 1 MiB; exactly that much is read."""
    full = b'{"pad": "' + b"x" * (2**20 - 11) + b'"}'
    assert len(full) == 2**20
    assert block(await rpc.send(full))["name"] == "Invalid Request"
    answer = await rpc.send(full + b" ")
    assert (answer.status, block(answer)["code"]) == (413, -32600)


@pytest.mark.parametrize("verb", ["GET", "PUT", "DELETE", "PATCH"])
async def test_only_post(rpc: RpcWorld, verb: str) -> None:
    """Another verb is told which one it is."""
    answer = await rpc.send(b"", ADA, verb)
    assert answer.status == 405
    assert "POST" in block(answer)["message"]


async def test_a_broken_body_has_no_id(rpc: RpcWorld) -> None:
    """A parse error is answered with a null id."""
    answer = await rpc.send(b"{")
    assert (answer.status, answer.document["id"], block(answer)["code"]) == (500, None, -32700)


@pytest.mark.parametrize("token", [None, "nobody"])
async def test_what_nobody_sends_is_not_read(
    rpc: RpcWorld, monkeypatch: pytest.MonkeyPatch, token: str | None
) -> None:
    """A MiB of brackets held everybody up for 0.2 s, whoever sent it."""

    def read(body: bytes) -> Any:
        raise AssertionError("it was read")

    monkeypatch.setattr(rpc_module, "read_document", read)
    for body in (b"{", b"[" + b"{}," * 2**18 + b"{}]", b" " * (2**20 + 1)):
        answer = await rpc.send(body, token)
        assert (answer.status, answer.document["id"], block(answer)["code"]) == (500, None, -32000)


async def test_a_body_of_nobody_is_not_waited_for(rpc: RpcWorld) -> None:
    """It was kept for a minute, up to a MiB of it: many such at once were much memory. Whoever waits to be
    told to send it is not."""
    at = urlsplit(rpc.url)
    for more in ("", "Expect: 100-continue\r\n"):
        reader, writer = await asyncio.open_connection(at.hostname, at.port)
        head = f"POST /rpc HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n{more}\r\n"
        writer.write(head.encode() + (b"" if more else b"[" * 1000))
        async with asyncio.timeout(30):
            assert await reader.readline() == b"HTTP/1.1 500 Internal Server Error\r\n"
        writer.close()
        await writer.wait_closed()


async def test_a_parameter_in_the_url_is_nothing(rpc: RpcWorld) -> None:
    """It is not read, and no other protocol's refusal comes back."""
    job = await rpc.failed()
    asked = call("execution_engine2.check_job", {"job_id": job.id})
    answer = await rpc.send(asked, query="?as_admin=1")
    assert answer.document["result"][0]["job_id"] == job.id


async def test_a_cookie_is_nobody(tmp_path: Path, mongo_uri: str, rpc_database: str) -> None:
    """What a browser sends by itself lets nobody in here, though it does at /api/v1."""
    sessions = Sessions("ada", lambda: 0.0)
    async with open_world(tmp_path, mongo_uri, rpc_database, sessions=sessions) as rpc:
        job = await rpc.failed()
        port = rpc.here.url.rpartition(":")[2]
        cookie = {"Cookie": f"{COOKIE}-{port}={sessions.enter(sessions.token)}"}
        asked = call("execution_engine2.check_job", {"job_id": job.id})
        assert "no authentication" in block(await rpc.send(asked, None, headers=cookie))["message"]


async def test_whoever_asks_too_fast(tmp_path: Path, mongo_uri: str, rpc_database: str) -> None:
    """The pace of /api/v1 holds here too, told in a block, with the time after which to ask again."""
    slow = {"rate": 0.001, "burst": 2}
    async with open_world(tmp_path, mongo_uri, rpc_database, api=slow) as rpc:
        job = await rpc.failed()
        asked = call("execution_engine2.check_job", {"job_id": job.id})
        answers = [await rpc.send(asked) for _ in range(3)]
        assert [answer.status for answer in answers] == [200, 200, 500]
        assert "requests a second" in block(answers[2])["message"]
        assert int(answers[2].headers["retry-after"]) > 0
        assert answers[2].document["id"] is None


@pytest.mark.parametrize("token", [ADA, None, "nobody"])
@pytest.mark.parametrize("body", [b"{", b"[]", json.dumps(call("njs.retry_jobs", {})).encode()])
async def test_what_is_no_good_call_counts_too(
    tmp_path: Path, mongo_uri: str, rpc_database: str, token: str | None, body: bytes
) -> None:
    """Whatever was refused before its sender was asked for met no pace, however fast it came."""
    slow = {"rate": 0.001, "burst": 2}
    async with open_world(tmp_path, mongo_uri, rpc_database, api=slow) as rpc:
        answers = [await rpc.send(body, token) for _ in range(3)]
        assert ["requests a second" in block(answer)["message"] for answer in answers] == [False, False, True]


async def test_where_it_is_off(tmp_path: Path, mongo_uri: str, rpc_database: str) -> None:
    """Where nobody could be told from anybody, every call is refused in one line that says what to set."""
    async with open_world(tmp_path, mongo_uri, rpc_database, authenticators=[]) as rpc:
        job = await rpc.failed()
        assert "auth.static.file" in await rpc.refusal("retry_job", {"job_id": job.id})
        assert block(await rpc.send(b"", None, "GET"))["name"] == "Server error"


async def test_a_sender_who_leaves(rpc: RpcWorld) -> None:
    """A connection that ends within its body is no bug of ours with a traceback in the log."""

    async def left() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    scope: dict[str, Any] = {"type": "http", "method": "POST", "path": "/rpc", "query_string": b""}
    scope["headers"] = [(b"authorization", ADA.encode())]
    scope["app"] = SimpleNamespace(state=SimpleNamespace(context=rpc.here.api.context))
    scope["state"] = {"request_id": "1", KEY: Entry(scope, "1")}
    answer = await endpoint(Request(scope, left))
    assert json.loads(bytes(answer.body))["error"]["code"] == -32700


class Unsure:
    """Knows nobody, for it can't ask."""

    name = "unsure"

    async def identify(self, token: str) -> Identity | None:
        """Never tells."""
        raise Unavailable("issuer.internal does not answer")


async def test_when_nobody_can_be_told_apart(tmp_path: Path, mongo_uri: str, rpc_database: str) -> None:
    """Nothing is done, and the client reads that it may ask again; nothing of what could not be asked."""
    async with open_world(tmp_path, mongo_uri, rpc_database, authenticators=[Unsure()]) as rpc:
        job = await rpc.failed()
        message = await rpc.refusal("retry_job", {"job_id": job.id})
    assert "ask again" in message
    assert "internal" not in message


class Away:
    """A store that can't be reached, in words that are for the log only."""

    def __getattr__(self, name: str) -> Any:
        async def call(*_: Any, **__: Any) -> Any:
            raise Unavailable("mongodb: no answer from db.internal:27017")

        return call


@pytest.mark.parametrize("method", ["retry_jobs", "check_jobs"])
@pytest.mark.parametrize("ever", [True, False])
async def test_while_the_database_is_away(rpc: RpcWorld, method: str, ever: bool) -> None:
    """The client gets an error block that says to ask again, and nothing of where the database is; also
    before it was there for the first time."""
    context = rpc.here.api.context
    assert context.world is not None
    away = People(cast("Store", Away()), context.world.people.clock)
    context.world = replace(context.world, people=away) if ever else None
    message = await rpc.refusal(method, {"job_ids": ["0" * 24]})
    assert "ask again" in message
    assert "internal" not in message
