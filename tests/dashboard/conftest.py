"""One system and one browser for all stories; a new account and an empty profile for each."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser

from app.core.config import Settings
from tests.conftest import Servers
from tests.dashboard import browser, site
from tests.dashboard.browser import Visit
from tests.dashboard.site import Person, Site
from tests.support.module_settings import module_settings


@pytest.fixture(scope="module")
def chromium() -> Path:
    """Where the browser is. Asked for before anything is started."""
    return browser.find()


@pytest.fixture(scope="module")
def site_settings(
    chromium: Path, servers: Servers, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Settings]:
    """Settings of the system."""
    storage = tmp_path_factory.mktemp("storage")
    redis_url = servers.embedded.valkey.url
    with module_settings(servers.databases, redis_url, storage, worker_port=None, worker_slots=2) as settings:
        yield settings


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def the_site(site_settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    async with site.running(site_settings, tmp_path_factory.mktemp("site")) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def the_browser(chromium: Path) -> AsyncIterator[Browser]:
    async with browser.running(chromium) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def ada(the_site: Site) -> AsyncIterator[Person]:
    """Somebody with an account."""
    async with site.person(the_site) as somebody:
        yield somebody


@pytest_asyncio.fixture(loop_scope="module")
async def visit(the_browser: Browser, the_site: Site) -> AsyncIterator[Visit]:
    """A tab with the page, nobody signed in."""
    async with browser.visiting(the_browser, the_site) as visit:
        yield visit
