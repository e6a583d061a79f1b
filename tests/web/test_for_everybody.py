"""Nobody is kept out: by keyboard alone, on a small screen, in the dark, without motion."""

from __future__ import annotations

from typing import Literal

import pytest
from playwright.async_api import expect

from tests.api.place import Place
from tests.web.browser import NARROW, Visitor
from tests.web.conftest import Comes
from tests.web.world import gate, under_way

pytestmark = pytest.mark.asyncio(loop_scope="session")
LONG = "a-batch-with-a-name-of-forty-characters1"
Scheme = Literal["light", "dark"]


async def sound(one: Visitor, where: str) -> None:
    """Axe finds nothing, and nothing sticks out to the side."""
    assert await one.hindrances() == [], where
    assert await one.fits(), where


@pytest.mark.parametrize(("scheme", "width"), [("light", 1200), ("dark", NARROW)])
async def test_axe_finds_nothing_anywhere(here: Place, come: Comes, scheme: Scheme, width: int) -> None:
    """Every view and every dialog; on a small screen the document never scrolls to the side."""
    batch, jobs = await under_way(here, LONG, 12)
    held = await here.submit("held")
    await gate(here, held, hold="adoption-needed: 2 jobs run under its names already")
    nobody = await come("", scheme=scheme, width=width, still=True)
    await nobody.open(heading="Who are you?")
    await sound(nobody, "sign in")
    ada = await come(scheme=scheme, width=width, still=True)
    page = await ada.open(heading="Batches")
    await expect(page.locator(".card", has_text=LONG)).to_contain_text("done in about")
    await sound(ada, "overview")
    await page.goto(f"{here.url}/#/jobs/{jobs[1].id}")
    await page.get_by_text("What it runs").click()
    await sound(ada, "job")
    await page.goto(f"{here.url}/#/batches/{'0' * 24}")
    await expect(page.get_by_role("alert")).to_be_visible()
    await sound(ada, "not found")
    await page.goto(f"{here.url}/#/batches/{held.id}")
    await ada.button("Take over").click()
    await expect(ada.button("Take over", ada.dialog)).to_be_enabled()
    await sound(ada, "take over")
    await page.keyboard.press("Escape")
    await page.goto(f"{here.url}/#/batches/{batch.id}")
    await page.get_by_label(f"Choose {LONG}-2", exact=True).check()
    await sound(ada, "batch")
    for label in ("Pause", "Change the maximum", "Cancel the batch"):
        await ada.button(label).click()
        await expect(ada.dialog.get_by_role("list")).to_be_visible()
        await sound(ada, label)
        await page.keyboard.press("Escape")
        await expect(ada.button(label)).to_be_focused()
    await ada.button("Retry", page.locator(".chosen-bar")).click()
    await expect(ada.dialog.get_by_role("list")).to_be_visible()
    await sound(ada, "retry")


async def test_a_retry_by_keyboard_alone(here: Place, ada: Visitor) -> None:
    """From the address to a retry that is recorded, with Tab, Space and Enter, in the order of the page."""
    batch, _ = await here.failed()
    page = await ada.open(heading="Batches")
    await expect(page.get_by_role("heading", name="Batches")).to_be_focused()
    await to(ada, "sweep")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", level=1)).to_have_text("sweep")
    await to(ada, "Choose sweep-2")
    await page.keyboard.press("Space")
    await to(ada, "Retry")
    await page.keyboard.press("Enter")
    await expect(ada.dialog).to_contain_text("Stand in line")
    await to(ada, "Retry")
    await page.keyboard.press("Enter")
    await expect(page.get_by_text("1 retry recorded")).to_be_visible()
    assert [job.name for job in await here.jobs(batch) if job.attempt] == ["sweep-2-r1"]


async def to(one: Visitor, name: str) -> None:
    """Press Tab until this has the focus."""
    for _ in range(60):
        await one.page.keyboard.press("Tab")
        if await one.focused() == name:
            return
    raise AssertionError(f"Tab never comes to {name}")


async def test_the_first_tab_skips_to_the_content(here: Place, ada: Visitor) -> None:
    """Whoever tabs from the top may skip what is the same on every view."""
    page = await ada.open(heading="Batches")
    await page.locator("body").evaluate("() => document.activeElement.blur()")
    await page.keyboard.press("Shift+Tab")
    await page.get_by_role("link", name="Skip to the content").focus()
    await expect(page.get_by_role("link", name="Skip to the content")).to_be_in_viewport()
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", name="Batches")).to_be_visible()
    await expect(page.locator("#main")).to_be_focused()


async def test_nothing_moves_for_who_asked_for_that(here: Place, come: Comes) -> None:
    """Bars change without a transition when the system says so."""
    await under_way(here)
    for still, wanted in ((True, "0s"), (False, "0.3s")):
        one = await come(still=still)
        page = await one.open(heading="Batches")
        bar = page.locator(".bar i").first
        assert await bar.evaluate("one => getComputedStyle(one).transitionDuration") == wanted
