"""Settings, search, the wall display and the jobs of all users, in a real browser before real processes."""

from uuid import UUID

import pytest
from playwright.async_api import Browser, Locator, ViewportSize, expect

from tests.dashboard import browser, site
from tests.dashboard.browser import Visit, visiting
from tests.dashboard.site import PASSWORD, Person, Site
from tests.dashboard.test_pages import violations
from tests.support.waiting import until

browser.skip_without()

pytestmark = pytest.mark.asyncio(loop_scope="module")

NEW_PASSWORD = "another long passphrase"
KEEPS_AWAKE = """() => {
    window.locks = [];
    const request = async (type) => {
        const lock = { type, released: false, release() { this.released = true; } };
        window.locks.push(lock);
        return lock;
    };
    Object.defineProperty(Navigator.prototype, "wakeLock", { value: { request }, configurable: true });
}"""
CONTENT = b"review,stars\nWhat a lovely day,5\n"


async def make(visit: Visit, who: Person, role: str) -> None:
    await visit.site.fetch("UPDATE users SET role = $2 WHERE username = $1 RETURNING id", who.name, role)


def options(visit: Visit) -> Locator:
    return visit.page.locator(".palette [role=option]")


def query(visit: Visit) -> Locator:
    """The field of the palette."""
    return visit.page.locator(".palette [role=combobox]")


async def trained(who: Person, name: str) -> str:
    """The job that has made a model of this name."""
    sizes = [row * 7 % 60 + 0.5 for row in range(60)]
    rows = [{"size": size, "kind": "large" if size > 30 else "small"} for size in sizes]
    body = {"rows": rows, "target": "kind", "algorithm": "mlp", "epochs": 1, "model": name}
    job_id: str = (await who.ask("POST", "/jobs/train-model", json=body))["job_id"]

    async def has_ended() -> bool:
        return bool((await who.ask("GET", f"/jobs/{job_id}"))["status"] == "completed")

    await until(has_ended)
    return job_id


async def add_dataset(who: Person, name: str) -> str:
    uploaded = {"file": (name, CONTENT, "text/csv")}
    dataset_id: str = (await who.ask("POST", "/datasets", files=uploaded))["dataset_id"]
    return dataset_id


async def add_schedule(who: Person, name: str) -> str:
    job = {"kind": "batch_predict", "texts": ["fine"]}
    body = {"name": name, "trigger": {"daily": {"at": "09:00"}}, "job": job}
    schedule_id: str = (await who.ask("POST", "/schedules", json=body))["schedule_id"]
    return schedule_id


# Search


async def test_search_finds_each_kind_of_object_and_opens_it(visit: Visit, ada: Person) -> None:
    job_id = await trained(ada, "churn")
    dataset_id = await add_dataset(ada, "Churn of 2026.csv")
    schedule_id = await add_schedule(ada, "churn, nightly")
    await visit.enter(ada, "settings")
    found = {
        "churn": "models/churn",
        "Churn of 2026.csv": f"datasets/{dataset_id}",
        "churn, nightly": f"schedules/{schedule_id}",
        f"Training churn {job_id[:8]}…{job_id[-4:]}": f"jobs/{job_id}",
    }
    for place, path in enumerate(found.values()):
        await visit.page.keyboard.press("Control+k")
        await query(visit).press_sequentially("churn", delay=10)
        await expect(options(visit)).to_have_count(4)
        assert await options(visit).locator(".said").all_inner_texts() == list(found)
        for _ in range(place):
            await visit.page.keyboard.press("ArrowDown")
        await expect(options(visit).nth(place)).to_have_attribute("aria-selected", "true")
        await visit.page.keyboard.press("Enter")
        await expect(visit.page).to_have_url(f"{visit.site.url}/dashboard/{path}")
        await expect(visit.page.locator("dialog.palette")).to_have_count(0)
        await expect(visit.page.locator("#main h1")).to_be_visible()
    searches = [url for url in visit.requests if "/search?" in url]
    assert len(searches) < 4 * len("churn")  # not for every letter


async def test_search_waits_for_what_was_typed_before_it_opens_anything(visit: Visit, ada: Person) -> None:
    job = await ada.ask("POST", "/jobs/batch-predict", json={"texts": ["fine"], "queue": "nobody"})
    await visit.enter(ada)
    await visit.page.keyboard.press("Control+k")
    await expect(options(visit).first).to_have_text("Overview")
    await query(visit).fill(job["job_id"][:-2])
    await visit.page.keyboard.press("Enter")

    await expect(visit.page).to_have_url(f"{visit.site.url}/dashboard/jobs/{job['job_id']}")
    await visit.page.locator("h1").focus()
    await visit.page.keyboard.press("/")
    await query(visit).fill("wall")
    await visit.page.keyboard.press("Enter")
    await expect(visit.page).to_have_url(f"{visit.site.url}/dashboard/wall")


