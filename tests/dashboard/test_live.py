"""What the dashboard shows while the world changes: events, restarts, lost networks, several tabs."""

import asyncio
import re
import signal
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.async_api import Browser, Route, expect

from tests.dashboard import browser
from tests.dashboard.browser import Visit, check, tab, visiting
from tests.dashboard.site import Person, Site, gated_job
from tests.support.waiting import until

browser.skip_without()

pytestmark = pytest.mark.asyncio(loop_scope="module")

LIST = re.compile(r":\d+/jobs(\?|$)")
ANOTHER_KEY = "another secret of more than thirty-two bytes"
HEAP_BYTES = 5_000_000

# Long enough for a response that was under way to be shown.
A_WHILE = """async () => {
    for (let turn = 0; turn < 10; turn += 1) {
        await fetch("/health/live");
        await new Promise(requestAnimationFrame);
    }
}"""

# So many events into the inbox of the page, as the stream would put them.
FLOOD = """async count => {
    const live = document.querySelector("link[href$='live/live.js']").href;
    const { Inbox } = await import(live.replace("live.js", "inbox.js"));
    const inbox = new Inbox();
    const stop = new AbortController();
    let shown = 0;
    inbox.onEvents(events => { shown += events.length; }, stop.signal);
    for (let index = 0; index < count; index += 1) {
        const event = { seq: index, type: "progress", status: "running", progress: 1, done: index };
        inbox.put([{ ...event, job_id: `job-${index % 1000}`, total: count }]);
        if (index % 20_000 === 0) { await new Promise(requestAnimationFrame); }
    }
    await new Promise(requestAnimationFrame);
    await new Promise(requestAnimationFrame);
    stop.abort();
    return shown;
}"""


def streams(visit: Visit) -> list[dict[str, str]]:
    """The queries of the streams that a tab has asked for."""
    found = [urlsplit(url) for url in visit.requests]
    return [
        {name: values[0] for name, values in parse_qs(url.query).items()}
        for url in found
        if url.path == "/jobs/stream"
    ]


async def test_a_running_job_moves_by_itself_and_head_and_navigation_stay(
    visit: Visit, ada: Person, tmp_path: Path
) -> None:
    job = await gated_job(ada, tmp_path, batches=8)
    job.let(2)
    await visit.enter(ada)
    await visit.follow(job.id)
    await expect(visit.page.locator(".ledger span.flow")).to_have_count(2)
    before = await visit.page.locator(".job-title").inner_text()

    job.let(5)

    await expect(visit.page.locator(".ledger span.flow")).to_have_count(5)
    await expect(visit.page.locator(".percent strong")).to_have_text("62")
    assert await visit.page.locator(".job-title").inner_text() == before
    job.let(8)
    await expect(visit.page.locator(".job-head .facts .state")).to_have_text("Completed")
    await expect(visit.page.locator(".activity strong").first).to_have_text("Completed")


async def test_new_jobs_wait_behind_a_button_and_rows_move_in_place(
    visit: Visit, ada: Person, tmp_path: Path
) -> None:
    job = await gated_job(ada, tmp_path, batches=4)
    await visit.enter(ada, "jobs")
    await expect(visit.rows).to_have_count(1)
    job.let(2)
    await expect(visit.rows.locator(".progress .number")).to_have_text("2 / 4")

    await ada.ask("POST", "/jobs/batch-predict", json={"texts": ["fine"]})

    button = visit.page.get_by_role("button", name="Show 1 new job")
    await expect(button).to_be_visible()
    await expect(visit.rows).to_have_count(1)
    await button.click()
    await expect(visit.rows).to_have_count(2)
    job.let(4)
    await expect(visit.rows.last.locator(".state-cell")).to_have_text("Completed")
    await expect(visit.count_of("Completed")).to_have_text("2")


async def test_a_restart_of_the_api_is_announced_and_misses_nothing(
    visit: Visit, ada: Person, the_site: Site, tmp_path: Path
) -> None:
    visit.expected |= {503}
    job = await gated_job(ada, tmp_path, batches=6)
    job.let(2)
    await visit.enter(ada)
    await visit.follow(job.id)
    await expect(visit.page.locator(".ledger span.flow")).to_have_count(2)
    opened = len(streams(visit))

    async with the_site.away(signal.SIGINT):
        job.let(4)
        await the_site.until_done(job.id, 4)
        await expect(visit.connection).to_contain_text("Server restarting")
        assert len(streams(visit)) == opened  # none before the server is ready
    assert "info: Server is shutting down, closing connection..." in visit.console

    await expect(visit.connection).to_contain_text("Live")
    await expect(visit.page.locator(".ledger span.flow")).to_have_count(4)
    assert streams(visit)[-1]["after"]
    job.let(6)
    await expect(visit.page.locator(".job-head .facts .state")).to_have_text("Completed")
    shown = await visit.page.locator(".activity strong").all_inner_texts()
    assert shown[0] == "Completed"
    assert len(set(shown)) == len(shown)


