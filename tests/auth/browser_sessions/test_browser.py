"""The cookie in a real browser: two tabs, pages of other origins, and no script that can read it."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, Page

from app.core.config import Settings
from tests.auth.support import PASSWORD
from tests.conftest import Servers
from tests.dashboard import browser
from tests.support import apis
from tests.support.module_settings import module_settings

browser.skip_without()

pytestmark = pytest.mark.asyncio(loop_scope="module")

SIGN_IN = """credentials => fetch("/session", {
    method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(credentials),
}).then(answer => answer.status)"""

REFRESH = """() => fetch("/session/refresh", { method: "POST" }).then(
    async answer => ({ status: answer.status, ...(await answer.json()) }))"""

SIGN_OUT = """() => fetch("/session", { method: "DELETE" }).then(answer => answer.status)"""

FORGE = """url => {
    const form = Object.assign(document.createElement("form"), { method: "post", action: url });
    document.body.append(form);
    form.submit();
}"""


@dataclass(frozen=True)
class Place:
    """A running API, and how browsers and programs reach it."""

    settings: Settings
    port: int
    client: httpx.AsyncClient

    def url(self, host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}"


@pytest.fixture(scope="module")
def chromium() -> Path:
    return browser.find()


@pytest.fixture(scope="module")
def place_settings(
    chromium: Path, servers: Servers, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Settings]:
    storage = tmp_path_factory.mktemp("storage")
    with module_settings(servers.databases, servers.embedded.valkey.url, storage) as settings:
        yield settings


@asynccontextmanager
async def serving(settings: Settings, folder: Path, **more: str) -> AsyncIterator[Place]:
    async with apis.api(settings, folder / "api.log", {}, **more) as api:
        port = api.client.base_url.port
        assert port is not None
        yield Place(settings, port, api.client)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def place(place_settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Place]:
    async with serving(place_settings, tmp_path_factory.mktemp("api")) as place:
        yield place


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def the_browser(chromium: Path) -> AsyncIterator[Browser]:
    async with browser.running(chromium) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def context(the_browser: Browser) -> AsyncIterator[BrowserContext]:
    """An empty profile."""
    opened = await the_browser.new_context()
    opened.set_default_timeout(browser.PATIENCE_MILLISECONDS)
    yield opened
    await opened.close()


async def tab(context: BrowserContext, url: str) -> Page:
    """A new tab with a page of the API."""
    page = await context.new_page()
    await page.goto(f"{url}/docs")
    return page


async def sign_in(page: Page, place: Place, name: str) -> None:
    created = await place.client.post("/users", json={"username": name, "password": PASSWORD})
    assert created.status_code == 201, created.text
    assert await page.evaluate(SIGN_IN, {"username": name, "password": PASSWORD}) == 200


async def cookies(context: BrowserContext) -> list[dict[str, Any]]:
    return [dict(cookie) for cookie in await context.cookies()]


@asynccontextmanager
async def other_origin() -> AsyncIterator[int]:
    """Serve an empty page on a port of its own during the body."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]


async def test_two_tabs_stay_signed_in_and_sign_out_together(context: BrowserContext, place: Place) -> None:
    first, second = await tab(context, place.url()), await tab(context, place.url())
    await sign_in(first, place, "ada")

    at_once = await asyncio.gather(first.evaluate(REFRESH), second.evaluate(REFRESH))
    await first.reload()
    after = [await first.evaluate(REFRESH), await second.evaluate(REFRESH)]

    assert [answer["status"] for answer in (*at_once, *after)] == [200] * 4
    assert {answer["user"]["username"] for answer in (*at_once, *after)} == {"ada"}
    token = after[-1]["access_token"]
    mine = await place.client.get("/users/me/sessions", headers={"Authorization": f"Bearer {token}"})
    assert len(mine.json()["items"]) == 1

    assert await first.evaluate(SIGN_OUT) == 204

    assert (await second.evaluate(REFRESH))["status"] == 401
    assert await cookies(context) == []


async def test_no_script_reads_the_cookie(context: BrowserContext, place: Place) -> None:
    page = await tab(context, place.url())
    await sign_in(page, place, "grace")

    [cookie] = await cookies(context)
    assert (cookie["name"], cookie["httpOnly"], cookie["sameSite"]) == ("headrace", True, "Strict")
    assert await page.evaluate("[document.cookie, localStorage.length, sessionStorage.length]") == ["", 0, 0]


async def test_a_session_that_is_over_leaves_no_cookie(context: BrowserContext, place: Place) -> None:
    page = await tab(context, place.url())
    await sign_in(page, place, "edsger")
    token = (await page.evaluate(REFRESH))["access_token"]
    headers = {"Authorization": f"Bearer {token}"}
    assert (await place.client.delete("/users/me/sessions", headers=headers)).status_code == 204

    over = await page.evaluate(REFRESH)

    assert (over["status"], over["code"]) == (401, "invalid_token")
    assert await cookies(context) == []


async def test_the_page_of_another_port_sends_the_cookie_and_is_refused(
    context: BrowserContext, place: Place
) -> None:
    """It is the same site, so `SameSite` does not help."""
    page = await tab(context, place.url())
    await sign_in(page, place, "barbara")
    [before] = await cookies(context)

    async with other_origin() as port:
        evil = await context.new_page()
        await evil.goto(f"http://127.0.0.1:{port}/")
        url = f"{place.url()}/session/refresh"
        async with evil.expect_response(url) as expected:
            await evil.evaluate(FORGE, url)
        answer = await expected.value

    assert before["value"] in (await answer.request.all_headers()).get("cookie", "")
    assert answer.status == 403
    assert await cookies(context) == [before]
    assert (await page.evaluate(REFRESH))["status"] == 200


async def test_the_page_of_another_site_does_not_even_send_the_cookie(
    context: BrowserContext, place: Place
) -> None:
    page = await tab(context, place.url())
    await sign_in(page, place, "leslie")

    async with other_origin() as port:
        evil = await context.new_page()
        await evil.goto(f"http://localhost:{port}/")
        url = f"{place.url()}/session/refresh"
        async with evil.expect_response(url) as expected:
            await evil.evaluate(FORGE, url)
        answer = await expected.value

    assert "cookie" not in await answer.request.all_headers()
    assert answer.status == 403
    assert (await page.evaluate(REFRESH))["status"] == 200


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
async def test_a_browser_keeps_the_cookie_of_production_on_this_machine_without_https(
    context: BrowserContext, place_settings: Settings, tmp_path: Path, host: str
) -> None:
    secret = "a secret of more than thirty-two bytes"
    production = {"ENVIRONMENT": "production", "SECRET_KEY": secret, "DOCS": "open"}
    async with serving(place_settings, tmp_path, **production) as place:
        page = await tab(context, place.url(host))
        await sign_in(page, place, f"ada-at-{host}")

        [cookie] = await cookies(context)
        assert (cookie["name"], cookie["secure"], cookie["path"]) == ("__Host-headrace", True, "/")
        assert (await page.evaluate(REFRESH))["status"] == 200
