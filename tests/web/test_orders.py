"""What people order on the page: each is asked once, says what it would do, and does it."""

from __future__ import annotations

import asyncio

import pytest
from playwright.async_api import Route, expect

from controller.core.model import Status
from tests.api.place import ROOT, Place
from tests.web.browser import Visitor
from tests.web.conftest import Comes
from tests.web.world import gate, under_way

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_retry_all_with_a_verdict(here: Place, ada: Visitor) -> None:
    """Chosen by verdict, told beforehand, done; the focus comes back to the table."""
    batch, _ = await under_way(here)
    page = await ada.open(f"#/batches/{batch.id}", "sweep")
    await ada.button("mount-failure 2").click()
    await ada.button("Choose all 2").click()
    await ada.button("Retry", page.locator(".chosen-bar")).click()
    await expect(ada.dialog).to_contain_text("Stand in line as their next attempt: sweep-2, sweep-6")
    await ada.button("Retry", ada.dialog).click()
    await expect(page.get_by_text("2 retries recorded")).to_be_visible()
    await expect(ada.dialog).to_have_count(0)
    await expect(page.get_by_role("heading", name="Jobs", exact=True)).to_be_focused()
    assert [job.name for job in await here.jobs(batch) if job.attempt] == ["sweep-2-r1", "sweep-6-r1"]


async def test_what_is_refused_is_told_per_job(here: Place, ada: Visitor) -> None:
    """A job that completed is refused with its reason, before and after; the others are retried."""
    batch, _ = await under_way(here)
    page = await ada.open(f"#/batches/{batch.id}", "sweep")
    for name in ("sweep-1", "sweep-2", "sweep-3"):
        await page.get_by_label(f"Choose {name}", exact=True).check()
    await ada.button("Retry", page.locator(".chosen-bar")).click()
    await expect(ada.dialog).to_contain_text("Refused, 1 job (sweep-1): ")
    await ada.button("Leave it", ada.dialog).click()
    assert all(not job.attempt for job in await here.jobs(batch)), "a dry run writes nothing"
    await ada.button("Retry", page.locator(".chosen-bar")).click()
    await ada.button("Retry", ada.dialog).click()
    await expect(page.get_by_text("2 retries recorded, 1 refused")).to_be_visible()


async def test_other_resources_stay_as_typed(here: Place, ada: Visitor) -> None:
    """What was typed is still there when the dialog was drawn anew, and is what is asked for."""
    batch, _ = await here.failed()
    page = await ada.open(f"#/batches/{batch.id}", "sweep")
    await page.get_by_label("Choose sweep-1", exact=True).check()
    await ada.button("Retry", page.locator(".chosen-bar")).click()
    await page.get_by_label("Memory instead").fill("3Gi")
    await page.get_by_label("CPU instead").fill("x")
    await page.keyboard.press("Tab")
    await expect(ada.dialog.locator(".notice")).to_contain_text("cpu")
    await page.get_by_label("CPU instead").fill("3")
    await page.keyboard.press("Tab")
    await expect(ada.dialog).to_contain_text("sweep-1")
    await expect(page.get_by_label("Memory instead")).to_have_value("3Gi")
    await ada.button("Retry", ada.dialog).click()
    await expect(page.get_by_text("1 retry recorded")).to_be_visible()
    (child,) = [job for job in await here.jobs(batch) if job.attempt]
    asked = child.job_input.resources
    assert (asked.memory, asked.cpu) == (3 * 2**30, 3000)


async def test_another_order_after_a_lost_answer(here: Place, ada: Visitor) -> None:
    """With other resources than the one whose answer was lost: it was refused for a key that nobody sees."""
    batch, _ = await here.failed()
    page = await ada.open(f"#/batches/{batch.id}", "sweep")

    async def lost(route: Route) -> None:
        await route.fetch()
        await route.abort()

    await page.route("**/jobs/retry", lost, times=1)
    await page.get_by_label("Choose sweep-1", exact=True).check()
    await ada.button("Retry", page.locator(".chosen-bar")).click()
    await ada.button("Retry", ada.dialog).click()
    await expect(ada.dialog.locator(".notice")).to_contain_text("does not answer")
    await page.get_by_label("Memory instead").fill("3Gi")
    await page.keyboard.press("Tab")
    await expect(ada.dialog).to_contain_text("Refused, 1 job")
    await ada.button("Retry", ada.dialog).click()
    await expect(page.get_by_text("0 retries recorded, 1 refused")).to_be_visible()


