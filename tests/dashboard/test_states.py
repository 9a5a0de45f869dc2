"""Every page when its data is refused, and for readers who need larger text or no motion."""

import re

import pytest
from playwright.async_api import Browser, Route, expect

from tests.dashboard import browser
from tests.dashboard.browser import Visit, visiting
from tests.dashboard.site import Person, Site
from tests.dashboard.test_pages import OVERFLOW, PAGES

browser.skip_without()

pytestmark = pytest.mark.asyncio(loop_scope="module")

# What pages ask the API for; not the session, the stream and the files of the dashboard.
READS = re.compile(r"/(?!dashboard|session|stream-tickets|jobs/stream|health)[\w/-]+(\?.*)?$")
PROBLEM = {"status": 500, "code": "internal_error", "detail": "…", "request_id": "01a2279f"}
WITHOUT_READS = {"new", "schedules/new", "settings"}
"""Pages whose forms are there whatever the API says."""

MOTION = """() => [...document.querySelectorAll("#frame *")].filter(element => {
    const { animationDuration, transitionDuration } = getComputedStyle(element);
    return [animationDuration, transitionDuration].some(text => /[1-9]/.test(text));
}).map(({ tagName, className }) => `${tagName} ${className}`)"""


@pytest.mark.parametrize("path", [path for path in PAGES if path not in WITHOUT_READS])
async def test_a_page_whose_data_is_refused_says_so_and_tries_again(
    visit: Visit, ada: Person, path: str
) -> None:
    visit.expected |= {500}
    await visit.enter(ada, "settings")

    async def refuse(route: Route) -> None:
        if route.request.method != "GET" or route.request.resource_type not in ("fetch", "xhr"):
            await route.fallback()
            return
        headers = {"Content-Type": "application/problem+json"}
        await route.fulfill(status=500, json=PROBLEM, headers=headers)

    await visit.page.route(READS, refuse)
    await visit.navigate(path)

    fault = visit.main.locator(".fault").first
    await expect(fault).to_contain_text("Something went wrong on the server.")
    await expect(fault).to_contain_text("Request ID 01a2279f")
    await visit.page.unroute(READS)
    again = visit.main.get_by_role("button", name="Try again")
    while await again.count() > 0:
        await again.first.click()
        await expect(visit.page.locator(".skeleton")).to_have_count(0)
    await expect(visit.main.locator(".fault")).to_have_count(0)


async def test_text_of_twice_the_size_fits_on_every_page(
    the_browser: Browser, the_site: Site, ada: Person
) -> None:
    async with visiting(the_browser, the_site, viewport={"width": 1280, "height": 900}) as visit:
        await visit.enter(ada)
        for path in PAGES:
            await visit.open(path)
            await expect(visit.page.locator("#main h1")).to_be_visible()
            await expect(visit.page.locator(".skeleton")).to_have_count(0)
            await visit.page.evaluate("document.documentElement.style.fontSize = '200%'")
            assert await visit.page.evaluate(OVERFLOW) == [], path


async def test_nothing_moves_for_readers_who_want_no_motion(
    the_browser: Browser, the_site: Site, ada: Person
) -> None:
    await ada.ask("POST", "/jobs/batch-predict", json={"texts": ["fine"]})
    [job] = (await ada.ask("GET", "/jobs"))["items"]
    async with visiting(the_browser, the_site, reduced_motion="reduce") as visit:
        await visit.enter(ada)
        for path in ("", "jobs", "new", f"jobs/{job['job_id']}"):
            await visit.open(path)
            await expect(visit.page.locator("#main h1")).to_be_visible()
            await expect(visit.page.locator(".skeleton")).to_have_count(0)
            assert await visit.page.evaluate(MOTION) == [], path


NOBODYS = "019aa7c1-f3e2-7bd0-8c5d-3f1e2a4b6c8d"


@pytest.mark.parametrize("wrong", [NOBODYS, "none", "no id"])
async def test_a_page_of_what_does_not_exist_says_so(visit: Visit, ada: Person, wrong: str) -> None:
    visit.expected |= {404, 422}
    await visit.enter(ada, "settings")

    for path, sentence in {
        f"jobs/{wrong}": "This job does not exist, or it belongs to another user.",
        f"groups/{wrong}": "This group does not exist, or it belongs to another user.",
        f"datasets/{wrong}": "This dataset does not exist.",
        f"models/{wrong}": "This model or version does not exist.",
        "models/sentiment?version=-1": "This model or version does not exist.",
        f"schedules/{wrong}": "There is no schedule",
        f"schedules/{wrong}/edit": "There is no schedule",
        f"notifications/{wrong}": "You have no subscription",
        f"new?from={wrong}": "This job does not exist.",
    }.items():
        await visit.navigate(path)
        await expect(visit.main, path).to_contain_text(sentence)
        await expect(visit.main.get_by_role("button", name="Try again"), path).to_have_count(0)


async def test_the_menu_of_a_row_says_where_its_job_is_in_the_queue(
    visit: Visit, ada: Person, the_site: Site
) -> None:
    await ada.ask("POST", "/jobs/batch-predict", json={"texts": ["fine"], "queue": "nobody"})
    await ada.ask("POST", "/jobs/batch-predict", json={"texts": ["fine"], "queue": "nobody"})
    await visit.enter(ada, "jobs")

    asked = [url for url in visit.requests if url.endswith("/explain")]
    await visit.rows.first.get_by_role("button", name=re.compile("Actions|More")).click()

    await expect(visit.page.get_by_role("menu").get_by_role("status")).to_have_text("#2 in queue")
    assert asked == []
