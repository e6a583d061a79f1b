"""What an attacker would try: to learn of others by asking, to come in by another name, to make noise."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from controller.api.auth import Identity
from controller.api.auth_review import BURST, ReviewedTokens
from controller.api.auth_session import Sessions
from controller.api.auth_static import BadTokenFile, StaticTokens
from controller.ports import Reviewed, Unavailable
from tests.api.place import SPEC, Answer, Place, place

NOTHING = "0" * 24


def told(answer: Answer, *names: str) -> str:
    """What an answer says, with these ids and its own taken out."""
    text = str((answer.status, {**answer.body, "request_id": "", "instance": ""}))
    for name in names:
        text = text.replace(name, NOTHING)
    return text


@pytest.mark.parametrize("what", ["retry", "cancel"])
async def test_orders_tell_nothing_of_others(here: Place, what: str) -> None:
    """Somebody else's job or batch is answered word for word like what is not there, alone and among many."""
    batch, jobs = await here.failed()
    for known in (jobs[0].id, batch.id):
        single = [await here.bob.post(f"/api/v1/jobs/{id_}/{what}") for id_ in (known, NOTHING)]
        many = [await here.bob.post(f"/api/v1/jobs/{what}", {"job_ids": [id_]}) for id_ in (known, NOTHING)]
        for there, not_there in (single, many):
            assert told(there, known) == told(not_there), (what, known)
            assert "ada" not in told(there)


async def test_whoever_sees_a_job_is_told_whose_it_is(here: Place) -> None:
    """An admin who forgot as_admin is told the owner, and what to do."""
    _, jobs = await here.failed()
    single = await here.root.post(f"/api/v1/jobs/{jobs[0].id}/retry")
    assert (single.status, "belongs to ada" in single.body["detail"]) == (403, True)
    many = await here.root.post("/api/v1/jobs/retry", {"job_ids": [jobs[0].id]})
    assert "belongs to ada" in many.body["answers"][0]["error"]


async def test_a_name_that_is_taken_is_not_told_with_its_owner(here: Place) -> None:
    """Names are for all; who may see the batch is told whose it is, and what to do."""
    await here.submit("secret")
    sent = SPEC.format(name="secret", tasks=2).replace("  env: {PHRASE: never-shown-to-others}\n", "")
    for query in ("", "?dry_run=true"):
        asked = {"data": sent, "headers": {"Content-Type": "application/yaml"}}
        got = await here.bob.ask("POST", f"/api/v1/batches{query}", **asked)
        assert (got.status, got.body["detail"]) == (403, "the name secret is taken: choose another")
        assert "ada" not in str(got.body)
        got = await here.root.ask("POST", f"/api/v1/batches{query}", **asked)
        assert "belongs to ada" in got.body["detail"]


async def test_a_name_is_found_among_ones_own(here: Place) -> None:
    """Others' batches of the same name neither hide one's own nor make it ambiguous."""
    await here.submit("sweep", user="bob")
    await here.submit("other", user="ada")
    assert (await here.bob.get("/api/v1/batches/sweep")).status == 200
    assert (await here.bob.get("/api/v1/batches/other")).status == 404


class Away:
    """An authenticator with something to say about the inside."""

    name = "away"

    async def identify(self, token: str) -> Identity | None:
        """Can't."""
        raise Unavailable("the API server https://10.1.2.3 refuses /etc/secret")


async def test_the_unknown_learn_nothing_of_the_inside(
    tmp_path: Path, mongo_uri: str, mongo_database: str
) -> None:
    """Which hosts and files are asked whose a token is stands in the log, not in the answer."""
    async with place(tmp_path, mongo_uri, mongo_database, authenticators=[Away()]) as here:
        got = await here.ada.get("/api/v1/jobs")
        assert (got.status, got.headers["retry-after"]) == (503, "5")
        assert "10.1.2.3" not in str(got.body)
        assert "secret" not in str(got.body)


@pytest.mark.parametrize("header", ["evil.example", "evil.example:80", "[::1", "127.0.0.1.evil.example", ""])
async def test_a_session_is_for_this_machines_names_only(
    tmp_path: Path, mongo_uri: str, mongo_database: str, header: str
) -> None:
    """A name that somebody pointed at 127.0.0.1 opens nothing, and does not use the one-time token up."""
    sessions = Sessions("local:ada", lambda: 0.0)
    async with place(tmp_path, mongo_uri, mongo_database, authenticators=[], sessions=sessions) as here:
        token, nobody = sessions.token, here.as_("")
        got = await nobody.get(f"/enter?token={token}", headers={"Host": header}, allow_redirects=False)
        assert got.status in (400, 403)
        cookie = sessions.enter(token)
        assert cookie
        told = "; ".join(f"batchkeeper-{port}={cookie}" for port in (0, 1, 80))
        for host, status in ((header, {400, 403}), ("localhost:1", {200}), ("[::1]", {200})):
            read = await nobody.get("/api/v1/jobs", headers={"Host": host, "Cookie": told})
            assert read.status in status, host


