"""What the dashboard shows when workers die, networks fall silent and names mean harm."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.async_api import Browser, Route, expect

from tests.dashboard import browser
from tests.dashboard.browser import Visit, visiting
from tests.dashboard.site import Person, Site, gated_job
from tests.dashboard.test_pages import HOSTILE, OVERFLOW, PAGES
from tests.support.waiting import until

browser.skip_without()

pytestmark = pytest.mark.asyncio(loop_scope="module")

NAMES = (HOSTILE, '"]}</script>', "‮gnp.elif", "n" * 200, "🫖" * 40, "a​b")
"""Markup, the end of a string, text from right to left, a long word, pictures, a space without width."""

# How far the layout has shifted without anybody's doing, and what moved.
SHIFTS = """() => new Promise(resolve => {
    const found = { sum: 0, moved: [] };
    const observer = new PerformanceObserver(list => {
        for (const one of list.getEntries().filter(one => !one.hadRecentInput)) {
            found.sum += one.value;
            found.moved.push(...one.sources.map(({ node, previousRect, currentRect }) =>
                `${node?.nodeName} ${node?.className ?? ""}: ${Math.round(previousRect.y)} to ` +
                `${Math.round(currentRect.y)}, ${Math.round(previousRect.height)} to ` +
                `${Math.round(currentRect.height)} high`));
        }
    });
    observer.observe({ type: "layout-shift", buffered: true });
    setTimeout(() => { observer.disconnect(); resolve(found); }, 300);
})"""
MAX_SHIFT = 0.02


async def test_a_lost_worker_is_named_and_each_batch_is_there_once(
    visit: Visit, ada: Person, the_site: Site, tmp_path: Path
) -> None:
    job = await gated_job(ada, tmp_path, batches=6)
    job.let(2)
    await visit.enter(ada)
    await visit.follow(job.id)
    await expect(visit.page.locator(".ledger span.flow")).to_have_count(2)

    await the_site.kill_worker()
    await the_site.start_worker()
    job.let(6)

    await expect(visit.page.locator(".job-head .facts .state")).to_have_text("Completed")
    await expect(visit.page.locator(".ledger > span")).to_have_count(6)
    await expect(visit.page.locator(".ledger-runs .run")).to_have_count(2)
    await expect(visit.page.locator(".timeline .segment", has_text="Attempt 1")).to_have_count(1)
    await expect(visit.page.locator(".timeline .segment", has_text="Attempt 2")).to_have_count(1)
    lost, last = (await ada.ask("GET", f"/jobs/{job.id}", params={"include": "attempts"}))["attempts"]
    assert (lost["outcome"], last["outcome"]) == ("rescued", "completed")
    assert (lost["rows"], last["rows"]) == (2, 4)
    await visit.page.get_by_role("tab", name="Attempts").click()
    rows = visit.page.get_by_role("tabpanel").locator("tbody tr")
    await expect(rows).to_have_count(2)
    await expect(rows.last).to_contain_text(lost["worker"][-6:])
    ledger = await ada.ask("GET", f"/jobs/{job.id}/ledger")
    assert [(run["first"], run["last"], run["attempt"]) for run in ledger["runs"]] == [(0, 1, 1), (2, 5, 2)]


async def test_cancelling_stands_there_until_a_job_that_does_not_listen_is_gone(
    visit: Visit, ada: Person, the_site: Site, tmp_path: Path
) -> None:
    job = await gated_job(ada, tmp_path, batches=4, is_deaf=True)
    job.let(1)
    await visit.enter(ada)
    await visit.follow(job.id)
    await expect(visit.page.locator(".ledger span.flow")).to_have_count(1)
    state = visit.page.locator(".job-head .facts .state")

    with the_site.frozen_worker():
        await visit.page.locator(".job-head").get_by_role("button", name="Cancel").click()
        await visit.page.get_by_role("dialog").get_by_role("button", name="Cancel job").click()
        await expect(state).to_contain_text("Cancelling")

    await expect(state).to_have_text("Cancelled")
    await expect(visit.page.locator(".ledger > span.past, .ledger > span.flow")).to_have_count(1)


async def test_silence_is_noticed_and_ends_by_itself(visit: Visit, ada: Person, the_site: Site) -> None:
    visit.expected |= {503}  # what waited too long
    await visit.enter(ada, "jobs")

    with the_site.frozen():
        await expect(visit.connection).to_contain_text("No response for")

    await expect(visit.connection).to_contain_text("Live")
    await ada.ask("POST", "/jobs/batch-predict", json={"texts": ["fine"]})
    await expect(visit.page.locator(".fresh")).to_contain_text("1 new job")


async def test_a_bulk_action_changes_what_its_preview_said_and_can_be_stopped(
    visit: Visit, ada: Person, the_site: Site
) -> None:
    await the_site.add_pending(ada.name, 2_500)
    await visit.enter(ada, "jobs")
    await expect(visit.count_of("Pending")).to_have_text("2,500")
    sent: list[dict[str, Any]] = []

    async def hold(route: Route) -> None:
        body = json.loads(route.request.post_data or "{}")
        if not body.get("dry_run"):
            sent.append(body)
        if len(sent) == 1:  # after the preview, and so not among what it counted
            await ada.ask("POST", "/jobs/batch-predict", json={"texts": ["fine"], "queue": "nobody"})
        if len(sent) == 2:
            await visit.page.get_by_role("dialog").get_by_role("button", name="Stop").click()
        await route.continue_()

    await visit.page.route("**/jobs/bulk-actions", hold)
    await visit.rows.first.get_by_role("checkbox").check()
    await visit.page.get_by_role("button", name="Select all 2,500 matching").click()
    await visit.page.locator(".bulk").get_by_role("button", name="Cancel job").click()
    dialog = visit.page.get_by_role("dialog")
    await expect(dialog).to_contain_text("2,500 pending and 0 running will be cancelled.")
    await dialog.get_by_role("textbox").fill("2,500")
    await dialog.get_by_role("button", name="Cancel job").click()

    await expect(visit.page.locator("#toasts")).to_contain_text("Stopped after 2,000 of 2,500")
    counts = await ada.ask("GET", "/jobs/counts")
    assert (counts["cancelled"], counts["pending"]) == (2000, 501)
    assert len(sent) == 2


async def test_names_that_mean_harm_are_text_and_break_no_layout(visit: Visit, ada: Person) -> None:
    paths = ["jobs", "datasets", "schedules"]
    accepted = 0
    for name in NAMES:
        body: dict[str, Any] = {"texts": [name], "queue": "nobody", "metadata": {"team": name[:100]}}
        job = await _created(ada, "/jobs/batch-predict", json=body)
        trigger = {"daily": {"at": "09:00"}}
        planned = {"name": name, "trigger": trigger, "job": {"kind": "batch_predict", "texts": ["fine"]}}
        schedule = await _created(ada, "/schedules", json=planned)
        dataset = await _created(
            ada,
            "/datasets",
            params={"name": name},
            content=f"{json.dumps({'text': name})}\n".encode(),
            headers={"Content-Type": "application/x-ndjson"},
        )
        paths += [f"jobs/{job['job_id']}"] if job else []
        paths += [f"schedules/{schedule['schedule_id']}"] if schedule else []
        paths += [f"datasets/{dataset['dataset_id']}"] if dataset else []
        accepted += sum(one is not None for one in (job, schedule, dataset))
    assert accepted >= 6
    await visit.enter(ada)
    for path in paths:
        await visit.open(path)
        await expect(visit.page.locator("#main h1")).to_be_visible()
        await expect(visit.page.locator(".skeleton")).to_have_count(0)
        for width in (360, 1440):
            await visit.page.set_viewport_size({"width": width, "height": 900})
            assert await visit.page.evaluate(OVERFLOW) == [], (path, width)
        assert await visit.page.locator("#main img").count() == 0, path
        assert await visit.page.title() != "owned", path


async def test_no_page_shifts_when_its_data_arrive(the_browser: Browser, the_site: Site, ada: Person) -> None:
    await ada.ask("POST", "/jobs/batch-predict", json={"texts": ["fine", "bad"]})
    [job] = (await ada.ask("GET", "/jobs"))["items"]

    async def has_ended() -> bool:
        return bool((await ada.ask("GET", f"/jobs/{job['job_id']}"))["status"] == "completed")

    await until(has_ended)
    async with visiting(the_browser, the_site) as visit:
        await visit.enter(ada)
        shifts = {}
        for path in (*PAGES, f"jobs/{job['job_id']}"):
            await visit.open(path)
            await expect(visit.page.locator("#main h1")).to_be_visible()
            await expect(visit.connection).to_contain_text("Live")
            await expect(visit.page.locator(".skeleton")).to_have_count(0)
            shifts[path] = await visit.page.evaluate(SHIFTS)
        assert {path: shift for path, shift in shifts.items() if shift["sum"] > MAX_SHIFT} == {}


async def _created(owner: Person, path: str, **more: Any) -> dict[str, Any] | None:
    """What was created; None if such a name is refused."""
    try:
        created: dict[str, Any] = await owner.ask("POST", path, **more)
    except httpx.HTTPStatusError as error:
        if error.response.status_code != 422:
            raise
        return None
    return created