async def test_search_finds_nothing_of_others(visit: Visit, ada: Person, the_site: Site) -> None:
    dataset_id = await add_dataset(ada, "zebra.csv")
    async with site.person(the_site) as grace:
        await visit.enter(grace)
        for text in ("zebra", dataset_id):
            await visit.page.keyboard.press("Control+k")
            await query(visit).fill(text)
            await expect(visit.page.locator(".palette [role=status]")).to_have_text(
                f"No results for “{text}”"
            )
            await expect(options(visit)).to_have_count(0)
            await visit.page.keyboard.press("Escape")


# Settings


async def test_an_api_key_is_shown_once_works_and_is_revoked(visit: Visit, ada: Person) -> None:
    await visit.enter(ada, "settings")
    await expect(visit.main).to_contain_text("No API keys yet.")
    await visit.page.locator("summary", has_text="New API key").click()
    await visit.page.get_by_label("Name").fill("nightly import")
    await visit.page.get_by_role("button", name="New API key").click()
    await expect(visit.alert).to_have_text("Choose at least one scope.")
    await expect(visit.page.get_by_label("admin")).to_have_count(0)  # not within the role
    await visit.page.get_by_label("jobs:read").check()
    await visit.page.get_by_label("Expires").select_option("30 d")
    await visit.page.get_by_role("button", name="New API key").click()

    key = await visit.page.locator(".secret code").inner_text()
    row = visit.page.get_by_role("table", name="API keys").get_by_role("row", name="nightly import")
    await expect(row).to_contain_text("jobs:read")
    with_key = {"Authorization": f"Bearer {key}"}
    assert (await ada.client.get("/jobs", headers=with_key)).status_code == 200
    assert (await ada.client.get("/datasets", headers=with_key)).status_code == 403
    [made] = (await ada.ask("GET", "/api-keys"))["items"]
    assert (made["name"], made["scopes"], made["expires_at"][:4] >= "2026") == (
        "nightly import",
        ["jobs:read"],
        True,
    )
    await visit.page.reload()
    await expect(row).to_be_visible()
    assert key not in await visit.page.content()

    await row.get_by_role("button", name="Revoke: nightly import").click()
    await visit.page.get_by_role("dialog").get_by_role("button", name="Revoke").click()

    await expect(visit.main).to_contain_text("No API keys yet.")

    async def is_refused() -> bool:
        return (await ada.client.get("/jobs", headers=with_key)).status_code == 401

    await until(is_refused)


async def test_other_sessions_are_ended_one_by_one_and_together(
    visit: Visit, ada: Person, the_browser: Browser, the_site: Site
) -> None:
    sessions = visit.page.locator("section", has=visit.page.get_by_role("heading", name="Sessions"))
    await visit.enter(ada, "settings")
    await expect(sessions.get_by_role("listitem")).to_have_count(1)
    await expect(sessions.get_by_role("listitem").locator("bdi")).to_have_text("Chrome on Linux")
    agent = await visit.page.evaluate("navigator.userAgent")
    await expect(sessions.get_by_role("listitem").locator("bdi")).to_have_attribute("title", agent)
    others = sessions.get_by_role("button", name="Sign out all other sessions")
    await expect(others).to_be_hidden()
    for _ in range(3):
        await ada.ask("GET", "/users/me")
    await visit.page.reload()
    await expect(sessions.get_by_role("listitem")).to_have_count(4)

    await sessions.get_by_role("button", name="Sign out this session").first.click()
    await expect(sessions.get_by_role("listitem")).to_have_count(3)
    await others.click()
    await visit.page.get_by_role("dialog").get_by_role("button", name="Sign out all other sessions").click()

    await expect(sessions.get_by_role("listitem")).to_have_count(1)
    await expect(others).to_be_hidden()
    await expect(sessions.locator(".tag")).to_have_text("now")


async def test_a_password_is_changed_and_the_old_one_is_refused(visit: Visit, ada: Person) -> None:
    visit.expected |= {400, 403, 422}
    await visit.enter(ada, "settings")
    current, new = visit.page.get_by_label("Current password"), visit.page.get_by_label("New password")
    save = visit.page.get_by_role("button", name="Save")
    await current.fill("not her password")
    await new.fill(NEW_PASSWORD)
    await save.click()
    await expect(visit.alert).to_be_visible()
    await current.fill(PASSWORD)
    await save.click()
    await expect(visit.page.locator(".toast")).to_contain_text("Saved")
    await expect(current).to_have_value("")

    async def status(password: str) -> int:
        form = {"username": ada.name, "password": password}
        return (await ada.client.post("/token", data=form)).status_code

    assert await status(NEW_PASSWORD) == 200
    assert await status(PASSWORD) == 401
    await visit.page.reload()
    await expect(visit.page.locator("h1")).to_have_text("Settings")  # this session goes on


