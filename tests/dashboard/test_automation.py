"""Stories of schedules, dead letters and notifications, in a real browser before real processes."""

import json
import re
from collections.abc import AsyncIterator
from typing import Any, Literal

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Locator, Page, Route, expect

from app.core.config import Settings
from tests.dashboard import browser, site
from tests.dashboard.browser import Visit, visiting
from tests.dashboard.site import Person, Site
from tests.dashboard.test_pages import READ, SAME, violations
from tests.notifications.receiver import Receiver, answer, receiving
from tests.support.waiting import until

browser.skip_without()

pytestmark = pytest.mark.asyncio(loop_scope="module")

JOB = {"kind": "batch_predict", "texts": ["fine"], "queue": "nobody"}

# On days on which clocks change: at a time that is left out or comes twice, and in both passes of that hour.
AT_CHANGES = "30 2 * 3,10 0L"
THROUGH_CHANGES = "*/30 2 * 10 0L"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def the_site(site_settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    """A system that may deliver to this machine."""
    folder = tmp_path_factory.mktemp("site")
    async with site.running(site_settings, folder, WEBHOOK_ALLOWED_NETWORKS="127.0.0.0/8") as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as running:
        yield running


async def schedule(owner: Person, name: str, **more: Any) -> str:
    body = {"name": name, "trigger": {"daily": {"at": "09:00"}}, "job": JOB, **more}
    created: str = (await owner.ask("POST", "/schedules", json=body))["schedule_id"]
    return created


async def choose(page: Page, button: Locator, entry: str) -> None:
    """Open a menu, and choose an entry."""
    await button.click()
    await page.get_by_role("menuitem", name=entry, exact=True).click()


async def confirm(page: Page, action: str) -> None:
    await page.get_by_role("dialog").get_by_role("button", name=action, exact=True).click()


async def fail_many(a_site: Site, owner: Person, count: int, code: str, model: str | None = None) -> None:
    """Jobs of a queue without a worker that have failed for good."""
    await a_site.fetch(
        """INSERT INTO jobs (id, owner_id, kind, queue, priority, run_at, sort_key, params, max_attempts,
            total, soft_limit_seconds, time_limit_seconds, retention_seconds, status, error, attempt,
            failures, last_seq, started_at, finished_at, expires_at)
        SELECT gen_random_uuid(), u.id, 'batch_predict', 'nobody', 'normal', now(), now(),
            CASE WHEN $4::text IS NULL THEN '{}'::jsonb
                ELSE jsonb_build_object('model', jsonb_build_object('name', $4, 'version', 1)) END,
            3, 1, 60, 60, 3600, 'failed',
            jsonb_build_object('code', $3::text, 'message', 'Oh.', 'retryable', false, 'attempt', 1),
            1, 1, 3, now(), now(), now() + interval '1 day'
        FROM users u, generate_series(1, $2::int) WHERE u.username = $1""",
        owner.name,
        count,
        code,
        model,
    )


# Schedules


async def test_a_schedule_is_made_and_its_preview_is_that_of_the_api_over_changes_of_clocks(
    visit: Visit, ada: Person
) -> None:
    page = visit.page
    await visit.enter(ada, "schedules")
    await page.get_by_role("link", name="New schedule").first.click()
    await expect(page.locator("h1")).to_have_text("New schedule")
    await page.get_by_label("Name").fill("half hours")
    await page.get_by_label("Group").fill("reports")
    await page.get_by_label("Repeats").select_option("cron")
    await page.get_by_label("Time zone").fill("Europe/Berlin")
    expected: list[dict[str, Any]] = []

    async def is_shown() -> bool:
        times = await page.locator("ol.fires time").all()
        return [await one.get_attribute("datetime") for one in times] == [one["fire_at"] for one in expected]

    for expression, notes in (
        (THROUGH_CHANGES, {"the first time", "the second time"}),
        (AT_CHANGES, {"does not exist on that day; runs at 03:00", "occurs twice on that day; runs once"}),
    ):
        await page.get_by_label("Cron", exact=True).fill(expression)
        asked = {"trigger": {"cron": expression}, "timezone": "Europe/Berlin", "count": 10}
        expected = (await ada.ask("POST", "/schedules/preview", json=asked))["fires"]
        await until(is_shown)
        shown = [await row.inner_text() for row in await page.locator("ol.fires li").all()]
        for text, fire in zip(shown, expected, strict=True):
            assert f"{fire['local'][11:16]} {fire['local'][-6:]}" in text
        assert all(any(note in text for note in notes) for text in shown)
        assert all(any(note in text for text in shown) for note in notes)
    await page.get_by_label("Texts, one per line").fill("fine\ngood")
    await page.get_by_label("Queue", exact=True).fill("nobody")
    await page.locator("summary", has_text="Policies").click()
    await page.get_by_label("If the previous run is still active").select_option("queue")
    await page.get_by_label("Most runs in the queue").fill("3")
    await page.get_by_role("button", name="Save").click()

    await expect(page.locator("h1")).to_have_text("half hours")
    [made] = (await ada.ask("GET", "/schedules"))["items"]
    assert made["job"] == {"kind": "batch_predict", "texts": ["fine", "good"], "queue": "nobody"}
    assert (made["group"], made["cron"], made["timezone"]) == ("reports", AT_CHANGES, "Europe/Berlin")
    assert (made["overlap"], made["queue_limit"], made["status"]) == ("queue", 3, "active")
    await until(is_shown)


@pytest.mark.parametrize(
    ("rule", "fill", "trigger"),
    [
        ("interval", {"Every": "90", "Unit": "minutes"}, {"every": {"minutes": 90}}),
        ("hourly", {"Minute": "20"}, {"hourly": {"minute": 20}}),
        ("daily", {"At": "07:45"}, {"daily": {"at": "07:45"}}),
        ("weekly", {"At": "07:45"}, {"weekly": {"on": ["mon", "fri"], "at": "07:45"}}),
        ("monthly", {"Day of the month": "last", "At": "07:45"}, {"monthly": {"day": "last", "at": "07:45"}}),
        ("once", {"At a time": "2030-03-01T09:00"}, {"once": {"at": "2030-03-01T09:00"}}),
    ],
)
async def test_every_form_of_rule_can_be_chosen(
    visit: Visit, ada: Person, rule: str, fill: dict[str, str], trigger: dict[str, Any]
) -> None:
    page = visit.page
    await visit.enter(ada, "schedules/new")
    await page.get_by_label("Name").fill("new")
    await page.get_by_label("Repeats").select_option(rule)
    if rule == "weekly":
        await page.get_by_label("Fri").check()
    for label, value in fill.items():
        field = page.get_by_label(label, exact=True).filter(visible=True).first
        is_select = await field.evaluate("element => element.tagName") == "SELECT"
        await (field.select_option(value) if is_select else field.fill(value))
    await page.get_by_label("Texts, one per line").fill("fine")
    await page.get_by_role("button", name="Save").click()

    await expect(page.locator("h1")).to_have_text("new")
    [made] = (await ada.ask("GET", "/schedules"))["items"]
    assert made["trigger"] == trigger


async def test_a_preview_waits_for_the_time_of_a_schedule_that_runs_once(visit: Visit, ada: Person) -> None:
    page = visit.page
    runs = page.locator(".fires li")
    await visit.enter(ada, "schedules/new")
    await expect(runs).not_to_have_count(0)

    await page.get_by_label("Repeats").select_option("once")
    await expect(runs).to_have_count(0)
    await page.locator("input[name='trigger.once.at']").fill("2030-03-01T09:00")

    await expect(runs).to_have_count(1)


async def test_a_field_of_a_schedule_that_is_not_valid_says_so_and_the_draft_stays(
    visit: Visit, ada: Person
) -> None:
    visit.expected |= {422}
    page = visit.page
    await visit.enter(ada, "schedules/new")
    await page.get_by_label("Name").fill("broken")
    await page.get_by_label("Repeats").select_option("cron")
    await page.get_by_label("Cron", exact=True).fill("60 * * * *")
    await expect(page.locator(".columns .form-fault").last).to_contain_text("60")
    await page.get_by_label("Cron", exact=True).fill("0 9 * * *")
    await page.get_by_label("Other members of the request, as JSON").fill("{")
    await page.get_by_role("button", name="Save").click()
    await expect(page.locator(".field-fault").filter(visible=True)).to_contain_text("Invalid JSON")

    await page.get_by_label("Other members of the request, as JSON").fill('{"batch_sizes": 3}')
    await page.get_by_label("Texts, one per line").fill("fine")
    await page.get_by_role("button", name="Save").click()

    await expect(page.locator(".field-fault").filter(visible=True)).to_contain_text("batch_sizes: Extra")
    assert (await ada.ask("GET", "/schedules"))["items"] == []
    await page.reload()
    await expect(page.get_by_label("Name")).to_have_value("broken")
    await expect(page.get_by_label("Cron", exact=True)).to_have_value("0 9 * * *")


async def test_a_schedule_makes_jobs_of_a_plugins_kind_with_fields_from_its_schema(
    visit: Visit, ada: Person
) -> None:
    visit.expected |= {422}
    page = visit.page
    await visit.enter(ada, "schedules/new")
    await page.get_by_label("Name").fill("gates")
    await page.get_by_label("Kind").select_option("gated")
    await page.get_by_role("button", name="Save").click()
    await expect(page.locator(".field-fault").filter(visible=True)).to_have_text(["Required", "Required"])
    await page.get_by_label("batches").fill("5000")
    await page.get_by_label("gate path").fill("/tmp/a gate")
    await page.get_by_label("is deaf").check()
    await page.get_by_role("button", name="Save").click()
    await expect(page.locator(".field", has=page.get_by_label("batches"))).to_contain_text(
        "Between 1 and 1,000"
    )
    await page.get_by_label("batches").fill("7")
    await page.get_by_role("button", name="Save").click()

    await expect(page.locator("h1")).to_have_text("gates")
    [created] = (await ada.ask("GET", "/schedules"))["items"]
    made = {"kind": "gated", "batches": 7, "gate_path": "/tmp/a gate", "is_deaf": True}
    found = (await ada.ask("GET", f"/schedules/{created['schedule_id']}"))["job"]
    assert {name: found[name] for name in made} == made
    await visit.navigate(f"schedules/{created['schedule_id']}/edit")
    await expect(page.get_by_label("batches")).to_have_value("7")
    await expect(page.get_by_label("is deaf")).to_be_checked()
    await expect(page.get_by_label("Other members of the request, as JSON")).to_have_value("")
    await page.get_by_label("batches").fill("8")
    await page.get_by_role("button", name="Save").click()
    await expect(page.locator("h1")).to_have_text("gates")
    found = (await ada.ask("GET", f"/schedules/{created['schedule_id']}"))["job"]
    assert {name: found[name] for name in made} == {**made, "batches": 8}


async def test_an_edit_of_a_policy_moves_no_run_and_a_change_meanwhile_is_not_overwritten(
    visit: Visit, ada: Person
) -> None:
    visit.expected |= {412}
    page = visit.page
    schedule_id = await schedule(ada, "steady", trigger={"every": {"minutes": 7}})
    before = await ada.ask("GET", f"/schedules/{schedule_id}")
    await visit.enter(ada, f"schedules/{schedule_id}")
    await page.get_by_role("link", name="Edit", exact=True).click()
    await page.locator("summary", has_text="Policies").click()
    await page.get_by_label("Pause after failed jobs in a row").fill("4")
    await page.get_by_role("button", name="Save").click()
    await expect(page.locator(".facts-table")).to_contain_text("Pause after failed jobs in a row")
    after = await ada.ask("GET", f"/schedules/{schedule_id}")
    assert (after["pause_after_failures"], after["revision"]) == (4, before["revision"] + 1)
    assert (after["next_fire_at"], after["trigger"]) == (before["next_fire_at"], before["trigger"])

    await page.get_by_role("link", name="Edit", exact=True).click()
    await expect(page.get_by_label("Name")).to_have_value("steady")
    await ada.ask("PATCH", f"/schedules/{schedule_id}", json={"group": "others"})
    await page.get_by_label("Name").fill("renamed")
    await page.get_by_role("button", name="Save").click()

    await expect(visit.alert).to_contain_text("changed meanwhile")
    assert (await ada.ask("GET", f"/schedules/{schedule_id}"))["name"] == "steady"


async def test_a_schedule_is_run_paused_resumed_and_deleted(visit: Visit, ada: Person) -> None:
    visit.expected |= {409}
    page = visit.page
    schedule_id = await schedule(ada, "nightly")
    await visit.enter(ada, f"schedules/{schedule_id}")
    more = page.get_by_role("button", name="More actions")
    await choose(page, more, "Run now")
    await expect(page.locator(".running-list", has_text="run by hand")).to_have_count(1)
    await choose(page, more, "Run now")
    await expect(page.get_by_role("dialog")).to_contain_text("still active")
    await confirm(page, "Run anyway")
    await expect(page.locator("li", has_text="run by hand")).to_have_count(2)
    await choose(page, more, "Pause")
    await expect(page.locator("main .tag").first).to_have_text("paused")
    await choose(page, more, "Resume")
    await expect(page.locator("main .tag").first).to_have_text("active")

    await choose(page, more, "Delete")
    await page.get_by_role("dialog").get_by_label("Cancel pending and running jobs, too").check()
    await confirm(page, "Delete")

    await expect(page.locator("h1")).to_have_text("Schedules")
    assert (await ada.ask("GET", "/schedules"))["items"] == []
    jobs = (await ada.ask("GET", "/jobs"))["items"]
    assert [job["status"] for job in jobs] == ["cancelled"] * 2


async def test_a_group_of_schedules_is_run_paused_and_deleted_and_the_others_stay(
    visit: Visit, ada: Person
) -> None:
    page = visit.page
    for name in ("first", "second"):
        await schedule(ada, name, group="reports")
    await schedule(ada, "alone")
    await visit.enter(ada, "schedules")
    await expect(page.get_by_role("heading", level=2)).to_have_text("reports")
    more = page.get_by_role("button", name="More actions: reports")
    await choose(page, more, "Run all schedules in reports now (2)")
    await expect(page.locator("#toasts")).to_contain_text("2")
    assert len((await ada.ask("GET", "/jobs"))["items"]) == 2
    await choose(page, more, "Pause all schedules in reports (2)")
    await expect(page.locator("main .tag", has_text="paused")).to_have_count(2)
    await expect(page.locator("main .tag", has_text="active")).to_have_count(1)

    await choose(page, more, "Delete all schedules in reports (2)")
    await confirm(page, "Delete")

    await expect(page.locator("main tbody tr")).to_have_count(1)
    assert [one["name"] for one in (await ada.ask("GET", "/schedules"))["items"]] == ["alone"]


async def test_the_marks_of_a_schedule_are_its_last_jobs(visit: Visit, ada: Person, the_site: Site) -> None:
    schedule_id = await schedule(ada, "half")
    await fail_many(the_site, ada, 1, "crashed")
    await the_site.fetch(
        """INSERT INTO jobs (id, owner_id, kind, queue, priority, run_at, sort_key, params, max_attempts,
            total, done, soft_limit_seconds, time_limit_seconds, retention_seconds, status, finished_at,
            started_at, schedule_id, fire_at, result, attempt, last_seq)
        SELECT gen_random_uuid(), u.id, 'batch_predict', 'nobody', 'normal', now(), now(), '{}', 3, 1, 1,
            60, 60, 3600, 'completed', now(), now(), $2::uuid, now(), '{}', 1, 3
        FROM users u, generate_series(1, 3) WHERE u.username = $1""",
        ada.name,
        schedule_id,
    )
    await visit.enter(ada, "schedules")

    row = visit.page.get_by_role("row", name="half")

    await expect(row.locator(".recent .completed")).to_have_count(3)
    await expect(row).to_contain_text("100%")
    await visit.navigate(f"schedules/{schedule_id}")
    await expect(visit.page.locator(".recent .completed")).to_have_count(3)
    await expect(visit.page.get_by_role("img", name=re.compile("3 completed, 0 failed"))).to_have_count(1)


# Dead letters


async def test_five_hundred_dead_letters_are_retried_by_filter_and_the_others_stay(
    visit: Visit, ada: Person, the_site: Site
) -> None:
    page = visit.page
    await fail_many(the_site, ada, 500, "time_limit", "churn")
    await fail_many(the_site, ada, 2, "crashed")
    await visit.enter(ada, "dead-letters")
    await expect(page.get_by_role("heading", level=2)).to_have_count(2)
    await expect(page.get_by_role("heading", level=2).first).to_have_text("500 × time_limit, churn@1")
    await page.get_by_label("Error").select_option("time_limit")
    await expect(page.get_by_role("heading", level=2)).to_have_count(1)
    assert "code=time_limit" in page.url

    await page.get_by_role("button", name="Retry (500)").click()
    dialog = page.get_by_role("dialog")
    await expect(dialog).to_contain_text("(500)?")
    await fail_many(the_site, ada, 3, "time_limit", "churn")  # while the reader thinks
    await dialog.get_by_label("Type 500 to confirm").fill("500")
    await dialog.get_by_role("button", name="Retry", exact=True).click()

    await expect(page.locator("#toasts")).to_contain_text("500 succeeded, 0 failed")
    counts = await ada.ask("GET", "/jobs/counts")
    assert (counts["pending"], counts["failed"]) == (500, 5)
    await expect(visit.main.get_by_role("heading", level=2)).to_have_text("3 × time_limit, churn@1")
    await page.get_by_role("button", name="Clear filters").click()
    await expect(page.get_by_role("heading", level=2)).to_have_count(2)


async def test_stop_ends_a_retry_of_many_after_the_slice_that_was_sent(
    visit: Visit, ada: Person, the_site: Site
) -> None:
    page = visit.page
    await fail_many(the_site, ada, 2500, "time_limit")
    await visit.enter(ada, "dead-letters")
    await page.get_by_role("button", name="Dismiss (2,500)").click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_label("Type 2,500 to confirm").fill("2500")

    async def stop(route: Route) -> None:
        if not json.loads(route.request.post_data or "{}").get("dry_run"):
            await dialog.get_by_role("button", name="Stop").click()  # while the first slice is on its way
        await route.continue_()

    await page.route("**/dead-letters/dismiss", stop)
    await dialog.get_by_role("button", name="Dismiss", exact=True).click()

    await expect(page.locator("#toasts")).to_contain_text("Stopped after 1,000 of 2,500")
    summary = (await ada.ask("GET", "/dead-letters/summary"))["items"]
    assert [group["count"] for group in summary] == [1500]


async def test_letters_are_ticked_and_dismissed_with_a_reason(
    visit: Visit, ada: Person, the_site: Site
) -> None:
    page = visit.page
    await fail_many(the_site, ada, 3, "crashed")
    await visit.enter(ada, "dead-letters")
    await page.locator("summary").click()
    ticks = page.get_by_role("checkbox")
    await expect(ticks).to_have_count(3)
    await ticks.first.check()
    await ticks.nth(1).check()

    await page.get_by_role("button", name="Dismiss (2)").click()
    await page.get_by_role("dialog").get_by_label("Reason").fill("The file was broken")
    await confirm(page, "Dismiss")

    await expect(visit.main.get_by_role("heading", level=2)).to_have_text("1 × crashed")
    query = "SELECT count(*) FROM jobs j JOIN users u ON u.id = j.owner_id WHERE u.username = $1 AND "
    query += "dismiss_reason = 'The file was broken'"
    assert await the_site.fetch(query, ada.name) == 2


# Notifications


async def test_a_webhook_is_tested_and_what_failed_is_sent_again(
    visit: Visit, ada: Person, receiver: Receiver
) -> None:
    page = visit.page
    await visit.enter(ada, "notifications")
    await page.locator("summary", has_text="New subscription").click()
    await page.get_by_label("Name").fill("pager")
    await page.get_by_label("URL (https)").fill(receiver.url)
    await page.locator("summary", has_text="Which jobs").click()
    await page.get_by_label("Metadata").fill("team=search")
    await page.get_by_role("button", name="New subscription").click()
    dialog = page.get_by_role("dialog")
    secret = await dialog.locator("code").inner_text()
    assert secret.startswith("whsec_")
    await dialog.get_by_role("button", name="Close").click()
    await expect(page.locator("dialog")).to_have_count(0)  # it is taken away after it has closed
    assert secret not in await page.content()
    [made] = (await ada.ask("GET", "/subscriptions"))["items"]
    assert made["filter"]["metadata"] == {"team": "search"}

    await page.get_by_role("link", name="pager").click()
    receiver.respond = answer(500, b"out of order")
    await page.get_by_role("button", name="Send test").click()
    await expect(page.locator("#toasts")).to_contain_text("The test failed: 500")
    await expect(page.locator("li.delivery .tag")).to_have_text("Failed")
    await page.locator("li.delivery summary").click()
    await expect(page.locator("li.delivery")).to_contain_text('"type": "ping"')
    await expect(page.locator("li.delivery")).to_contain_text(re.compile("Delivery [0-9a-f-]{36}"))
    await expect(page.locator("li.delivery")).to_contain_text("out of order")
    receiver.respond = answer()

    await page.get_by_role("button", name="Resend", exact=True).click()

    await expect(page.locator("li.delivery .tag", has_text="Delivered")).to_have_count(1)
    await expect(page.locator("li.delivery")).to_have_count(2)
    assert [received.json["type"] for received in receiver.received] == ["ping", "ping"]
    assert len({received.id for received in receiver.received}) == 2


async def test_everything_that_failed_is_sent_again_at_once(
    visit: Visit, ada: Person, receiver: Receiver, the_site: Site
) -> None:
    page = visit.page
    body = {"name": "ci", "channel": "webhook", "target": {"url": receiver.url}, "events": ["job.failed"]}
    made = await ada.ask("POST", "/subscriptions", json=body)
    await fail_many(the_site, ada, 2, "crashed")
    await the_site.fetch(
        """INSERT INTO deliveries (subscription_id, type, job_id, seq, status, tries, ended_at)
        SELECT $2::uuid, 'job.failed', j.id, 3, 'failed', 10, now()
        FROM jobs j JOIN users u ON u.id = j.owner_id WHERE u.username = $1""",
        ada.name,
        made["subscription_id"],
    )
    await the_site.fetch(
        """INSERT INTO job_events (job_id, owner_id, seq, type, data)
        SELECT j.id, j.owner_id, 3, 'failed', '{}'
        FROM jobs j JOIN users u ON u.id = j.owner_id WHERE u.username = $1""",
        ada.name,
    )
    await visit.enter(ada, f"notifications/{made['subscription_id']}")
    await expect(page.locator("li.delivery .tag", has_text="Failed")).to_have_count(2)

    await page.get_by_role("button", name="Resend all failed").click()
    await confirm(page, "Resend all failed")

    await expect(page.locator("#toasts")).to_contain_text("Resent: 2")
    await receiver.wait_for(2)
    await page.get_by_label("State").select_option("delivered")
    await expect(page.locator("li.delivery .tag", has_text="Delivered")).to_have_count(2)


async def test_a_subscription_is_changed_disabled_enabled_and_gets_a_new_secret(
    visit: Visit, ada: Person, receiver: Receiver
) -> None:
    page = visit.page
    body = {"name": "ci", "channel": "webhook", "target": {"url": receiver.url}, "events": ["job.failed"]}
    made = await ada.ask("POST", "/subscriptions", json=body)
    path = f"/subscriptions/{made['subscription_id']}"
    await visit.enter(ada, f"notifications/{made['subscription_id']}")
    more = page.get_by_role("button", name="More actions")
    await choose(page, more, "Edit")
    await page.get_by_label("Name").fill("deploys")
    await page.get_by_label("Job started").check()
    async with page.expect_request(lambda one: one.method == "PATCH") as change:
        await page.get_by_role("button", name="Save").click()
    await expect(page.locator("h1")).to_have_text("deploys")
    sent = (await change.value).post_data_json
    assert sent == {"name": "deploys", "events": ["job.started", "job.failed"]}

    await choose(page, more, "Disable")
    await expect(page.locator("main .tag").first).to_have_text("disabled")
    await choose(page, more, "Enable")
    await expect(page.locator("main .tag").first).to_have_text("healthy")
    await choose(page, more, "New secret")
    await confirm(page, "New secret")
    secret = await page.get_by_role("dialog").locator("code").inner_text()

    assert secret.startswith("whsec_")
    assert secret != made["secret"]
    after = await ada.ask("GET", path)
    assert (after["name"], after["status"]) == ("deploys", "active")


async def test_pages_of_automation_show_names_as_text_and_are_never_wider_than_the_screen(
    visit: Visit, ada: Person, the_site: Site
) -> None:
    hostile = "<img src=x onerror=alert(1)> عربي " + "w" * 60
    schedule_id = await schedule(ada, hostile, group="g" * 64)
    body = {"name": hostile, "channel": "webhook", "events": ["job.failed"]}
    target = {"url": f"https://example.com/{'x' * 300}"}
    made = await ada.ask("POST", "/subscriptions", json={**body, "target": target})
    await fail_many(the_site, ada, 1, "code_" + "y" * 60)
    await visit.enter(ada)
    for path in (
        "schedules",
        "schedules/new",
        f"schedules/{schedule_id}",
        f"schedules/{schedule_id}/edit",
        "dead-letters",
        "notifications",
        f"notifications/{made['subscription_id']}",
    ):
        await visit.navigate(path)
        await expect(visit.page.locator("#main h1")).to_be_visible()
        await expect(visit.page.locator(".skeleton")).to_have_count(0)
        for width in (360, 1440):
            await visit.page.set_viewport_size({"width": width, "height": 900})
            wide = await visit.page.evaluate("document.documentElement.scrollWidth - innerWidth")
            assert wide <= 0, (path, width)
    assert await visit.page.locator("main img[src=x]").count() == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_pages_with_content_have_no_fault_of_access_and_no_english_in_chinese(
    the_browser: Browser, the_site: Site, ada: Person, receiver: Receiver, scheme: Literal["light", "dark"]
) -> None:
    from axe_playwright_python.async_playwright import Axe  # slow to import

    trigger = {"cron": AT_CHANGES}
    schedule_id = await schedule(ada, "nightly", group="reports", trigger=trigger, timezone="Europe/Berlin")
    await ada.ask("POST", f"/schedules/{schedule_id}/run")
    body = {"name": "ci", "channel": "webhook", "target": {"url": receiver.url}, "events": ["job.failed"]}
    subscription = (await ada.ask("POST", "/subscriptions", json=body))["subscription_id"]
    await ada.ask("POST", f"/subscriptions/{subscription}/test")
    await fail_many(the_site, ada, 2, "time_limit", "sentiment")
    weekly = {"weekly": {"on": ["fri", "mon"], "at": "18:30"}}
    other = await schedule(ada, "weekly", trigger=weekly, timezone="Europe/Berlin")
    await the_site.fetch(
        """UPDATE schedules SET status = 'broken', next_fire_at = NULL, reason = $2
        WHERE id = $1::uuid RETURNING id""",
        other,
        json.dumps({"code": "too_many_failures", "message": "Its last 3 jobs failed."}),
    )
    async with visiting(the_browser, the_site, color_scheme=scheme) as visit:
        page = visit.page
        await visit.enter(ada)
        await page.locator("#top .language").click()
        await expect(page.locator("html")).to_have_attribute("lang", "zh-CN")
        for path in (
            "schedules",
            f"schedules/{schedule_id}",
            f"schedules/{schedule_id}/edit",
            f"schedules/{other}",
            "dead-letters",
            "notifications",
            f"notifications/{subscription}",
        ):
            await visit.open(path)
            await expect(page.locator("#main h1")).to_be_visible()
            await expect(page.locator(".skeleton")).to_have_count(0)
            for fold in await page.locator("main summary").all():
                await fold.click()
            assert await violations(Axe(), page) == [], path
            read = await page.evaluate(READ)
            assert not [text for text in read if "⟦" in text], path
            english = [one for one in read if re.search("[a-zA-Z]{3}", one) and not re.search("[一-鿿]", one)]
            names = (ada.name, "Europe/Berlin", "nightly", "reports", "webhook-id", "POST", "Slack")
            assert [one for one in english if not SAME.match(one) and not any(n in one for n in names)] == []
        await visit.open(f"schedules/{other}")
        rule = page.locator(".rule")
        await expect(rule).to_have_text("星期一和星期五 18:30")
        await expect(rule.locator("..")).to_have_attribute("title", re.compile("Monday"))
        await expect(page.locator(".warning")).to_contain_text("其任务连续失败次数过多。")
        await expect(page.locator(".warning")).to_contain_text("Its last 3 jobs failed.")
        await visit.open(f"notifications/{subscription}")
        await expect(page.locator("main .tag", has_text="任务失败")).to_have_attribute("title", "job.failed")
