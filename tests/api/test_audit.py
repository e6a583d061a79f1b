"""The audit log: every order is one line of it, also one that was refused, and no secret ever gets there."""

from __future__ import annotations

import asyncio
import gc
import logging
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from fastapi import Request

from controller.api.audit import Entry, entry_of
from controller.api.guard import Guard
from tests.api.place import ADA, BOB, ROOT, SPEC, Client, Place, place

Line = Mapping[str, Any]
SECRETS = (ADA, BOB, ROOT, "never-shown-to-others")


@pytest.fixture(autouse=True)
def _heard(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)


def lines(caplog: pytest.LogCaptureFixture) -> list[Line]:
    """What the audit log says so far."""
    return [one.msg for one in caplog.records if one.name == "audit" and isinstance(one.msg, dict)]


async def orders(here: Place, job_id: str, batch_id: str) -> list[tuple[str, Any]]:
    """Every POST of the OpenAPI document, with a body that is good: a new route is here by itself."""
    document = (await here.root.get("/openapi.json")).body
    found = []
    for path, item in document["paths"].items():
        if "post" not in item:
            continue
        content = item["post"]["requestBody"]["content"]["application/json"]
        known = content["schema"]["$ref"].rpartition("/")[2] != "Spec"
        body = {**content["example"], "as_admin": True} if known else spec()
        if "job_ids" in body:
            body["job_ids"] = [job_id]
        found.append((path.replace("{id}", job_id if "/jobs/" in path else batch_id), body))
    return found


def spec() -> dict[str, Any]:
    """A spec as JSON, with an env value that is nobody else's business."""
    job = {
        "image": SPEC.partition("image: ")[2].partition("\n")[0],
        "command": ["work"],
        "env": {"PHRASE": "never-shown-to-others"},
        "resources": {"cpu": 1, "memory": "1Gi"},
    }
    head = {"apiVersion": "batchkeeper/v1", "kind": "Batch", "name": "sent", "maxConcurrent": 1}
    return {**head, "tasks": {"range": {"name": "N", "from": 1, "to": 2}}, "job": job}


async def test_every_order_is_one_line(here: Place, caplog: pytest.LogCaptureFixture) -> None:
    """Done, refused, not understood or sent by nobody: one line with who, what, outcome and request."""
    batch, jobs = await here.failed()
    table = await orders(here, jobs[0].id, batch.id)
    assert len(table) >= 14
    senders: list[tuple[Client, str, bool, set[int]]] = [
        (here.root, "root", True, {200, 201, 409}),
        (here.bob, "bob", True, {200, 403, 404}),
        (here.root, "root", False, {415, 422}),
        (here.as_(""), "unknown, from 127.0.0.1", True, {401}),
        (here.as_("wrong-token-0123456789"), "unknown, from 127.0.0.1", True, {401}),
    ]
    for client, name, good, statuses in senders:
        for path, body in table:
            caplog.clear()
            got = await client.post(path, body if good else {"nonsense": SECRETS[3]})
            assert got.status in statuses, (path, name, got.body)
            (line,) = lines(caplog)
            assert line["who"] == name, path
            assert line["request"] == got.headers["x-request-id"], path
            assert line["what"], path
            assert (line["outcome"] == "done") == (got.status < 300), (path, line)
            if got.status >= 400:
                assert got.body["type"].endswith(f":{line['outcome']}"), path
            assert not any(secret in str(one.__dict__) for one in caplog.records for secret in SECRETS), path


async def test_what_an_order_came_to(here: Place, caplog: pytest.LogCaptureFixture) -> None:
    """How many ids, how many done and refused, on what; a repetition says that it is one."""
    batch, jobs = await here.failed()
    body = {"job_ids": [jobs[0].id, jobs[1].id, "0" * 24]}
    key = {"Idempotency-Key": "k1"}
    first = await here.ada.post("/api/v1/jobs/retry", body, headers=key)
    await here.ada.post("/api/v1/jobs/retry", body, headers=key)
    await here.ada.post(f"/api/v1/batches/{batch.id}/pause?dry_run=true")
    bulk, again, dry = lines(caplog)
    said = {"who": "ada", "how": "static", "what": "retry", "ids": 3, "done": 2, "refused": 1}
    assert said.items() <= bulk.items()
    assert (again["replayed"], again["request"]) == (True, first.headers["x-request-id"])
    assert (dry["what"], dry["of"], dry["dry_run"]) == ("pause", batch.id, True)


