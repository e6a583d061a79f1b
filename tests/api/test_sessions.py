"""On one machine: the printed URL lets in once, and its cookie writes from our own page only."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from controller.api.auth_session import SECONDS, Sessions
from tests.api.place import Place, place


@pytest.fixture
async def local(tmp_path: Path, mongo_uri: str, mongo_database: str) -> AsyncIterator[Place]:
    """A server that whoever started it may enter by URL; nobody has a token."""
    sessions = Sessions("local:ada", lambda: 0.0)
    async with place(tmp_path, mongo_uri, mongo_database, authenticators=[], sessions=sessions) as made:
        yield made


async def test_the_url_lets_in_once(local: Place) -> None:
    """The one-time token becomes a cookie that scripts can't read, and opens nothing a second time."""
    url = local.api.page(local.url)
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as browser:
        async with browser.get(f"{local.url}/api/v1/batches") as got:
            assert got.status == 401
        async with browser.get(url, allow_redirects=False) as got:
            assert (got.status, got.headers["location"]) == (303, "/")
            flags = got.headers["set-cookie"].lower()
        assert "httponly" in flags
        assert "samesite=strict" in flags
        async with browser.get(f"{local.url}/api/v1/batches") as got:
            assert got.status == 200
        async with browser.get(url, allow_redirects=False) as got:
            assert got.status == 401
            assert "set-cookie" not in got.headers
    assert local.api.page(local.url) != url


async def test_two_daemons_on_one_machine(
    local: Place, tmp_path: Path, mongo_uri: str, mongo_database: str
) -> None:
    """Browsers keep a cookie for all ports of a name: whoever entered at one was put out at the other."""
    (tmp_path / "other").mkdir()
    sessions = Sessions("local:ada", lambda: 0.0)
    other = place(tmp_path / "other", mongo_uri, mongo_database, authenticators=[], sessions=sessions)
    async with (
        other as there,
        aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as browser,
    ):
        for one in (local, there):
            async with browser.get(one.api.page(one.url), allow_redirects=False) as got:
                assert got.status == 303
        for one in (local, there):
            async with browser.get(f"{one.url}/api/v1/batches") as got:
                assert got.status == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "same"}, 200),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
        ({}, 403),
        ({"Origin": "http://127.0.0.1:1"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://evil.example", "Sec-Fetch-Site": "same-origin"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
    ],
)
async def test_a_cookie_writes_from_its_own_page_only(
    local: Place, headers: dict[str, str], status: int
) -> None:
    """A page of another origin, another port of this machine included, can make a browser send nothing."""
    sessions = local.api.context.sessions
    assert sessions
    cookie = sessions.enter(sessions.token)
    batch = await local.submit(user="local:ada")
    told = {name: local.url if value == "same" else value for name, value in headers.items()}
    answer = await local.as_("").post(
        f"/api/v1/batches/{batch.id}/pause",
        headers={"Cookie": f"batchkeeper-{local.url.rpartition(':')[2]}={cookie}", **told},
    )
    assert answer.status == status, answer.body


def test_a_session_ends() -> None:
    """After twelve hours the cookie is worth nothing."""
    now = 0.0
    sessions = Sessions("local:ada", lambda: now)
    cookie = sessions.enter(sessions.token)
    assert cookie
    assert sessions.identify(cookie)
    assert sessions.identify("another") is None
    now = SECONDS
    assert sessions.identify(cookie) is None
