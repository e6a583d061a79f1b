"""The machine's own Chromium, and somebody who looks at the page with it. Nothing is downloaded."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
from collections.abc import AsyncIterator
from typing import Literal

from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, Error, Locator, Page, Route, async_playwright, expect

MISSING = "no browser: "
REQUIRED = "TESTS_REQUIRE_BROWSER"
FLAGS = ("--disable-gpu", "--disable-background-networking", "--no-first-run", "--disable-sync")
PATIENCE = 30_000
"""Milliseconds that a fact on the page may take, on a machine that is busy."""
NARROW = 360
REFUSED = re.compile(r"Failed to load resource: (the server responded with a status of 4\d\d|net::ERR_)")
"""What Chromium itself writes for an answer that the page then shows in words."""
expect.set_options(timeout=PATIENCE)


async def held_back(page: Page, address: str | re.Pattern[str]) -> tuple[list[str], asyncio.Event]:
    """Keeps the answers to such requests back until the event is set; and what was asked."""
    asked, answers = list[str](), asyncio.Event()

    async def slow(route: Route) -> None:
        asked.append(route.request.url)
        await answers.wait()
        with contextlib.suppress(Error):  # the page has given it up
            await route.continue_()

    await page.route(address, slow)
    return asked, answers


def chromium() -> str:
    """Where the browser is: ``CHROMIUM``, else on PATH; empty: nowhere."""
    return os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser") or ""


@contextlib.asynccontextmanager
async def browsing(path: str) -> AsyncIterator[Browser]:
    """A browser without a window."""
    flags = [*FLAGS, "--no-sandbox"] if os.geteuid() == 0 else list(FLAGS)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=flags, timeout=PATIENCE)
        yield browser
        await browser.close()


class Visitor:
    """One tab, and what went wrong in it: errors of scripts, and what the content policy refused."""

    def __init__(self, page: Page, url: str, token: str = "") -> None:
        self.page = page
        self.url = url
        self.token = token
        self.complaints: list[str] = []
        page.on("console", lambda m: self._told(m.text) if m.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def _told(self, text: str) -> None:
        if not REFUSED.match(text):
            self.complaints.append(text)

    async def open(self, path: str = "", heading: str | re.Pattern[str] = "") -> Page:
        """Look at a view of the page, once its heading is there."""
        if self.token:
            await self.page.add_init_script(f"sessionStorage.setItem('token', '{self.token}')")
            self.token = ""
        await self.page.goto(f"{self.url}/{path}")
        if heading:
            await expect(self.page.get_by_role("heading", name=heading, level=1)).to_be_visible()
        return self.page

    def button(self, name: str, within: Locator | None = None) -> Locator:
        """The button of exactly that name."""
        return (within or self.page).get_by_role("button", name=name, exact=True)

    @property
    def dialog(self) -> Locator:
        """The question that is asked at this time."""
        return self.page.get_by_role("dialog")

    async def focused(self) -> str:
        """What has the focus: its name, or its text."""
        name: str = await self.page.evaluate(
            "() => { const one = document.activeElement; "
            "return one.getAttribute('aria-label') || one.id || one.textContent.trim().slice(0, 60); }"
        )
        return name

    async def fits(self) -> bool:
        """Whether the document needs no scrolling to the side."""
        wide: int = await self.page.evaluate(
            "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )
        return wide <= 0

    async def hindrances(self) -> list[str]:
        """What axe finds to keep people out, one line each."""
        found = (await Axe().run(self.page)).response
        return [
            f"{one['id']}: {node['html'][:160]} {node.get('failureSummary', '')[:200]}"
            for one in found["violations"]
            for node in one["nodes"]
        ]


async def visitor(
    browser: Browser,
    url: str,
    token: str = "",
    *,
    width: int = 1200,
    height: int = 900,
    scheme: Literal["light", "dark"] = "light",
    still: bool = False,
) -> Visitor:
    """Somebody with a browser of their own: nothing is kept of anybody before."""
    context = await browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme=scheme,
        reduced_motion="reduce" if still else "no-preference",
    )
    context.set_default_timeout(PATIENCE)
    return Visitor(await context.new_page(), url, token)
