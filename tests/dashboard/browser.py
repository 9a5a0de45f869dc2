"""Visits to the dashboard in a real browser, seen through the eyes of somebody who cannot see its code."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import (
    Browser,
    BrowserContext,
    Locator,
    Page,
    Response,
    ViewportSize,
    async_playwright,
    expect,
)

from tests.dashboard.site import PASSWORD, Person, Site
from tests.support import chromium

MISSING = "no Chromium on the PATH: `make browser` installs it"

# What a browser notes of every answer that is an error; pages cannot help it.
FAILED_REQUEST = "Failed to load resource"

# A browser is a dozen processes: where processors are scarce it takes its time.
PATIENCE_MILLISECONDS = int(os.environ.get("BROWSER_PATIENCE", "40000"))
expect.set_options(timeout=PATIENCE_MILLISECONDS)


def skip_without() -> None:
    """Skip the module that calls this if there is no Chromium, except in CI, where `find` fails its tests."""
    if chromium.find() is None and os.environ.get("CI") != "true":
        pytest.skip(MISSING, allow_module_level=True)


def find() -> Path:
    """Where Chromium is; without one the test fails."""
    found = chromium.find()
    if found is None:
        pytest.fail(MISSING, pytrace=False)
    return found


@asynccontextmanager
async def running(path: Path) -> AsyncIterator[Browser]:
    """Run a browser with an empty profile during the body."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=chromium.FLAGS)
        try:
            yield browser
        finally:
            await browser.close()


@dataclass
class Visit:
    """One tab, and what it did beside what it shows."""

    page: Page
    site: Site
    expected: set[int] = field(default_factory=lambda: {401})
    """Statuses of error responses that the story expects: a cold start asks whether there is a session."""
    console: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)

    @property
    def main(self) -> Locator:
        return self.page.locator("#main")

    @property
    def connection(self) -> Locator:
        return self.page.locator("#top .connection")

    @property
    def alert(self) -> Locator:
        """What a form says went wrong."""
        return self.page.get_by_role("alert").filter(visible=True)

    @property
    def rows(self) -> Locator:
        """The rows of the list of jobs that are on the page."""
        return self.page.locator(".jobs-table tr[data-key]")

    def count_of(self, state: str) -> Locator:
        return self.page.locator(".tabs.states .tab", has_text=state).locator(".count")

    async def open(self, path: str = "") -> None:
        await self.page.goto(f"{self.site.url}/dashboard/{path}")

    async def sign_in(self, somebody: Person, password: str = PASSWORD) -> None:
        await self.page.get_by_label("Username").fill(somebody.name)
        await self.page.get_by_label("Password", exact=True).fill(password)
        await self.page.get_by_role("button", name="Sign in").click()

    async def enter(self, somebody: Person, path: str = "") -> None:
        """Sign in, and open a page."""
        await self.open(path)
        await self.sign_in(somebody)
        await expect(self.connection).to_contain_text("Live")

    async def navigate(self, path: str) -> None:
        """Go to a page as a link does, without loading the dashboard anew."""
        url = f"{self.site.url}/dashboard/{path}"
        await self.page.evaluate("url => navigation.navigate(url).finished", url)

    async def follow(self, job_id: str) -> None:
        """Go to the page of a job, without loading the dashboard anew."""
        await self.navigate(f"jobs/{job_id}")
        await expect(self.page.locator(".crumbs .mono")).to_have_text(job_id)

    def _note(self, response: Response) -> None:
        if response.status >= 400 and response.status not in self.expected:
            self.refused.append(f"{response.status} {response.url}")


@asynccontextmanager
async def visiting(
    browser: Browser, site: Site, *, viewport: ViewportSize | None = None, **options: Any
) -> AsyncIterator[Visit]:
    """Open a tab in a new profile. Whatever the story, it keeps to its origin and to its policy."""
    context = await browser.new_context(
        viewport=viewport or {"width": 1440, "height": 900}, locale="en-GB", **options
    )
    context.set_default_timeout(PATIENCE_MILLISECONDS)
    visits: list[Visit] = []
    try:
        visit = await tab(context, site)
        visits.append(visit)
        yield visit
    finally:
        await context.close()
    check(visit)


async def tab(context: BrowserContext, site: Site) -> Visit:
    """Open a tab, and note what it does."""
    visit = Visit(await context.new_page(), site)
    visit.page.on("console", lambda message: visit.console.append(f"{message.type}: {message.text}"))
    visit.page.on("pageerror", lambda error: visit.errors.append(str(error)))
    visit.page.on("request", lambda request: visit.requests.append(request.url))
    visit.page.on("response", visit._note)
    return visit


def check(visit: Visit) -> None:
    """The page broke no rule: no error, no request elsewhere, no refused request that was not expected."""
    told = [
        line
        for line in visit.console
        if line.startswith(("error: ", "warning: ")) and FAILED_REQUEST not in line
    ]
    elsewhere = [
        url for url in visit.requests if not url.startswith((f"{visit.site.url}/", "data:", "blob:"))
    ]
    broken = {
        "errors": visit.errors,
        "console": told,
        "elsewhere": elsewhere,
        "refused": visit.refused,
    }
    assert not any(broken.values()), broken