async def test_settings_of_this_browser_hold_at_once_and_after_a_reload(visit: Visit, ada: Person) -> None:
    await visit.enter(ada, "jobs?status=failed")
    await visit.page.get_by_role("button", name="Save view").click()
    await visit.page.get_by_label("View name").fill("Failures")
    await visit.page.get_by_role("dialog").get_by_role("button", name="Save").click()
    await visit.navigate("settings")
    for label, value, attribute in (("Density", "compact", "density"), ("Theme", "dark", "theme")):
        await visit.page.get_by_label(label, exact=True).select_option(value)
        await expect(visit.page.locator("html")).to_have_attribute(f"data-{attribute}", value)
    await visit.page.get_by_label("Reduce motion").check()
    await visit.page.get_by_label("Single-key shortcuts").uncheck()
    await visit.page.get_by_label("Time format").select_option("local")
    await visit.page.reload()

    html = visit.page.locator("html")
    await expect(html).to_have_attribute("data-density", "compact")
    await expect(html).to_have_attribute("data-motion", "reduced")
    await expect(visit.page.locator("#top .clock")).not_to_contain_text("UTC")
    await visit.page.locator("h1").focus()
    await visit.page.keyboard.press("n")
    await visit.page.keyboard.press("Control+k")  # no single key
    await expect(query(visit)).to_be_focused()
    await visit.page.keyboard.press("Escape")
    version = (await ada.ask("GET", "/"))["version"]
    await expect(visit.page.get_by_text(version, exact=True)).to_be_visible()
    await visit.page.get_by_role("button", name="Delete: Failures").click()
    await expect(visit.main).to_contain_text("No saved views.")
    await visit.navigate("jobs")
    await expect(visit.page.locator(".views .chip")).to_have_count(0)


# The wall display


@pytest.mark.parametrize("size", [(1920, 1080), (3840, 2160), (2560, 1600)])
async def test_the_wall_display_fills_the_screen_without_scrolling(
    the_browser: Browser, the_site: Site, ada: Person, size: tuple[int, int]
) -> None:
    worker_ids: list[UUID] = await the_site.fetch(MANY_WORKERS)
    for queue in "abcdefgh":
        await ada.ask("POST", "/jobs/batch-predict", json={"texts": ["fine"], "queue": f"nobody-{queue}"})
    try:
        viewport: ViewportSize = {"width": size[0], "height": size[1]}
        async with visiting(the_browser, the_site, viewport=viewport) as visit:
            await visit.page.add_init_script(f"({KEEPS_AWAKE})()")
            await visit.enter(ada, "wall")
            for text in ("pending", "Jobs per minute", "Queue time", "Workers", "Needs attention"):
                await expect(visit.main.get_by_text(text, exact=False).first).to_be_in_viewport(ratio=1)
            await expect(visit.page.locator(".attention-list li").first).to_be_in_viewport(ratio=1)
            await expect(visit.page.locator(".workers + .more-rows, .more-rows").first).to_be_in_viewport(
                ratio=1
            )
            await expect(visit.page.locator("#nav")).to_be_hidden()
            await expect(visit.page.locator("#top .search")).to_be_hidden()
            await expect(visit.connection).to_be_in_viewport(ratio=1)
            assert await visit.page.evaluate(SCROLLS) == []
            body = await visit.page.evaluate("parseFloat(getComputedStyle(document.body).fontSize)")
            assert body >= size[1] / 66  # 13 pixels at 900 are body text of the other pages

            assert await visit.page.evaluate("window.locks.map(({type, released}) => [type, released])") == [
                ["screen", False]
            ]
            await visit.page.keyboard.press("Escape")
            await expect(visit.page.locator("h1")).to_have_text("Overview")
            await expect(visit.page.locator("#nav")).to_be_visible()
            assert await visit.page.evaluate("window.locks.every(({released}) => released)")
    finally:
        await the_site.fetch("DELETE FROM workers WHERE id = ANY ($1::uuid[]) RETURNING id", worker_ids)


