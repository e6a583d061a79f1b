"""All batches, as the page shows them."""

from __future__ import annotations

import asyncio
import contextlib
import re

import pytest
from playwright.async_api import Error, Route, expect

from tests.api.place import Place
from tests.web.browser import Visitor, held_back
from tests.web.world import finished, gate, under_way

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_no_batch_yet(here: Place, ada: Visitor) -> None:
    """Who has none is told how to get one."""
    page = await ada.open(heading="Batches")
    await expect(page.get_by_text("No batch yet")).to_be_visible()
    await expect(page.get_by_text("Drop a spec file into the watched folder")).to_be_visible()
    await expect(page.get_by_text("ada", exact=True)).to_be_visible()


async def test_a_batch_under_way_is_told_in_numbers(here: Place, ada: Visitor) -> None:
    """Done, failed, active of at most so many, waiting; failures by verdict; when it will about be done."""
    await under_way(here)
    page = await ada.open(heading="Batches")
    card = page.locator("li.card")
    for told in ("8 of 12 done", "4 completed", "4 ended without success", "2 active of 4", "2 waiting"):
        await expect(card.get_by_text(told)).to_be_visible()
    await expect(card.get_by_text(re.compile("2 mount-failure, 2 out-of-memory"))).to_be_visible()
    await expect(card.get_by_text(re.compile("done in about"))).to_be_visible()
    await expect(card.get_by_role("img", name=re.compile("33 % completed"))).to_be_visible()


async def test_held_paused_and_finished_batches_say_so(here: Place, ada: Visitor) -> None:
    """Each with its state in words and its reason; Open and Ended show one kind only."""
    held, paused = await here.submit("held"), await here.submit("paused")
    await gate(here, held, hold="systemic-failure: 11 of 12 first attempts failed with mount-failure")
    await gate(here, paused, hold="", paused=True)
    await finished(here, "good")
    await finished(here, "mixed", "partial")
    page = await ada.open(heading="Batches")
    await expect(page.get_by_text("11 of 12 first attempts failed with mount-failure")).to_be_visible()
    for state in ("held", "paused", "finished (completed)", "finished (partial)"):
        await expect(page.locator(".state").get_by_text(state, exact=True)).to_be_visible()
    await ada.button("Ended").click()
    await expect(page.locator("li.card")).to_have_count(2)
    await ada.button("Open").click()
    await expect(page.locator("li.card h2 a")).to_have_text(["paused", "held"])
    await page.get_by_label("Name").fill("held")
    await page.keyboard.press("Enter")
    await expect(page.locator("li.card h2 a")).to_have_text(["held"])
    await page.get_by_label("Name").fill("none")
    await page.keyboard.press("Enter")
    await expect(page.get_by_text("No batch is like that")).to_be_visible()
    await page.get_by_label("Name").fill("")
    await expect(page.locator("li.card")).to_have_count(2)


async def test_a_batch_that_is_being_cancelled_says_so(here: Place, ada: Visitor) -> None:
    """It is called cancelling in the list and alone: it was called running for as long as anything ended."""
    batch, _ = await under_way(here)
    await here.ada.post(f"/api/v1/batches/{batch.id}/cancel", {"why": "wrong reference"})
    page = await ada.open(heading="Batches")
    await expect(page.locator(".state")).to_have_text("cancelling")
    await page.get_by_role("link", name="sweep").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("sweep")
    await expect(page.locator(".head .title .state")).to_have_text("cancelling")


async def test_a_slow_answer_does_not_overtake(here: Place, ada: Visitor) -> None:
    """Ended, then Open: the first question is given up, and what was asked last is shown."""
    await under_way(here)
    await finished(here, "good")
    page = await ada.open(heading="Batches")
    answers = asyncio.Event()

    async def slow(route: Route) -> None:
        await answers.wait()
        with contextlib.suppress(Error):  # the page has given it up
            await route.continue_()

    await page.route("**/api/v1/batches?*status=finished*", slow)
    async with page.expect_request("**/api/v1/batches?*status=finished*"):
        await ada.button("Ended").click()
    async with page.expect_event("requestfailed", lambda one: "status=finished" in one.url):
        await ada.button("Open").click()
    answers.set()
    await expect(page.locator("li.card h2 a")).to_have_text(["sweep"])
    await expect(page.get_by_role("alert")).to_have_count(0)


async def test_older_is_of_the_list_that_is_asked_for(here: Place, ada: Visitor) -> None:
    """While another list is on its way, Older of the one still shown leads nowhere: it is not of that one."""
    for n in range(51):
        await here.submit(f"batch-{n:02}", 1)
    page = await ada.open(heading="Batches")
    asked, answers = await held_back(page, "**/api/v1/batches?*status=finished*")
    await ada.button("Ended").click()
    await ada.button("Older").click()
    answers.set()
    await expect(page.get_by_text("No batch is like that")).to_be_visible()
    assert not [url for url in asked if "cursor=" in url]


async def test_more_batches_than_fit_on_a_page(here: Place, ada: Visitor) -> None:
    """Fifty at a time, the newest first, there and back."""
    for n in range(52):
        await here.submit(f"batch-{n:02}", 1)
    page = await ada.open(heading="Batches")
    names = page.locator("li.card h2 a")
    await expect(names).to_have_count(50)
    await expect(names.first).to_have_text("batch-51")
    await ada.button("Older").click()
    await expect(names).to_have_text(["batch-01", "batch-00"])
    await expect(ada.button("Older")).to_be_disabled()
    await ada.button("Newer").click()
    await expect(names).to_have_count(50)