async def test_a_killed_api_is_asked_again_with_a_new_ticket_after_the_last_place(
    visit: Visit, ada: Person, the_site: Site, tmp_path: Path
) -> None:
    visit.expected |= {503}
    job = await gated_job(ada, tmp_path, batches=4)
    job.let(1)
    await visit.enter(ada)
    await visit.follow(job.id)
    await expect(visit.page.locator(".ledger span.flow")).to_have_count(1)

    # What comes back has another key, so that the page's token is of no use to it.
    async with the_site.away(signal.SIGKILL, SECRET_KEY=ANOTHER_KEY):
        job.let(3)
        await the_site.until_done(job.id, 3)
        await expect(visit.connection).to_contain_text("Reconnecting in")
        await expect(visit.page.locator("#bars")).to_contain_text("Disconnected since")
    await expect(visit.connection).to_contain_text("Live")
    await expect(visit.page.locator("#bars")).not_to_contain_text("Disconnected")
    await expect(visit.page.locator(".ledger span.flow")).to_have_count(3)
    found = streams(visit)
    assert found[-1]["after"]
    assert len({query["ticket"] for query in found}) == len(found)
    job.let(4)
    await expect(visit.page.locator(".job-head .facts .state")).to_have_text("Completed")


async def test_several_tabs_share_one_stream_and_another_takes_over(
    visit: Visit, ada: Person, tmp_path: Path
) -> None:
    job = await gated_job(ada, tmp_path, batches=4)
    await visit.enter(ada)
    others = [await tab(visit.page.context, visit.site) for _ in range(3)]
    for other in others:
        await other.open("jobs")
        await expect(other.connection).to_contain_text("Live")
        await expect(other.rows).to_have_count(1)
    assert sum(len(streams(one)) for one in (visit, *others)) == 1
    job.let(2)
    for other in others:
        await expect(other.rows.locator(".progress .number")).to_have_text("2 / 4")

    await visit.page.close()
    job.let(3)

    for other in others:
        await expect(other.rows.locator(".progress .number")).to_have_text("3 / 4")
        await expect(other.connection).to_contain_text("Live")
    assert sum(len(streams(one)) for one in (visit, *others)) == 2
    job.let(4)
    for other in others:
        await expect(other.rows.locator(".state-cell")).to_have_text("Completed")
        check(other)


async def test_without_locks_each_tab_has_a_stream(the_browser: Browser, the_site: Site, ada: Person) -> None:
    async with visiting(the_browser, the_site) as visit:
        await visit.page.context.add_init_script("delete Navigator.prototype.locks")
        await visit.enter(ada)
        other = await tab(visit.page.context, the_site)
        await other.open("jobs")
        await expect(other.connection).to_contain_text("Live")

        async def has_its_own() -> bool:
            return len(streams(other)) == 1

        await until(has_its_own)
        assert len(streams(visit)) == 1


async def test_the_clock_is_that_of_the_server_though_the_browser_is_an_hour_off(
    the_browser: Browser, the_site: Site, ada: Person
) -> None:
    async with visiting(the_browser, the_site) as visit:
        await visit.page.context.add_init_script(
            """{ const now = Date.now.bind(Date); Date.now = () => now() + 3_600_000; }"""
        )
        await visit.enter(ada)
        clock = visit.page.locator("#top .clock time")

        async def is_right() -> bool:
            shown = datetime.fromisoformat(await clock.get_attribute("datetime") or "")
            return abs((shown - datetime.now(UTC)).total_seconds()) < 5

        await until(is_right)
        before = await clock.inner_text()
        await expect(clock).not_to_have_text(before)


async def test_pausing_stops_painting_and_shows_what_waits(visit: Visit, ada: Person, tmp_path: Path) -> None:
    job = await gated_job(ada, tmp_path, batches=4)
    await visit.enter(ada, "jobs")
    await expect(visit.rows).to_have_count(1)
    await visit.page.keyboard.press("p")
    job.let(2)
    await expect(visit.connection).to_contain_text("Paused, 1 waiting")
    await expect(visit.rows.locator(".progress .number")).to_have_text("0 / 4")

    await visit.page.keyboard.press("p")

    await expect(visit.rows.locator(".progress .number")).to_have_text("2 / 4")
    job.let(4)