async def test_a_forged_address_is_not_believed(tmp_path: Path, mongo_uri: str, mongo_database: str) -> None:
    """Whoever guesses tokens is told 429, whatever the headers say of where they are; a token that is right
    is let in from the same address: behind a proxy all have one."""
    limits = {"rate": 0.001, "burst": 3}
    async with place(tmp_path, mongo_uri, mongo_database, api=limits) as here:
        found = []
        for n in range(6):
            headers = {"X-Forwarded-For": f"10.0.0.{n}", "Forwarded": f"for=10.0.0.{n}"}
            guess = here.as_(f"wrong-token-0123456789-{n}" if n % 2 else "")
            found.append((await guess.get("/api/v1/jobs", headers=headers)).status)
        assert found == [401] * 3 + [429] * 3
        assert (await here.ada.get("/api/v1/jobs")).status == 200


# ----------------------------------------------------------------------------------------- their sources


def test_a_file_of_somebody_else_lets_nobody_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever owns the file of tokens could write themselves into it: it must be ours or root's."""
    path = tmp_path / "tokens"
    path.write_text("token-0123456789abc ada\n")
    path.chmod(0o600)
    if os.geteuid() == 0:
        os.chown(path, 4242, -1)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: 4242)
    with pytest.raises(BadTokenFile, match="owns it"):
        asyncio.run(StaticTokens(path).identify("token-0123456789abc"))


NOBODYS, OURS, THEIRS = 4242, 4243, 4244
"""A user, a group of that user's, and one of others."""


@pytest.mark.parametrize(
    ("owner", "group", "mode", "good"),
    [
        (0, OURS, 0o440, True),
        (0, OURS, 0o640, True),
        (0, THEIRS, 0o440, False),
        (0, OURS, 0o460, False),
        (0, OURS, 0o450, False),
        (0, OURS, 0o444, False),
        (0, OURS, 0o442, False),
        (NOBODYS, OURS, 0o640, False),
        (NOBODYS, OURS, 0o600, True),
    ],
)
async def test_a_mounted_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, owner: int, group: int, mode: int, good: bool
) -> None:
    """Root's file for a group of ours is what a pod with an fsGroup gets; others may do nothing."""
    path = tmp_path / "tokens"
    path.write_text("token-0123456789abc ada\n")
    if os.geteuid() == 0:
        os.chown(path, owner, group)
    else:
        fstat = os.fstat
        monkeypatch.setattr(os, "fstat", lambda descriptor: _owned(fstat(descriptor), owner, group))
    path.chmod(mode)
    monkeypatch.setattr(os, "geteuid", lambda: NOBODYS)
    monkeypatch.setattr(os, "getegid", lambda: NOBODYS)
    monkeypatch.setattr(os, "getgroups", lambda: [OURS])
    known = StaticTokens(path)
    if good:
        assert await known.identify("token-0123456789abc")
    else:
        with pytest.raises(BadTokenFile, match="others may read it"):
            await known.identify("token-0123456789abc")


