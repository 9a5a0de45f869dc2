"""A visit to the page in a real browser, seen through the eyes of somebody who cannot see its code."""

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.async_api import Browser, Locator, Page, ViewportSize, async_playwright, expect

from tests.watch.site import PASSWORD, Person, Site

NAMES = ("chromium", "chromium-browser", "google-chrome")
MISSING = "no Chromium on the PATH: `make browser` installs it"

FLAGS = (
    "--no-sandbox",  # it refuses to run as root with one
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)

# What a browser notes of every answer that is an error; pages cannot help it.
FAILED_REQUEST = "Failed to load resource"

# A browser is a dozen processes: where processors are scarce it takes its time.
PATIENCE_MILLISECONDS = 40_000
expect.set_options(timeout=PATIENCE_MILLISECONDS)


def skip_without() -> None:
    """Skip the module that calls this if there is no Chromium, except in CI, where `find` fails its tests."""
    if _path() is None and os.environ.get("CI") != "true":
        pytest.skip(MISSING, allow_module_level=True)


def find() -> Path:
    """Where Chromium is; without one the test fails."""
    found = _path()
    if found is None:
        pytest.fail(MISSING, pytrace=False)
    return Path(found)


def _path() -> str | None:
    return next(filter(None, map(shutil.which, NAMES)), None)


@asynccontextmanager
async def running(path: Path) -> AsyncIterator[Browser]:
    """Run a browser with an empty profile during the body."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=FLAGS)
        try:
            yield browser
        finally:
            await browser.close()


@dataclass
class Visit:
    """One tab, and what it did beside what it shows."""

    page: Page
    site: Site
    console: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    @property
    def status(self) -> Locator:
        return self.page.locator("#job-status")

    @property
    def connection(self) -> Locator:
        return self.page.locator("#connection")

    @property
    def problem(self) -> Locator:
        """What the page says went wrong."""
        return self.page.get_by_role("alert").filter(visible=True)

    @property
    def predictions(self) -> Locator:
        """The rows of the table."""
        return self.page.get_by_role("table").get_by_role("row").filter(has=self.page.get_by_role("cell"))

    @property
    def batches(self) -> Locator:
        """The lines of the log that say that a batch was done."""
        return self.page.get_by_role("log").get_by_role("listitem").filter(has_text="progress")

    async def sign_in(self, somebody: Person, password: str = PASSWORD) -> None:
        await self.page.get_by_label("Username").fill(somebody.name)
        await self.page.get_by_label("Password").fill(password)
        await self.page.get_by_role("button", name="Sign in").click()

    async def submit(self, texts: list[str], *, batch_size: int = 10, priority: str = "normal") -> None:
        await self.page.get_by_label("Texts").fill("\n".join(texts))
        await self.page.get_by_label("Batch size").fill(str(batch_size))
        await self.page.get_by_label("Priority").select_option(priority)
        await self.page.get_by_role("button", name="Run", exact=True).click()

    async def open_latest(self) -> None:
        """Open the topmost of the recent jobs."""
        await self.page.locator("#recent").get_by_role("listitem").first.get_by_role("button").click()

    async def job_id(self) -> str:
        """Which job is open."""
        return await self.page.locator("#job-id").inner_text()

    async def log(self) -> list[tuple[int, str, str]]:
        """The event log as it is shown: number, instant and type."""
        return [
            (int(seq), at, kind)
            for seq, at, kind in await self.page.get_by_role("log")
            .get_by_role("listitem")
            .evaluate_all(
                """items => items.map(item => [
                    item.querySelector('.seq').textContent,
                    item.querySelector('time').dateTime,
                    item.querySelector('.type').textContent.replaceAll(' ', '_'),
                ])"""
            )
        ]


@asynccontextmanager
async def visiting(
    browser: Browser, site: Site, *, viewport: ViewportSize | None = None
) -> AsyncIterator[Visit]:
    """Open the page in a new profile. Whatever the story, it keeps to its origin and to its policy."""
    context = await browser.new_context(viewport=viewport or {"width": 1280, "height": 900})
    context.set_default_timeout(PATIENCE_MILLISECONDS)
    try:
        visit = Visit(await context.new_page(), site)
        visit.page.on("console", lambda message: visit.console.append(message.text))
        visit.page.on("pageerror", lambda error: visit.errors.append(str(error)))
        context.on("request", lambda request: visit.requests.append(request.url))
        await visit.page.goto(f"{site.url}/watch")
        yield visit
    finally:
        await context.close()
    assert visit.errors == []
    assert [line for line in visit.console if not line.startswith(FAILED_REQUEST)] == []
    assert [url for url in visit.requests if not url.startswith(f"{site.url}/")] == []