async def test_what_is_loading_when_one_pauses_is_not_shown_before_one_resumes(
    visit: Visit, ada: Person, tmp_path: Path
) -> None:
    job = await gated_job(ada, tmp_path, batches=4)
    await visit.enter(ada, "jobs")
    await expect(visit.rows).to_have_count(1)
    is_asked, is_let_through = asyncio.Event(), asyncio.Event()

    async def hold(route: Route) -> None:
        is_asked.set()
        await is_let_through.wait()
        await route.continue_()

    await visit.page.route(LIST, hold)
    # What a tab hears from the one with the stream when that may have missed events.
    await visit.page.evaluate("new BroadcastChannel('headrace.live:/').postMessage({type: 'lost'})")
    await is_asked.wait()

    await visit.page.keyboard.press("p")
    job.let(2)
    await expect(visit.connection).to_contain_text("Paused, 1 waiting")
    is_let_through.set()
    await visit.page.evaluate(A_WHILE)
    await expect(visit.rows.locator(".progress .number")).to_have_text("0 / 4")
    await visit.page.unroute_all(behavior="ignoreErrors")
    await visit.page.keyboard.press("p")
    await expect(visit.rows.locator(".progress .number")).to_have_text("2 / 4")
    job.let(4)


async def test_ten_thousand_jobs_have_few_rows_and_rows_stay_under_the_pointer(
    visit: Visit, ada: Person, the_site: Site
) -> None:
    await the_site.add_pending(ada.name, 10_000)
    await visit.enter(ada, "jobs")
    await expect(visit.count_of("Pending")).to_have_text("10,000")
    # A list that does not end grows while one scrolls.
    for _ in range(12):
        await visit.page.mouse.wheel(0, 20_000)
        await asyncio.sleep(0.05)
        assert await visit.rows.count() <= 80

    async def has_grown() -> bool:
        await visit.page.mouse.wheel(0, 20_000)
        text = await visit.page.locator(".list-foot").first.inner_text()
        return int(re.sub(r"\D", "", text.split("/")[0])) >= 500

    await until(has_grown)
    row = visit.rows.nth(10)
    await row.hover()
    key, box = await row.get_attribute("data-key"), await row.bounding_box()
    await ada.ask("POST", "/jobs/batch-predict", json={"texts": ["fine"]})
    await expect(visit.page.locator(".fresh")).to_be_visible()
    assert await visit.page.locator(f'tr[data-key="{key}"]').bounding_box() is not None
    assert box is not None
    assert await visit.rows.count() <= 80


async def test_the_place_in_the_list_is_kept_for_when_one_comes_back(
    visit: Visit, ada: Person, the_site: Site
) -> None:
    for _ in range(3):
        await ada.ask(
            "POST",
            "/jobs/bulk",
            json={"jobs": [{"kind": "batch_predict", "texts": ["a"], "queue": "nobody"}] * 40},
        )
    await visit.enter(ada, "jobs")
    await expect(visit.count_of("All")).to_have_text("120")
    await visit.page.evaluate("scrollTo(0, 1500)")
    row = visit.page.locator(".jobs-table tr[data-key]").nth(20)
    await row.locator("a").click()
    await expect(visit.page.locator(".job-head")).to_be_visible()

    await visit.page.go_back()

    await expect(visit.page.locator("h1")).to_have_text("Jobs")

    async def is_back() -> bool:
        return abs(int(await visit.page.evaluate("Math.round(scrollY)")) - 1500) < 60

    await until(is_back)


async def test_many_events_and_page_changes_leave_no_memory_behind(visit: Visit, ada: Person) -> None:
    await visit.enter(ada)
    session = await visit.page.context.new_cdp_session(visit.page)
    await session.send("HeapProfiler.enable")

    async def settle() -> tuple[int, int]:
        await visit.navigate("settings")
        await expect(visit.page.locator("h1")).to_have_text("Settings")
        for _ in range(3):
            await session.send("HeapProfiler.collectGarbage")
        usage = await session.send("Runtime.getHeapUsage")
        counters = await session.send("Memory.getDOMCounters")
        return int(usage["usedSize"]), int(counters["jsEventListeners"])

    async def change_pages(times: int) -> None:
        for _ in range(times):
            for path in ("jobs", "", "new"):
                await visit.navigate(path)

    await change_pages(3)
    heap, listeners = await settle()
    assert await visit.page.evaluate(FLOOD, 720_000) > 1000
    await change_pages(33)
    later, later_listeners = await settle()

    assert later - heap < HEAP_BYTES
    assert later_listeners <= listeners + 20


async def test_a_list_that_nobody_touches_sends_one_request_at_a_time(visit: Visit, ada: Person) -> None:
    await visit.page.clock.install()
    await visit.enter(ada, "jobs?status=completed")
    await expect(visit.page.locator(".skeleton")).to_have_count(0)

    def asked() -> list[str]:
        return [urlsplit(url).path for url in visit.requests if re.search(r"/(jobs/counts|attention)", url)]

    async def run(milliseconds: int, requests: int) -> None:
        await visit.page.clock.run_for(milliseconds)

        async def has_asked() -> bool:
            return len(asked()) >= requests

        await until(has_asked)

    opened = len(asked())
    await run(3_000, opened + 2)  # what may have happened before the stream was open
    for quiet in (3, 4, 5, 6):
        await run(15_600, opened + quiet)

    assert asked()[opened + 2 :] == ["/attention", "/jobs/counts"] * 2
