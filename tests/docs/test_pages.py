"""Swagger UI and ReDoc in a real browser: they show the API without the internet, and call it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from playwright.async_api import Browser, Page, Route, expect

from app.core.config import Settings
from app.main import create_app
from tests.conftest import PASSWORD
from tests.dashboard import browser
from tests.support.serving import client_of, serving
from tests.support.waiting import until

browser.skip_without()

PREFIXES = ("", "/ml/api/v1")
TITLE = "Create many jobs at once"
# Both pages draw all operations at once, which takes a busy machine a minute.
PATIENCE_MILLISECONDS = 4 * browser.PATIENCE_MILLISECONDS

INLINE_SCRIPT = "document.head.append(Object.assign(document.createElement('script'), {text: '1'}))"


@pytest.fixture
async def the_browser() -> AsyncIterator[Browser]:
    async with browser.running(browser.find()) as running:
        yield running


@asynccontextmanager
async def served(settings: Settings, **changes: object) -> AsyncIterator[str]:
    app = create_app(Settings.model_validate(settings.model_dump() | {"root_path": "/ml", **changes}))
    async with app.router.lifespan_context(app), serving(app) as url:
        yield url


@asynccontextmanager
async def offline_tab(the_browser: Browser, url: str) -> AsyncIterator[tuple[Page, list[str]]]:
    """A tab that reaches our server only, and what went wrong in it."""
    context = await the_browser.new_context()
    wrong: list[str] = []

    async def only_ours(route: Route) -> None:
        if route.request.url.startswith((f"{url}/", "blob:", "data:")):
            await route.continue_()
        else:
            wrong.append(f"loaded {route.request.url}")
            await route.abort()

    await context.route("**/*", only_ours)
    context.set_default_timeout(PATIENCE_MILLISECONDS)
    page = await context.new_page()
    page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    try:
        yield page, wrong
    finally:
        await context.close()


@pytest.mark.parametrize("prefix", PREFIXES)
async def test_swagger_ui_shows_the_api_and_calls_it(
    the_browser: Browser, settings: Settings, prefix: str
) -> None:
    async with served(settings) as url, offline_tab(the_browser, url) as (page, wrong):
        await page.goto(f"{url}{prefix}/docs")
        await page.locator("#operations-tag-groups").click()
        await expect(page.get_by_text(TITLE)).to_be_visible()
        await page.locator("#operations-tag-operations").click()
        liveness = page.locator("#operations-operations-getLiveness")
        await liveness.get_by_role("button").first.click()
        await liveness.get_by_role("button", name="Try it out").click()
        async with page.expect_response("**/health/live") as called:
            await liveness.get_by_role("button", name="Execute").click()
        answer = await called.value
        assert answer.status == 200
        expected = prefix or "/ml"
        assert answer.url == f"{url}{expected}/health/live"
        assert wrong == []


@pytest.mark.parametrize("prefix", PREFIXES)
async def test_redoc_shows_the_api(the_browser: Browser, settings: Settings, prefix: str) -> None:
    async with served(settings) as url, offline_tab(the_browser, url) as (page, wrong):
        await page.goto(f"{url}{prefix}/redoc")
        await expect(page.locator("h2", has_text=TITLE)).to_be_attached(timeout=PATIENCE_MILLISECONDS)
        assert wrong == []


async def test_a_user_signs_in_to_read(the_browser: Browser, settings: Settings) -> None:
    async with (
        served(settings, docs="signed-in") as url,
        client_of(url) as client,
        offline_tab(the_browser, url) as (page, _),
    ):
        created = await client.post("/users", json={"username": "ada", "password": PASSWORD})
        assert created.status_code == 201
        await page.goto(f"{url}/docs")
        await page.get_by_label("Username").fill("ada")
        await page.get_by_label("Password").fill("not her password")
        await page.get_by_role("button", name="Sign in").click()
        await expect(page.get_by_role("alert")).to_contain_text("password")
        await page.get_by_label("Password").fill(PASSWORD)
        await page.get_by_role("button", name="Sign in").click()
        await expect(page.locator("#operations-tag-groups")).to_be_visible(timeout=PATIENCE_MILLISECONDS)


async def test_what_the_policy_forbids_is_noticed(the_browser: Browser, settings: Settings) -> None:
    """Or the tests above could not fail."""
    async with served(settings) as url, offline_tab(the_browser, url) as (page, wrong):
        await page.goto(f"{url}/docs")
        await expect(page.locator("#operations-tag-groups")).to_be_visible(timeout=PATIENCE_MILLISECONDS)
        await page.evaluate(INLINE_SCRIPT)

        async def is_noticed() -> bool:
            return any("Content Security Policy" in text for text in wrong)

        await until(is_noticed)
