"""The tab with what a job has written, and the tracebacks of its attempts."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, Literal

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Locator, ViewportSize, expect

from tests.dashboard import browser
from tests.dashboard.browser import Visit, visiting
from tests.dashboard.site import GatedJob, Person, Site, gated_job
from tests.dashboard.test_pages import violations
from tests.support.waiting import until

browser.skip_without()

pytestmark = pytest.mark.asyncio(loop_scope="module")

HOSTILE = "<img src=x onerror=\"document.title='owned'\">"
AT_END = "list => list.scrollHeight - list.scrollTop - list.clientHeight < 8"


Start = Callable[..., Awaitable[GatedJob]]


@pytest_asyncio.fixture(loop_scope="module")
async def start(ada: Person, tmp_path: Path) -> AsyncIterator[Start]:
    """Start a gated job; whatever the story, it does not keep its slot."""
    started: list[GatedJob] = []

    async def start(**options: Any) -> GatedJob:
        started.append(await gated_job(ada, tmp_path, **options))
        return started[-1]

    yield start
    for job in started:
        job.let(100)


def lines_of(visit: Visit) -> Locator:
    return visit.page.locator(".log .log-line")


async def texts(visit: Visit) -> list[str]:
    return [text.strip() for text in await visit.page.locator(".log bdi").all_text_contents()]


async def test_the_log_grows_while_the_job_runs_and_is_filtered_by_level(
    visit: Visit, ada: Person, start: Start
) -> None:
    job = await start(batches=2, lines=4, text=HOSTILE)
    await visit.enter(ada, f"jobs/{job.id}?tab=logs")
    await expect(lines_of(visit)).to_have_count(4)
    assert await texts(visit) == [f"batch 0, line {number} {HOSTILE}" for number in range(4)]
    assert await visit.page.locator(".log img").count() == 0
    await expect(lines_of(visit).nth(2).locator("strong")).to_have_text("warning")
    heights = "lines => lines.map(line => line.offsetHeight)"
    assert len(set(await lines_of(visit).evaluate_all(heights))) == 1  # a warning is a line like the others
    await expect(lines_of(visit).nth(1).locator("strong")).to_have_count(0)

    job.let(1)
    await expect(lines_of(visit)).to_have_count(8)
    await visit.page.get_by_label("Level").select_option("Warnings and errors")
    await expect(lines_of(visit)).to_have_count(4)
    await visit.page.get_by_label("Level").select_option("Errors only")
    await expect(lines_of(visit)).to_have_count(2)
    assert [text[:15] for text in await texts(visit)] == ["batch 0, line 3", "batch 1, line 3"]

    job.let(2)
    await expect(visit.page.locator(".job-head .facts .state")).to_have_text("Completed")
    await expect(visit.page.get_by_label("Follow")).to_be_hidden()
    assert (
        await visit.page.title() == f"Gated {job.id[:8]} · Headrace"
        or "owned" not in await visit.page.title()
    )


async def test_few_lines_of_a_long_log_are_on_the_page_and_earlier_ones_are_loaded(
    visit: Visit, ada: Person, start: Start
) -> None:
    job = await start(batches=2, lines=1500)

    async def is_stored() -> bool:
        page = await ada.ask("GET", f"/jobs/{job.id}/logs", params={"newest": True, "limit": 1})
        return [line["text"].strip() for line in page["items"]] == ["batch 0, line 1499"]

    await until(is_stored)  # lines that are followed take the place of those that are loaded by the button
    await visit.enter(ada, f"jobs/{job.id}?tab=logs")
    await expect(lines_of(visit).last).to_contain_text("batch 0, line 1499")
    assert await visit.page.locator(".log").evaluate(AT_END)
    count = await lines_of(visit).count()
    assert count <= 1000

    for _ in range(6):
        first = (await texts(visit))[0]
        await visit.page.get_by_role("button", name="Load more").click()
        await expect(lines_of(visit).first).not_to_contain_text(first)
        assert await lines_of(visit).count() <= 1000
    assert len(await texts(visit)) == 1000
    await expect(visit.page.get_by_label("Follow")).not_to_be_checked()

    job.let(2)  # the newest lines are not shown to somebody who reads old ones
    await expect(visit.page.locator(".job-head .facts .state")).to_have_text("Completed")
    assert (await texts(visit))[-1].startswith("batch 0, ")
    assert len(await texts(visit)) == 1000

    await visit.page.get_by_label("Follow").check()
    await expect(lines_of(visit).last).to_contain_text("batch 1, line 1499")
    await expect(visit.page.get_by_label("Follow")).to_be_hidden()


async def test_who_scrolls_up_is_left_alone_until_the_end_is_in_sight_again(
    visit: Visit, ada: Person, start: Start
) -> None:
    job = await start(batches=3, lines=100)
    await visit.enter(ada, f"jobs/{job.id}?tab=logs")
    await expect(lines_of(visit)).to_have_count(100)
    log = visit.page.get_by_role("log")
    await log.focus()
    await visit.page.keyboard.press("Home")
    await expect(visit.page.get_by_text("Paused: you scrolled up")).to_be_visible()

    job.let(1)
    await expect(visit.page.locator(".progress-main")).to_contain_text("1")
    await visit.page.wait_for_timeout(3000)  # longer than it takes to follow
    await expect(lines_of(visit)).to_have_count(100)
    await visit.page.keyboard.press("End")

    await expect(lines_of(visit)).to_have_count(200)
    await expect(visit.page.get_by_text("Paused: you scrolled up")).to_have_count(0)
    assert await log.evaluate(AT_END)
    job.let(3)


async def test_lines_are_filtered_by_attempt_copied_and_not_wrapped(
    visit: Visit, ada: Person, start: Start
) -> None:
    job = await start(batches=2, lines=2, text="x" * 400)
    await visit.page.context.grant_permissions(["clipboard-read", "clipboard-write"])

    async def has_lines(count: int) -> bool:
        return len((await ada.ask("GET", f"/jobs/{job.id}/logs"))["items"]) == count

    await until(lambda: has_lines(2))
    await ada.ask("POST", f"/jobs/{job.id}/cancel")
    await ada.ask("POST", f"/jobs/{job.id}/retry")
    await until(lambda: has_lines(4))
    await visit.enter(ada, f"jobs/{job.id}?tab=logs")
    await expect(lines_of(visit)).to_have_count(4)
    await visit.page.get_by_label("Attempt", exact=True).select_option("Attempt 2")
    await expect(lines_of(visit)).to_have_count(2)
    await expect(lines_of(visit).first).to_contain_text("Attempt 2")

    log = visit.page.get_by_role("log")
    assert await log.evaluate("list => list.scrollWidth <= list.clientWidth")
    await visit.page.get_by_label("Wrap lines").uncheck()
    assert await log.evaluate("list => list.scrollWidth > list.clientWidth")
    await visit.page.locator(".log-bar").get_by_role("button", name="Copy").click()
    copied = (await visit.page.evaluate("navigator.clipboard.readText()")).splitlines()
    assert [line.split(" ", 1)[1][:21] for line in copied] == [
        "debug batch 0, line 0",
        "info batch 0, line 1 ",
    ]
    job.let(2)


async def test_a_job_that_wrote_nothing_says_so_and_filters_can_be_told_from_it(
    visit: Visit, ada: Person, start: Start
) -> None:
    job = await start(batches=1)
    job.let(1)
    await visit.enter(ada, f"jobs/{job.id}")
    await visit.page.get_by_role("tab", name="Events").click()
    await visit.page.keyboard.press("ArrowRight")
    await expect(visit.page.get_by_role("tab", name="Logs")).to_be_focused()
    await expect(visit.page.get_by_text("No log output.")).to_be_visible()
    await visit.page.get_by_label("Level").select_option("Errors only")
    await expect(visit.page.get_by_text("Nothing matches these filters.")).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_axe_finds_nothing_in_a_log_on_a_phone(
    the_browser: Browser, the_site: Site, ada: Person, start: Start, scheme: Literal["light", "dark"]
) -> None:
    from axe_playwright_python.async_playwright import Axe  # slow to import

    job = await start(batches=1, lines=8)
    phone: ViewportSize = {"width": 360, "height": 740}
    async with visiting(the_browser, the_site, viewport=phone, color_scheme=scheme) as visit:
        await visit.enter(ada, f"jobs/{job.id}?tab=logs")
        await expect(lines_of(visit)).to_have_count(8)
        assert await visit.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert await violations(Axe(), visit.page) == []
    job.let(1)


async def test_only_administrators_see_the_traceback_of_an_attempt(
    visit: Visit, ada: Person, the_site: Site
) -> None:
    body = {"instances": [{"text": 4}], "max_row_errors": 0}
    created = await ada.ask("POST", "/jobs/batch-predict", json=body)
    path = f"jobs/{created['job_id']}?tab=attempts"

    async def has_failed() -> bool:
        return bool((await ada.ask("GET", f"/jobs/{created['job_id']}"))["status"] == "failed")

    await until(has_failed)
    await visit.enter(ada, path)
    await expect(visit.page.get_by_role("table", name="Attempts").get_by_role("row")).to_have_count(2)
    await expect(visit.page.get_by_text("Traceback")).to_have_count(0)
    await visit.page.get_by_role("button", name="Sign out").click()
    await the_site.fetch("UPDATE users SET role = 'admin' WHERE username = $1 RETURNING id", ada.name)

    await visit.enter(ada, path)
    await visit.page.locator("summary", has_text="Traceback").click()
    await expect(visit.page.locator("td pre")).to_contain_text("1 of the first 1 rows failed")