@pytest.mark.parametrize("fails", [True, False])
async def test_an_answer_that_is_late_leaves_the_next_question_alone(
    here: Place, ada: Visitor, fails: bool
) -> None:
    """Of an order that was left while it was under way it is told what became of it; the question that stands
    there by then is neither closed nor turned into the one before."""
    batch, _ = await under_way(here)
    page, answers = await ada.open(f"#/batches/{batch.id}", "sweep"), asyncio.Event()

    async def late(route: Route) -> None:
        await answers.wait()
        await (route.abort() if fails else route.continue_())

    await page.route("**/pause", late, times=1)
    await ada.button("Pause").click()
    await ada.button("Pause", ada.dialog).click()
    await expect(ada.button("Pause", ada.dialog)).to_be_disabled()
    await page.keyboard.press("Escape")
    await expect(ada.dialog).to_have_count(0)
    await ada.button("Cancel the batch").click()
    await expect(ada.dialog.get_by_role("heading")).to_have_text("Cancel all of sweep?")
    answers.set()
    await expect(page.locator(".toast")).to_contain_text("does not answer" if fails else "sweep")
    await expect(ada.dialog.get_by_role("heading")).to_have_text("Cancel all of sweep?")


async def test_cancel_jobs_and_a_batch(here: Place, ada: Visitor) -> None:
    """What waits is withdrawn; Escape leaves everything as it is; a batch is cancelled as a whole, and then
    takes no more orders."""
    batch, jobs = await under_way(here)
    page = await ada.open(f"#/batches/{batch.id}", "sweep")
    await page.get_by_label("Choose sweep-12", exact=True).check()
    await ada.button("Cancel", page.locator(".chosen-bar")).click()
    await expect(ada.dialog).to_contain_text("sweep-12")
    await page.keyboard.press("Escape")
    await expect(ada.dialog).to_have_count(0)
    await expect(ada.button("Cancel", page.locator(".chosen-bar"))).to_be_focused()
    await page.keyboard.press("Enter")
    await ada.button("Cancel them", ada.dialog).click()
    await expect(page.get_by_text("1 job cancelled")).to_be_visible()
    found = await here.store.job(jobs[-1].id)
    assert found is not None
    assert found.status is Status.TERMINATED
    await ada.button("Cancel the batch").click()
    await ada.button("Cancel the batch", ada.dialog).click()
    await expect(ada.dialog).to_have_count(0)
    assert (await here.store.gates([batch.id]))[batch.id].cancel
    await expect(page.locator(".head .title .state")).to_have_text("cancelling")
    for order in ("Pause", "Change the maximum", "Cancel the batch"):
        await expect(ada.button(order)).to_have_count(0)
    await expect(page.get_by_role("heading", name="sweep", level=1)).to_be_focused()


async def test_pause_resume_and_scale(here: Place, ada: Visitor) -> None:
    """The button keeps the focus as it turns into its opposite; a number that is none is refused in words."""
    batch, _ = await under_way(here)
    page = await ada.open(f"#/batches/{batch.id}", "sweep")
    await ada.button("Pause").click()
    await ada.button("Pause", ada.dialog).click()
    await expect(ada.button("Resume")).to_be_focused()
    await ada.button("Resume").click()
    await ada.button("Resume", ada.dialog).click()
    await expect(ada.button("Pause")).to_be_visible()
    await ada.button("Change the maximum").click()
    await page.get_by_label("maxConcurrent").fill("0")
    await page.keyboard.press("Tab")
    await expect(ada.dialog.locator(".notice")).to_contain_text("max_concurrent")
    await page.get_by_label("maxConcurrent").fill("9")
    await page.keyboard.press("Tab")
    await expect(ada.dialog).to_contain_text("9")
    await expect(page.get_by_label("maxConcurrent")).to_have_value("9")
    await ada.button("Change", ada.dialog).click()
    await expect(page.get_by_text("2 active of 9")).to_be_visible()


async def test_take_over(here: Place, ada: Visitor) -> None:
    """A batch that is held for what runs under its names offers to take it over."""
    batch = await here.submit()
    hold = "adoption-needed: 2 jobs run under its names already"
    await gate(here, batch, hold=hold)
    await ada.open(f"#/batches/{batch.id}", "sweep")
    await ada.button("Take over").click()
    await ada.button("Take over", ada.dialog).click()
    await expect(ada.dialog).to_have_count(0)
    assert (await here.store.gates([batch.id]))[batch.id].hold != hold, "whoever leads is told to"


async def test_an_admin_says_so(here: Place, come: Comes) -> None:
    """Whoever is an admin is refused as themselves, ticks the box, and may."""
    batch, _ = await here.failed()
    root = await come(ROOT)
    page = await root.open(f"#/batches/{batch.id}", "sweep")
    await page.get_by_label("Choose sweep-1", exact=True).check()
    await root.button("Retry", page.locator(".chosen-bar")).click()
    await expect(root.dialog).to_contain_text("Refused, 1 job")
    await page.get_by_label("act as an admin").check()
    await expect(root.dialog).to_contain_text("Stand in line")
    await expect(page.get_by_label("act as an admin")).to_be_checked()
    await root.button("Retry", root.dialog).click()
    await expect(page.get_by_text("1 retry recorded")).to_be_visible()
