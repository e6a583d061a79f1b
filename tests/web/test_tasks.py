"""The table of a batch's jobs: filters, sorting, pages, and what is chosen in it."""

from __future__ import annotations

import re

import pytest
from playwright.async_api import expect

from tests.api.place import Place
from tests.web.browser import Visitor, held_back
from tests.web.world import under_way

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_filters_and_every_sort(here: Place, ada: Visitor) -> None:
    """Each filter leaves what it says, each heading sorts there and back, and the page says which does."""
    batch, _ = await under_way(here)
    page = await ada.open(f"#/batches/{batch.id}", "sweep")
    rows = page.locator("tbody tr")
    await expect(rows).to_have_count(12)
    await page.get_by_label("Status").select_option("error")
    await expect(rows).to_have_count(4)
    await page.get_by_label("Verdict").select_option("out-of-memory")
    await expect(rows.locator("a")).to_have_text(["sweep-3", "sweep-7"])
    await page.get_by_label("Status").select_option("")
    await page.get_by_label("Verdict").select_option("")
    await page.get_by_label("Task").fill("11")
    await expect(rows.locator("a")).to_have_text(["sweep-11"])
    await page.get_by_label("Task").fill("none")
    await expect(page.get_by_text("No job is like that.")).to_be_visible()
    await expect(ada.button("Choose all 0")).to_be_disabled()
    await page.get_by_label("Task").fill("")
    await expect(rows).to_have_count(12)
    await ada.button("mount-failure 2").click()
    await expect(rows).to_have_count(2)
    await expect(ada.button("mount-failure 2")).to_have_attribute("aria-pressed", "true")
    await ada.button("mount-failure 2").click()
    await expect(rows).to_have_count(12)
    for name in ("Status", "Verdict", "Took", "Node", "Ended", "Job"):
        heading = page.get_by_role("columnheader", name=re.compile(f"^{name}"))
        for _ in range(2):
            await heading.get_by_role("button").click()
            await expect(heading).to_have_attribute("aria-sort", re.compile("ascending|descending"))
            await expect(rows).to_have_count(12)
    took = page.get_by_role("columnheader", name=re.compile("^Took"))
    await took.get_by_role("button").click()
    await expect(rows.first.locator("a")).to_have_text("sweep-8")


async def test_a_newer_question_overtakes_silently(here: Place, ada: Visitor) -> None:
    """While an answer is on its way, after an order or a filter, another filter is chosen: nobody is told of
    trouble, and what was asked last is shown."""
    batch, _ = await under_way(here)
    page = await ada.open(f"#/batches/{batch.id}", "sweep")
    await expect(page.locator("tbody tr")).to_have_count(12)
    asked, answers = await held_back(page, "**/api/v1/jobs?*")
    await ada.button("Pause").click()
    await ada.button("Pause", ada.dialog).click()
    for at, status in enumerate(("completed", "running", "error"), start=1):
        while len(asked) < at:
            await page.wait_for_timeout(20)
        await page.get_by_label("Status").select_option(status)
    while "status=error" not in asked[-1]:
        await page.wait_for_timeout(20)
    await expect(ada.button("Resume")).to_be_visible()
    await expect(page.get_by_role("alert")).to_have_count(0)
    answers.set()
    await expect(page.locator("tbody tr")).to_have_count(4)
    await expect(page.get_by_role("alert")).to_have_count(0)


async def test_next_is_of_the_list_that_is_asked_for(here: Place, ada: Visitor) -> None:
    """While other jobs are on their way, Next of those still shown leads nowhere: it is not of these."""
    batch = await here.submit(tasks=120)
    page = await ada.open(f"#/batches/{batch.id}", "sweep")
    await expect(page.locator("tbody tr")).to_have_count(100)
    asked, answers = await held_back(page, "**/api/v1/jobs?*status=running*")
    await page.get_by_label("Status").select_option("running")
    await ada.button("Next").click()
    answers.set()
    await expect(page.get_by_text("No job is like that.")).to_be_visible()
    assert not [url for url in asked if "cursor=" in url]


async def test_pages_of_a_hundred(here: Place, ada: Visitor) -> None:
    """A hundred rows and the rest, there and back; at the end the focus is not lost with the button."""
    batch = await here.submit(tasks=120)
    page = await ada.open(f"#/batches/{batch.id}", "sweep")
    rows = page.locator("tbody tr")
    await expect(rows).to_have_count(100)
    await expect(page.get_by_text("1–100 of 120")).to_be_visible()
    await ada.button("Next").focus()
    await page.keyboard.press("Enter")
    await expect(rows).to_have_count(20)
    await expect(page.get_by_text("101–120 of 120")).to_be_visible()
    await expect(page.get_by_role("heading", name="Jobs", exact=True)).to_be_focused()
    await ada.button("Previous").click()
    await expect(rows).to_have_count(100)
    await page.get_by_label("Choose this page").check()
    await expect(page.get_by_text("100 jobs chosen")).to_be_visible()
    await ada.button("Choose all 120").click()
    await expect(page.get_by_text("120 jobs chosen")).to_be_visible()
    await ada.button("Next").click()
    await expect(page.get_by_label("Choose sweep-120", exact=True)).to_be_checked()
    await ada.button("Clear").click()
    await expect(page.get_by_label("Choose sweep-120", exact=True)).not_to_be_checked()


async def test_one_a_range_and_a_page(here: Place, ada: Visitor) -> None:
    """A click chooses one, Shift all between; by keyboard as well; what is chosen outlives a filter."""
    batch, _ = await under_way(here)
    page = await ada.open(f"#/batches/{batch.id}", "sweep")
    await page.get_by_label("Choose sweep-2", exact=True).check()
    await expect(page.get_by_text("1 job chosen")).to_be_visible()
    await page.get_by_label("Choose sweep-5", exact=True).click(modifiers=["Shift"])
    await expect(page.get_by_text("4 jobs chosen")).to_be_visible()
    await page.get_by_label("Choose sweep-8", exact=True).focus()
    await page.keyboard.press("Shift+Space")
    await expect(page.get_by_text("7 jobs chosen")).to_be_visible()
    await page.get_by_label("Verdict").select_option("mount-failure")
    await expect(page.locator("tbody tr")).to_have_count(2)
    await expect(page.get_by_text("7 jobs chosen")).to_be_visible()
    await page.get_by_label("Choose this page").uncheck()
    await expect(page.get_by_text("5 jobs chosen")).to_be_visible()


async def test_a_range_begins_at_a_job_that_is_shown(here: Place, ada: Visitor) -> None:
    """What was chosen under another filter is no end of a range: its number in the table was taken so."""
    batch, _ = await under_way(here)
    page = await ada.open(f"#/batches/{batch.id}", "sweep")
    await page.get_by_label("Choose sweep-1", exact=True).check()
    await page.get_by_label("Verdict").select_option("out-of-memory")
    await expect(page.locator("tbody tr")).to_have_count(2)
    await page.get_by_label("Choose sweep-7", exact=True).click(modifiers=["Shift"])
    await expect(page.get_by_text("2 jobs chosen")).to_be_visible()