def test_root_needs_no_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A daemon that is root reads its own file in any case: a group on it is somebody else."""
    path = tmp_path / "tokens"
    path.write_text("token-0123456789abc ada\n")
    path.chmod(0o640)
    fstat = os.fstat
    monkeypatch.setattr(os, "fstat", lambda descriptor: _owned(fstat(descriptor), 0, OURS))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(os, "getgroups", lambda: [OURS])
    with pytest.raises(BadTokenFile, match="others may read it"):
        asyncio.run(StaticTokens(path).identify("token-0123456789abc"))


def _owned(found: os.stat_result, owner: int, group: int) -> os.stat_result:
    """The same, of other owners."""
    return os.stat_result((*found[:4], owner, group, *found[6:]), {"st_mtime_ns": found.st_mtime_ns})


async def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    """What is no file is refused at once; a link to one is followed, as secrets are mounted."""
    os.mkfifo(tmp_path / "pipe", 0o600)
    with pytest.raises(BadTokenFile, match="it is no file"):
        await asyncio.wait_for(StaticTokens(tmp_path / "pipe").identify("x"), 30)
    real, link = tmp_path / "real", tmp_path / "link"
    real.write_text("token-0123456789abc ada\n")
    real.chmod(0o644)
    link.symlink_to(real)
    with pytest.raises(BadTokenFile, match="others may read it"):
        await StaticTokens(link).identify("token-0123456789abc")
    real.chmod(0o600)
    assert await StaticTokens(link).identify("token-0123456789abc")


class ApiServer:
    """A reviewer that is asked by everybody at once."""

    def __init__(self) -> None:
        self.asked = 0

    async def review(self, token: str, audiences: Sequence[str]) -> Reviewed | None:
        """Whose it is, after a while."""
        self.asked += 1
        await asyncio.sleep(0)
        return Reviewed("ada") if token == "good" else None


async def test_a_flood_of_made_up_tokens_is_kept_from_the_api_server() -> None:
    """The daemon's own requests go the same way: past a pace nobody new is asked about, the known go on."""
    server, now = ApiServer(), 0.0
    known = ReviewedTokens(server, (), timedelta(minutes=5), lambda: now)
    assert await known.identify("good")
    asked: list[Any] = [known.identify(f"made-up-{n}") for n in range(500)]
    found = await asyncio.gather(*asked, return_exceptions=True)
    assert server.asked <= BURST
    assert sum(isinstance(one, Unavailable) for one in found) >= 500 - BURST
    assert await known.identify("good")
    now = 60.0
    assert await known.identify("another") is None


async def test_a_flood_of_made_up_tokens_locks_nobody_out_who_was_known() -> None:
    """Their token is asked about again when its five minutes are over, at a pace that strangers do not use
    up; and however many of them there were, their names are still kept."""
    server, now = ApiServer(), 1000.0
    known = ReviewedTokens(server, (), timedelta(minutes=5), lambda: now)
    assert await known.identify("good")
    for second in range(400):
        now = 1000.0 + second
        asked: list[Any] = [known.identify(f"made-up-{second}-{n}") for n in range(3)]
        await asyncio.gather(*asked, return_exceptions=True)
    found = await known.identify("good")
    assert found
    assert found.user == "ada"


async def test_strangers_under_way_hold_up_nobody_who_was_known() -> None:
    """Questions about made-up tokens that the API server is slow to answer stand in nobody's way."""
    server, now = SlowServer(), 0.0
    known = ReviewedTokens(server, (), timedelta(minutes=5), lambda: now, at_once=1)
    assert await known.identify("good")
    stranger = asyncio.create_task(known.identify("made-up"))
    await asyncio.sleep(0)
    now = 301.0
    assert await asyncio.wait_for(known.identify("good"), 5)
    server.go_on.set()
    assert await stranger is None


class SlowServer(ApiServer):
    """A reviewer that looks long for whoever is nobody."""

    def __init__(self) -> None:
        super().__init__()
        self.go_on = asyncio.Event()

    async def review(self, token: str, audiences: Sequence[str]) -> Reviewed | None:
        """Whose it is, in the end."""
        if token != "good":
            await self.go_on.wait()
        return await super().review(token, audiences)


async def test_a_token_that_is_nobodys_any_more_is_asked_about_like_a_strangers() -> None:
    """A revoked one is not let in while its bad answer is kept, and has no pace of its own from then on."""
    server, now = Revoking(), 0.0
    known = ReviewedTokens(server, (), timedelta(minutes=5), lambda: now)
    assert await known.identify("once-good")
    server.revoked, now = True, 301.0
    assert await known.identify("once-good") is None
    assert await known.identify("once-good") is None
    assert server.asked == 2


class Revoking(ApiServer):
    """A reviewer whose one token can be taken back."""

    revoked = False

    async def review(self, token: str, audiences: Sequence[str]) -> Reviewed | None:
        """Whose it is now."""
        self.asked += 1
        return None if self.revoked else Reviewed("ada")


async def test_one_token_is_asked_about_once() -> None:
    """A page that asks many things at once costs the API server few questions."""
    server = ApiServer()
    known = ReviewedTokens(server, (), timedelta(minutes=5), lambda: 0.0, at_once=1)
    found = await asyncio.gather(*(known.identify("good") for _ in range(20)))
    assert {one.user for one in found if one} == {"ada"}
    assert server.asked == 1


@pytest.mark.parametrize("path", ["/api/v1/batches/", "/api/v1/jobs/retry/", "/rpc/", "/metrics/"])
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_nobody_is_sent_on(here: Place, method: str, path: str) -> None:
    """A slash too many is a path that there is not: whoever was sent on by http:// would take a token there
    that came by TLS, and to whatever host the request named."""
    got = await here.ada.ask(method, path, headers={"Host": "evil.example"}, allow_redirects=False)
    assert (got.status, got.headers.get("location")) == (404, None)