async def test_an_unknown_parameter_is_refused_to_somebody(
    tmp_path: Path, mongo_uri: str, mongo_database: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever asks is known before it is looked at: it counts for their pace, and its line has their name."""
    slow = {"rate": 0.1, "burst": 3}
    async with place(tmp_path, mongo_uri, mongo_database, api=slow) as here:
        known = await here.ada.post("/api/v1/jobs/retry?x=1", {"job_ids": ["0" * 24]})
        assert known.status == 422
        assert "no such parameter" in known.body["detail"]
        assert [line["who"] for line in lines(caplog)] == ["ada"]
        caplog.clear()
        statuses = [(await here.as_("").post("/api/v1/jobs/retry?x=1")).status for _ in range(12)]
        assert statuses[0] == 401
        assert statuses[-1] == 429
        assert len(lines(caplog)) == statuses.count(401) < 12


async def test_reading_is_no_order(here: Place, caplog: pytest.LogCaptureFixture) -> None:
    """What only reads leaves no line, nor does what there is no route for."""
    await here.failed()
    for method, path in (
        ("GET", "/api/v1/jobs"),
        ("GET", "/api/v1/jobs?status=x"),
        ("DELETE", "/api/v1/jobs"),
        ("POST", "/api/v1/nothing"),
    ):
        await here.bob.ask(method, path)
    assert lines(caplog) == []


async def _leave(here: Place, path: str, **headers: str) -> None:
    """Announce a body, send a part of it, and go."""
    at = urlsplit(here.url)
    _, writer = await asyncio.open_connection(at.hostname, at.port)
    head = {
        "Host": at.netloc,
        "Authorization": f"Bearer {ADA}",
        "Content-Type": "application/json",
        **headers,
    }
    told = "".join(f"{name}: {value}\r\n" for name, value in head.items())
    writer.write(f"POST {path} HTTP/1.1\r\n{told}Content-Length: 1000\r\n\r\n{{".encode())
    await writer.drain()
    await asyncio.sleep(0.05)
    writer.close()
    await writer.wait_closed()


@pytest.mark.parametrize("path", ["jobs/retry", "batches", "halt"])
async def test_a_client_that_leaves_is_no_bug(
    here: Place, caplog: pytest.LogCaptureFixture, path: str
) -> None:
    """A connection that ends within the body is a line of the audit log, and no traceback."""
    await _leave(here, f"/api/v1/{path}", **{"Idempotency-Key": "k1"})
    for _ in range(600):
        if lines(caplog):
            break
        await asyncio.sleep(0.1)
    (line,) = lines(caplog)
    assert (line["who"], line["outcome"]) == ("ada", "left")
    assert [one for one in caplog.records if one.exc_info or one.levelno >= logging.ERROR] == []


async def test_a_bug_is_a_line_too(
    here: Place, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What no route foresaw is in the audit log by the name of its error."""

    async def burst(*args: Any, **kwargs: Any) -> Any:
        raise ZeroDivisionError

    batch, _ = await here.failed()
    monkeypatch.setattr(here.store, "batch", burst)
    got = await here.ada.post(f"/api/v1/batches/{batch.id}/pause")
    assert got.status == 500
    assert [line["outcome"] for line in lines(caplog)] == ["ZeroDivisionError"]


async def test_a_request_that_is_over_is_held_by_nothing() -> None:
    """What it was, and what was noted of it, held each other until everything was looked at, hours later."""
    noted = list[weakref.ref[Entry]]()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        noted.append(weakref.ref(entry_of(Request(scope))))

    async def nothing(*_: object) -> Any:
        return {"type": "http.disconnect"}

    gc.disable()
    try:
        told = {"type": "http", "path": "/", "method": "GET", "headers": []}
        await Guard(app, max_body=10)(told, nothing, nothing)
        del told
        assert noted[0]() is None
    finally:
        gc.enable()