SCROLLS = """() => {
    const wrong = [];
    const { scrollHeight, scrollWidth } = document.documentElement;
    if (scrollHeight > innerHeight || scrollWidth > innerWidth) { wrong.push("page"); }
    const bottom = Math.max(...[...document.querySelectorAll("#main .panel")].map(
        (panel) => panel.getBoundingClientRect().bottom));
    if (bottom > innerHeight || bottom < innerHeight * 0.97) { wrong.push(`panels end at ${bottom}`); }
    for (const box of document.querySelectorAll(".fitted")) {
        if (box.scrollHeight > box.clientHeight + 1) { wrong.push(box.textContent); }
    }
    return wrong;
}"""

# 30 workers; the tests look at them for less than their lease.
MANY_WORKERS = """
WITH written AS (
    INSERT INTO workers (id, name, host, pid, queues, kinds, slots, seen_at)
    SELECT gen_random_uuid(), 'many-' || n, 'here', n, '{default}', '{batch_predict}', 4,
        now() + interval '1 hour'
    FROM generate_series(1, 30) n RETURNING id
)
SELECT array_agg(id) FROM written"""


async def test_the_wall_display_of_an_operator_shows_all_jobs_as_they_end(
    visit: Visit, ada: Person, the_site: Site
) -> None:
    await make(visit, ada, "operator")
    await visit.enter(ada, "wall")
    ended = visit.page.locator(".stage", has_text="completed").locator(".figure")
    before = int(await ended.inner_text() if await ended.inner_text() != "–" else 0)
    async with site.person(the_site) as grace:
        for _ in range(2):
            await grace.ask("POST", "/jobs/batch-predict", json={"texts": ["fine"]})

        async def is_shown() -> bool:
            return int(await ended.inner_text()) >= before + 2

        await until(is_shown)


# Jobs of all users


async def test_an_operator_sees_the_jobs_of_all_users_as_they_come_and_filters_by_owner(
    visit: Visit, ada: Person, the_site: Site
) -> None:
    await make(visit, ada, "operator")
    async with site.person(the_site) as grace:
        body = {"texts": ["fine"], "queue": "nobody"}
        await grace.ask("POST", "/jobs/batch-predict", json=body)
        own = await ada.ask("POST", "/jobs/batch-predict", json=body)
        await visit.enter(ada, "jobs?queue=nobody")
        await expect(visit.rows).to_have_count(1)
        await expect(visit.rows.locator(".owner")).to_be_hidden()
        await visit.page.get_by_label("Owner").select_option("All jobs")
        owners = visit.rows.locator(".owner")
        await expect(owners.filter(has_text=grace.name)).to_have_count(1)
        await expect(owners.filter(has_text=ada.name)).to_have_count(1)
        assert "owner=*" in visit.page.url or "owner=%2A" in visit.page.url

        fresh = await grace.ask("POST", "/jobs/batch-predict", json=body)
        await visit.page.get_by_role("button", name="Show 1 new job").click()
        await expect(visit.rows.first).to_have_attribute("data-key", fresh["job_id"])

        await owners.filter(has_text=grace.name).first.get_by_role("link").click()
        await expect(visit.rows).to_have_count(2)
        await expect(owners.filter(has_text=ada.name)).to_have_count(0)
        await expect(visit.page.get_by_label("Owner")).to_have_value(grace.name)
        await visit.follow(fresh["job_id"])
        await expect(visit.page.locator(".job-head .facts")).to_contain_text(f"Owner {grace.name}")
        await visit.follow(own["job_id"])
        await expect(visit.page.locator(".job-head .facts")).not_to_contain_text("Owner")


async def test_a_user_has_no_choice_of_owners_and_is_refused_the_jobs_of_all(
    visit: Visit, ada: Person
) -> None:
    visit.expected |= {403}
    await visit.enter(ada, "jobs?owner=*")

    await expect(visit.page.locator(".list-panel .fault")).to_contain_text("operate")
    await expect(visit.page.get_by_label("Owner")).to_have_count(0)


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_axe_finds_nothing_in_the_palette_and_in_open_settings(
    the_browser: Browser, the_site: Site, ada: Person, scheme: str
) -> None:
    from axe_playwright_python.async_playwright import Axe  # slow to import

    async with visiting(the_browser, the_site, color_scheme=scheme) as visit:
        await visit.enter(ada, "settings")
        await visit.page.locator("summary", has_text="New API key").click()
        await visit.page.get_by_label("Name").fill("k" * 100)
        await visit.page.get_by_label("predict").check()
        await visit.page.get_by_role("button", name="New API key").click()
        await expect(visit.page.locator(".secret code")).to_be_visible()
        await expect(visit.page.locator(".toast")).to_have_count(0)
        assert await violations(Axe(), visit.page) == []
        await visit.page.keyboard.press("Control+k")
        await query(visit).fill("senti")
        await expect(options(visit).first).to_contain_text("sentiment")
        assert await violations(Axe(), visit.page) == []
