"""What somebody who is neither owner nor admin sees and changes: nothing; and who may act as an admin."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from controller.api.auth import Identity
from controller.ports import Unavailable
from tests.api.place import BOB, SPEC, Place, place

SECRETS = ("never-shown-to-others", "a secret line")


def every_read(batch_id: str, job_id: str) -> list[str]:
    """Every path that shows something."""
    return [
        "/api/v1/batches",
        "/api/v1/batches?user=ada",
        "/api/v1/batches?name=sweep",
        f"/api/v1/batches/{batch_id}",
        "/api/v1/batches/sweep",
        f"/api/v1/batches/{batch_id}/report",
        f"/api/v1/batches/{batch_id}/explain",
        "/api/v1/jobs",
        "/api/v1/jobs?user=ada",
        f"/api/v1/jobs?batch={batch_id}",
        f"/api/v1/jobs/{job_id}",
        f"/api/v1/jobs/{job_id}/log",
        f"/api/v1/jobs/{job_id}/explain",
        f"/api/v1/events?batch={batch_id}",
    ]


def every_write(batch_id: str, job_id: str) -> list[tuple[str, dict[str, Any]]]:
    """Every order, with a body that would do something."""
    return [
        (f"/api/v1/jobs/{job_id}/retry", {}),
        (f"/api/v1/jobs/{job_id}/cancel", {}),
        ("/api/v1/jobs/retry", {"job_ids": [job_id]}),
        ("/api/v1/jobs/cancel", {"job_ids": [job_id]}),
        *[(f"/api/v1/batches/{batch_id}/{what}", {}) for what in ("cancel", "pause", "resume", "adopt")],
        (f"/api/v1/batches/{batch_id}/scale", {"max_concurrent": 9}),
        ("/api/v1/repair", {}),
        ("/api/v1/reap", {}),
        ("/api/v1/halt", {"what": "submissions"}),
        ("/api/v1/unhalt", {"what": "submissions"}),
    ]


async def _everything(here: Place) -> list[Any]:
    """All that the database holds, kept requests aside."""
    database = here.store._db
    return [await database[name].find().sort("_id").to_list() for name in ("jobs", "gates", "meta")]


async def test_who_names_a_batch_at_the_same_moment_does_not_change_it(
    here: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whose the name is was looked for before the other one had it: whoever comes second is refused as ever,
    and neither changes the batch nor reads of it."""
    real, before = here.store.batch_named, list[Any]()
    sent = SPEC.format(name="sweep", tasks=2).replace("  env: {PHRASE: never-shown-to-others}\n", "")
    headers = {"Content-Type": "application/yaml"}

    async def just_before(namespace: str, name: str) -> Any:
        monkeypatch.setattr(here.store, "batch_named", real)
        found = await real(namespace, name)
        assert (await here.ada.ask("POST", "/api/v1/batches", headers=headers, data=sent)).status == 201
        before.extend(await _everything(here))
        return found

    monkeypatch.setattr(here.store, "batch_named", just_before)
    other = sent.replace("maxConcurrent: 4", "maxConcurrent: 9")
    got = await here.bob.ask("POST", "/api/v1/batches", headers=headers, data=other)
    assert (got.status, got.body["detail"]) == (403, "the name sweep is taken: choose another")
    assert await _everything(here) == before


async def test_others_see_nothing(here: Place) -> None:
    """No path shows a word of somebody else's batch, job, env or log."""
    batch, jobs = await here.failed()
    for path in every_read(batch.id, jobs[0].id):
        got = await here.bob.get(path)
        if got.status == 200:
            assert got.items == [], path
        else:
            assert got.status == 404, path
        assert not any(secret in str(got.body) for secret in SECRETS), path


async def test_others_change_nothing(here: Place) -> None:
    """No order of somebody else changes anything, with as_admin or without, and each says so."""
    batch, jobs = await here.failed()
    before = await _everything(here)
    for path, body in every_write(batch.id, jobs[0].id):
        for more in ({}, {"as_admin": True}):
            got = await here.bob.post(path, {**body, **more})
            refused = got.status in (403, 404) or got.body.get("refused") == 1
            assert refused, (path, more, got.status, got.body)
    assert await _everything(here) == before


async def test_the_spec_of_somebody_elses_batch(here: Place) -> None:
    """Sent word for word it was taken for one's own: the answer named a batch that its sender may not see."""
    spec = {"data": SPEC.format(name="sweep", tasks=2), "headers": {"Content-Type": "application/yaml"}}
    assert [(await here.ada.ask("POST", "/api/v1/batches", **spec)).status for _ in range(2)] == [201, 200]
    told = await here.bob.ask("POST", "/api/v1/batches", **spec)
    assert (told.status, told.body["detail"].endswith("is taken: choose another")) == (403, True)


