"""What changes is shown without reloading; who looks is asked, and asked again when that is over."""

from __future__ import annotations

import asyncio
import contextlib
import re
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.async_api import Browser, Route, expect

from controller.api.auth_session import Sessions
from tests.api.place import ADA, BOB, Place, place
from tests.web.browser import PATIENCE, Visitor, held_back, visitor
from tests.web.conftest import Comes
from tests.web.world import put, under_way

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_change_is_shown_and_the_focus_stays(here: Place, ada: Visitor) -> None:
    """A record that changes in the database is on the page soon; rows that go take no focus with them."""
    batch, jobs = await under_way(here)
    page = await ada.open(f"#/batches/{batch.id}", "sweep")
    await expect(page.locator("#live")).to_have_text("live")
    await page.get_by_label("Status").select_option("waiting")
    await expect(page.locator("tbody tr")).to_have_count(2)
    last = page.get_by_label("Choose sweep-12", exact=True)
    await last.focus()
    now = datetime.now(UTC)
    await put(here, jobs[10], status="running", slot=3, created=now, queued=now, running=now)
    await expect(page.locator("tbody tr")).to_have_count(1)
    await expect(last).to_be_focused()
    await put(here, jobs[11], status="completed", verdict="succeeded", finished=now, running=now)
    await here.store.recount(batch.id)
    await expect(page.get_by_text("No job is like that.")).to_be_visible()
    await expect(page.get_by_role("heading", name="Jobs", exact=True)).to_be_focused()
    await expect(page.get_by_text("5 completed")).to_be_visible()
    width = await page.locator(".bar i.completed").evaluate("one => one.style.width")
    assert width.startswith("41.66"), "bars move too"


async def test_an_older_answer_takes_nothing_back(here: Place, ada: Visitor) -> None:
    """A look was under way when a batch was paused, and its answer came last: it offered Pause again."""
    batch, _ = await under_way(here)
    page, sent, answers = await ada.open(f"#/batches/{batch.id}", "sweep"), asyncio.Event(), asyncio.Event()
    address = re.compile(rf"/api/v1/batches/{batch.id}$")

    async def late(route: Route) -> None:
        old = await route.fetch()
        sent.set()
        await answers.wait()
        await route.fulfill(response=old)

    await page.route(address, late, times=1)
    await page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    await sent.wait()
    await ada.button("Pause").click()
    await ada.button("Pause", ada.dialog).click()
    await expect(ada.button("Resume")).to_be_visible()
    _, newer = await held_back(page, address)
    async with page.expect_response(address):
        answers.set()
    await page.wait_for_timeout(300)
    await expect(ada.button("Resume")).to_be_visible(timeout=1)
    newer.set()


async def test_an_address_with_a_bad_percent_sign_is_live(here: Place, ada: Visitor) -> None:
    """What can't be decoded names nothing: the page says so, is live, and goes on to where it is sent."""
    for address in ("#/batches/100%", "#/jobs/%E0%A4%A"):
        page = await ada.open(address, "There is nothing here")
        await expect(page.locator("#live")).to_have_text("live")
    await page.get_by_role("link", name="All batches").click()
    await expect(page.get_by_text("No batch yet")).to_be_visible()


async def test_a_server_that_restarts(
    browser: Browser, tmp_path: Path, mongo_uri: str, mongo_database: str
) -> None:
    """While it is away the page says so and keeps what it shows; then it is live again, and up to date."""
    async with contextlib.AsyncExitStack() as first:
        one = await first.enter_async_context(place(tmp_path, mongo_uri, mongo_database))
        batch, jobs = await under_way(one)
        port = int(one.url.rpartition(":")[2])
        ada = await visitor(browser, one.url, ADA)
        page = await ada.open(f"#/batches/{batch.id}", "sweep")
        await expect(page.locator("#live")).to_have_text("live")
        await page.get_by_label("Choose sweep-2", exact=True).check()
    await expect(page.locator("#live")).to_contain_text("not live")
    await expect(page.locator("tbody tr")).to_have_count(12)
    async with place(tmp_path, mongo_uri, mongo_database, port=port) as again:
        await put(again, jobs[10], status="error", verdict="lost", finished=datetime.now(UTC), error="gone")
        await expect(page.locator("#live")).to_have_text("live")
        await expect(page.locator("tbody tr").nth(10)).to_contain_text("gone")
        await expect(page.get_by_text("1 job chosen")).to_be_visible()
        await expect(page.locator(".notice")).to_have_count(0)
        await page.context.close()
    assert ada.complaints == []


async def test_a_silence_is_not_called_live(here: Place, ada: Visitor) -> None:
    """A stream whose other end had gone without a word was live for as long as the browser had it."""
    await under_way(here)
    await ada.page.clock.install()
    page = await ada.open(heading="Batches")
    await expect(page.locator("#live")).to_have_text("live")
    async with page.expect_request("**/events", timeout=PATIENCE):
        await page.clock.fast_forward(60_000)
    await expect(page.locator("#live")).to_have_text("live")


async def test_a_question_without_an_answer_ends(here: Place, ada: Visitor) -> None:
    """It was waited for as long as the browser did, and meanwhile the page asked for nothing else."""
    await under_way(here)
    page = ada.page

    async def silence(route: Route) -> None:
        """Neither goes on nor is refused."""

    await page.clock.install()
    await page.route("**/api/v1/batches?*", silence)
    async with page.expect_request("**/api/v1/batches?*", timeout=PATIENCE):
        await ada.open()
    await page.clock.fast_forward(60_000)
    await expect(page.get_by_role("alert")).to_contain_text("does not answer")
    await page.unroute("**/api/v1/batches?*")
    await page.clock.fast_forward(60_000)
    await expect(page.get_by_role("link", name="sweep")).to_be_visible()