async def test_nobody_sees_or_changes_anything(here: Place) -> None:
    """Without a token, and with a wrong one, every path answers 401."""
    batch, jobs = await here.failed()
    for client in (here.as_(""), here.as_("wrong-token-0123456789")):
        for path in every_read(batch.id, jobs[0].id):
            assert (await client.get(path)).status == 401, path
        for path, body in every_write(batch.id, jobs[0].id):
            got = await client.post(path, body)
            assert (got.status, got.headers["www-authenticate"][:6]) == (401, "Bearer"), path


async def test_an_admin_must_say_so(here: Place) -> None:
    """A member of the admin group sees everything, and changes what is others' with as_admin only."""
    batch, jobs = await here.failed()
    assert (await here.root.get(f"/api/v1/jobs/{jobs[0].id}")).status == 200
    assert (await here.root.post(f"/api/v1/batches/{batch.id}/pause")).status == 403
    assert (await here.root.post(f"/api/v1/batches/{batch.id}/pause", {"as_admin": True})).status == 200
    assert (await here.ada.post(f"/api/v1/jobs/{jobs[0].id}/retry", {"as_admin": True})).status == 403


async def test_reading_may_be_open(tmp_path: Path, mongo_uri: str, mongo_database: str) -> None:
    """With auth.read: all everybody known sees everything, and still changes nothing of others'."""
    async with place(tmp_path, mongo_uri, mongo_database, auth={"read": "all"}) as here:
        batch, jobs = await here.failed()
        shown = await here.bob.get(f"/api/v1/jobs/{jobs[0].id}")
        assert "never-shown-to-others" in str(shown.body)
        assert (await here.bob.post(f"/api/v1/batches/{batch.id}/cancel")).status == 403


class Away:
    """An API server that can't be asked about anybody but those it answered for before."""

    name = "token-review"

    async def identify(self, token: str) -> Identity | None:
        """Bob is known by an answer that is kept."""
        if token == BOB:
            return Identity("bob")
        raise Unavailable("the API server is away")


class Names:
    """Somebody who may choose what their token calls them, as in some providers' `preferred_username`."""

    name = "oidc"

    async def identify(self, token: str) -> Identity | None:
        """Whatever the token says."""
        return Identity(token, frozenset({"admins"}), "oidc")


@pytest.mark.parametrize("name", ["s3:lab", "configmap:batches", "local:root"])
async def test_no_token_makes_somebody_nobody_or_a_user_of_this_machine(
    tmp_path: Path, mongo_uri: str, mongo_database: str, name: str
) -> None:
    """Specs that no line of the map gives to a user belong to such names, and so does what is local."""
    async with place(tmp_path, mongo_uri, mongo_database, authenticators=[Names()]) as here:
        batch = await here.submit(user=name)
        for got in (
            await here.as_(name).get("/api/v1/batches"),
            await here.as_(name).post(f"/api/v1/batches/{batch.id}/cancel"),
        ):
            assert (got.status, got.body["type"]) == (403, "urn:batchkeeper:problem:reserved-name")
            assert name in got.body["detail"]
        told = await here.as_(name).post("/rpc", {})
        assert "are no user's here" in told.body["error"]["message"]
        assert (await here.as_("ada").get("/api/v1/batches")).status == 200


async def test_who_cannot_be_told_is_asked_to_come_again(
    tmp_path: Path, mongo_uri: str, mongo_database: str
) -> None:
    """While the API server is away others get 503 and nothing is written; the known go on."""
    async with place(tmp_path, mongo_uri, mongo_database, authenticators=[Away()]) as here:
        batch, jobs = await here.failed(user="bob")
        before = await _everything(here)
        for path, body in every_write(batch.id, jobs[0].id):
            got = await here.ada.post(path, body)
            assert (got.status, got.headers["retry-after"]) == (503, "5"), path
        assert await _everything(here) == before
        assert (await here.bob.post(f"/api/v1/jobs/{jobs[0].id}/retry")).status == 200


async def test_without_any_way_to_tell_it_is_not_served(
    tmp_path: Path, mongo_uri: str, mongo_database: str
) -> None:
    """Fail closed: no authenticator, no API, and it says what to set; health and metrics go on."""
    async with place(tmp_path, mongo_uri, mongo_database, authenticators=[]) as here:
        for path in ("/api/v1/jobs", "/api/v1/nothing"):
            got = await here.ada.get(path)
            assert got.status == 503
            assert "auth.static.file" in got.body["detail"]
        assert (await here.ada.get("/livez")).status == 200


@pytest.mark.parametrize(("rate", "burst"), [(1.0, 3)])
async def test_one_caller_is_slowed_down_and_the_others_are_not(
    tmp_path: Path, mongo_uri: str, mongo_database: str, rate: float, burst: int
) -> None:
    """Past the burst comes 429 with Retry-After; somebody else is still answered."""
    limits = {"rate": rate, "burst": burst}
    async with place(tmp_path, mongo_uri, mongo_database, api=limits) as here:
        found = [await here.ada.get("/api/v1/batches") for _ in range(12)]
        slow = [one for one in found if one.status == 429]
        assert slow
        assert int(slow[0].headers["retry-after"]) >= 1
        assert (await here.bob.get("/api/v1/batches")).status == 200