HIDE = """hidden => {
    Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
    document.dispatchEvent(new Event("visibilitychange"));
}"""


async def test_a_tab_that_nobody_sees_keeps_no_stream(here: Place, ada: Visitor) -> None:
    """Browsers open six connections to one server: with six tabs that nobody saw a seventh never came."""
    await under_way(here)
    page = await ada.open(heading="Batches")
    await expect(page.locator("#live")).to_have_text("live")
    for hidden in (True, False):
        await page.evaluate(HIDE, hidden)
        await _listeners(here, 0 if hidden else 1)
    await expect(page.locator("#live")).to_have_text("live")


async def _listeners(here: Place, wanted: int) -> None:
    live = here.api.context.live
    for _ in range(600):
        if live and live.listeners == wanted:
            return
        await asyncio.sleep(0.05)
    raise AssertionError(f"never {wanted} listeners")


async def test_signing_in(here: Place, come: Comes) -> None:
    """Asked for a token, told when it is wrong, let in with a good one, and live at once."""
    await under_way(here)
    nobody = await come("")
    page = await nobody.open(heading="Who are you?")
    await expect(page.get_by_label("Token")).to_be_focused()
    await page.keyboard.type("wrong")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("alert")).to_have_text("That token was not accepted.")
    await expect(page.locator("#live")).to_have_text("")
    await page.keyboard.insert_text("token-of-ada…")  # as a narrow terminal shows it
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("alert")).to_have_text("That token was not accepted.")
    await page.keyboard.type(ADA)
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", name="Batches")).to_be_focused()
    await expect(page.locator("#live")).to_have_text("live")
    await page.reload()
    await expect(page.get_by_role("link", name="sweep")).to_be_visible()


async def test_a_token_that_is_taken_away(here: Place, ada: Visitor) -> None:
    """Who is no longer known is asked, and the question stays until it is answered; then they go on there."""
    batch, jobs = await under_way(here)
    page = await ada.open(f"#/batches/{batch.id}", "sweep")
    await page.evaluate("sessionStorage.setItem('token', 'of-nobody-any-more-0123456789')")
    await put(here, jobs[10], error="something changed")
    await expect(page.get_by_role("heading", name="Who are you?")).to_be_visible()
    await page.keyboard.type(ADA[:5])
    await asyncio.sleep(2.5)  # the page draws itself anew each second
    await expect(page.get_by_label("Token")).to_have_value(ADA[:5])
    await page.keyboard.type(ADA[5:])
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", level=1)).to_have_text("sweep")


async def test_a_refusal_of_the_token_before_is_none_of_the_one_now(here: Place, ada: Visitor) -> None:
    """It came after somebody had signed in anew: their good token was thrown away and called wrong."""
    batch, jobs = await under_way(here)
    page = await ada.open(f"#/batches/{batch.id}", "sweep")
    await expect(page.locator("#live")).to_have_text("live")
    await page.evaluate("sessionStorage.setItem('token', 'of-nobody-any-more-0123456789')")
    asked, answers = await held_back(page, re.compile(rf"/api/v1/(batches/{batch.id}|jobs)"))
    await put(here, jobs[10], error="something changed")
    while len(asked) < 3:
        await asyncio.sleep(0.05)
    await page.evaluate("location.hash = '#/'")
    await page.get_by_label("Token").fill(ADA)
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", level=1)).to_have_text("Batches")
    answers.set()
    await asyncio.sleep(1)
    await expect(page.get_by_role("heading", level=1)).to_have_text("Batches")
    assert await page.evaluate("sessionStorage.getItem('token')") == ADA


async def test_an_id_that_is_no_id_asks_for_nothing_else(here: Place, ada: Visitor) -> None:
    """An address can't lead a question of the page to another path of the API."""
    asked: list[str] = []
    ada.page.on("request", lambda request: asked.append(request.url))
    page = await ada.open("#/batches/..%2Fwhoami%3Fx")
    await expect(page.get_by_role("alert")).to_be_visible()
    await page.goto(f"{here.url}/#/jobs/..%2F..%2Fhealth")
    await expect(page.get_by_role("alert")).to_be_visible()
    assert ada.complaints == []
    paths = [urlsplit(one).path for one in asked]
    assert [path for path in paths if path.endswith("whoami")] == ["/api/v1/whoami"]


async def test_the_printed_url(browser: Browser, tmp_path: Path, mongo_uri: str, mongo_database: str) -> None:
    """On one machine the printed URL lets in, also where a token of old is in the tab, and what is ordered
    from the page is done."""
    sessions = Sessions("local:ada", lambda: 0.0)
    async with place(tmp_path, mongo_uri, mongo_database, authenticators=[], sessions=sessions) as here:
        batch, _ = await here.failed(user="local:ada")
        someone = await visitor(browser, here.url)
        page = someone.page
        await page.goto(here.url)
        await page.evaluate("sessionStorage.setItem('token', 'of-nobody-any-more-0123456789')")
        await page.goto(here.api.page(here.url))
        await page.get_by_role("link", name="sweep").click()
        await page.get_by_label("Choose sweep-1", exact=True).check()
        await someone.button("Retry", page.locator(".chosen-bar")).click()
        await someone.button("Retry", someone.dialog).click()
        await expect(page.get_by_text("1 retry recorded")).to_be_visible()
        await expect(page.locator("#live")).to_have_text("live")
        await page.context.close()
        assert len([job for job in await here.jobs(batch) if job.attempt]) == 1
    assert someone.complaints == []
    assert BOB not in page.url
