"""Stories of New job: forms of every kind, what is foreseen, and requests of earlier jobs."""

from datetime import datetime
from typing import Any

import pytest
from playwright.async_api import Browser, Locator, expect

from tests.dashboard import browser
from tests.dashboard.browser import Visit
from tests.dashboard.site import Person, Site
from tests.dashboard.test_pages import OVERFLOW, violations
from tests.support.waiting import until

browser.skip_without()

pytestmark = pytest.mark.asyncio(loop_scope="module")

HOUSES = "rooms,district,price\n" + "".join(
    f"{n % 5 + 1},{'north' if n % 2 else 'south'},{100 + 7 * (n % 5)}\n" for n in range(40)
)


async def upload(owner: Person, name: str = "houses.csv", content: str = HOUSES) -> str:
    made = await owner.ask(
        "POST", f"/datasets?name={name}", content=content, headers={"Content-Type": "text/csv"}
    )
    return str(made["dataset_id"])


async def failed_job(owner: Person) -> str:
    """A dead letter: a prediction over a row that is no text, of which none may fail."""
    body = {"instances": [{"text": 4}], "max_row_errors": 0, "metadata": {"team": "search"}}
    job_id = (await owner.ask("POST", "/jobs/batch-predict", json=body))["job_id"]

    async def has_failed() -> bool:
        return bool((await owner.ask("GET", f"/jobs/{job_id}"))["status"] == "failed")

    await until(has_failed)
    return str(job_id)


def task(visit: Visit, name: str) -> Locator:
    return visit.page.get_by_role("group", name="Choose a task").get_by_role("button", name=name, exact=True)


async def run(visit: Visit) -> None:
    await visit.page.get_by_role("button", name="Run job").click()


async def newest(owner: Person) -> Any:
    [job, *_] = (await owner.ask("GET", "/jobs"))["items"]
    return await owner.ask("GET", f"/jobs/{job['job_id']}")


async def test_the_place_in_the_queue_is_foreseen_while_one_types(visit: Visit, ada: Person) -> None:
    await visit.enter(ada, "new")
    estimate = visit.page.locator(".estimate")
    await expect(estimate).to_be_empty()

    await visit.page.get_by_label("Texts, one per line").fill("one")

    await expect(estimate).to_contain_text("#1 in queue")
    await expect(estimate).to_contain_text("Next in line")
    await visit.page.get_by_label("Queue").fill("nobody")
    await expect(estimate).to_contain_text("No live worker serves the queue “nobody”")
    await visit.page.get_by_label("Texts, one per line").fill("")
    await expect(estimate).to_be_empty()
    assert (await ada.ask("GET", "/jobs"))["items"] == []


async def test_a_kind_of_a_plugin_has_a_form_and_its_draft_survives_an_expired_session(
    visit: Visit, ada: Person, the_site: Site
) -> None:
    visit.expected |= {422}
    await visit.enter(ada, "new")
    await task(visit, "gated").click()
    await run(visit)
    await expect(visit.page.get_by_label("batches")).to_be_focused()
    await expect(visit.page.locator(".field-fault").filter(visible=True)).to_have_text(
        ["Required", "Required"]
    )
    await visit.page.get_by_label("batches").fill("5000")
    await visit.page.get_by_label("gate path").fill("/tmp/no such gate")

    await run(visit)

    await expect(visit.page.get_by_label("batches")).to_be_focused()
    await expect(visit.page.locator(".field", has=visit.page.get_by_label("batches"))).to_contain_text(
        "Between 1 and 1,000"
    )
    await expect(visit.alert).to_have_text("Check 1 field")
    await expect(visit.page.get_by_label("gate path")).to_have_value("/tmp/no such gate")
    await visit.page.get_by_label("batches").fill("2")
    await expect(visit.page.locator(".estimate")).to_contain_text("in queue")
    await the_site.fetch(
        """UPDATE sessions s SET ended_at = now() FROM users u
        WHERE u.id = s.user_id AND u.username = $1 RETURNING s.id""",
        ada.name,
    )

    async def must_sign_in() -> bool:
        await visit.page.reload()
        await expect(visit.page.locator("h1")).to_be_visible()
        return await visit.page.get_by_label("Username").is_visible()

    await until(must_sign_in)
    await visit.sign_in(ada)
    await expect(visit.page.locator("h1")).to_have_text("New job")
    await expect(task(visit, "gated")).to_have_attribute("aria-pressed", "true")
    await expect(visit.page.get_by_label("batches")).to_have_value("2")
    await run(visit)

    await expect(visit.page.locator(".job-head .facts .state")).to_be_visible()
    job = await newest(ada)
    assert (job["kind"], job["params"]["batches"]) == ("gated", 2)


async def test_a_job_starts_now_after_a_delay_or_at_a_set_time(visit: Visit, ada: Person) -> None:
    page = visit.page
    await visit.enter(ada, "new")
    await page.get_by_label("Texts, one per line").fill("one")
    await expect(page.get_by_label("After a delay")).to_be_hidden()
    await expect(page.get_by_label("At a set time")).to_be_hidden()
    await page.get_by_label("Start").select_option("after")
    await run(visit)
    await expect(page.get_by_label("After a delay")).to_be_focused()
    await expect(visit.alert).to_have_text("Check 1 field")
    await page.get_by_label("After a delay").fill("3600")
    await run(visit)
    await expect(page.locator(".job-head .facts .state")).to_be_visible()
    job = await newest(ada)
    waits = datetime.fromisoformat(job["run_at"]) - datetime.fromisoformat(job["created_at"])
    assert abs(waits.total_seconds() - 3600) < 1

    await visit.navigate("new")
    await page.get_by_label("Texts, one per line").fill("two")
    await page.get_by_label("Start").select_option("at")
    await page.get_by_label("At a set time").fill("2099-01-02T03:04")
    await run(visit)

    await expect(page.locator(".job-head .facts .state")).to_be_visible()
    assert (await newest(ada))["run_at"] == "2099-01-02T03:04:00Z"


@pytest.mark.parametrize(
    ("times", "run_at"), [("utc", "2099-01-02T03:04:00Z"), ("local", "2099-01-01T13:19:00Z")]
)
async def test_a_set_time_is_in_the_zone_in_which_the_dashboard_shows_times(
    the_browser: Browser, the_site: Site, ada: Person, times: str, run_at: str
) -> None:
    async with browser.visiting(the_browser, the_site, timezone_id="Pacific/Chatham") as visit:
        await visit.enter(ada, "settings")
        await visit.page.get_by_label("Time format").select_option(times)
        await visit.navigate("new")
        await visit.page.get_by_label("Texts, one per line").fill("one")
        await visit.page.get_by_label("Start").select_option("at")
        await visit.page.get_by_label("At a set time").fill("2099-01-02T03:04")
        await run(visit)
        await expect(visit.page.locator(".job-head .facts .state")).to_be_visible()

    assert (await newest(ada))["run_at"] == run_at


async def test_a_dead_letter_is_edited_and_resubmitted_with_its_difference(visit: Visit, ada: Person) -> None:
    failed = await failed_job(ada)
    await visit.enter(ada, "dead-letters")
    await visit.page.locator("summary").first.click()
    await visit.page.get_by_role("link", name="Edit and resubmit").click()
    rows = visit.page.get_by_label("Rows, as JSON or CSV")
    await expect(rows).to_have_value('[\n  {"text":4}\n]')
    await expect(visit.page.get_by_text("Nothing differs from the earlier request.")).to_be_visible()

    await rows.fill('text\n"fine, really"')
    await visit.page.get_by_label("Priority").select_option("high")

    difference = visit.page.locator(".diff tbody tr")
    await expect(difference).to_have_text(
        ['instances{"text":4}{"text":"fine, really"}', "priorityhigh"], use_inner_text=False
    )
    await run(visit)
    await expect(visit.page.locator(".job-head .facts .state")).to_have_text("Completed")
    await visit.page.get_by_role("link", name="Resubmitted from").click()
    await expect(visit.page.locator(".crumbs .mono")).to_have_text(failed)
    job = await newest(ada)
    assert (job["resubmitted_from"], job["priority"], job["metadata"]) == (failed, "high", {"team": "search"})
    assert job["params"]["max_row_errors"] == 0  # no field is for it; it is kept all the same


async def test_a_training_is_run_again_with_changes(visit: Visit, ada: Person) -> None:
    dataset_id = await upload(ada)
    body = {"dataset_id": dataset_id, "target": "price", "algorithm": "random_forest", "epochs": 2}
    made = await ada.ask(
        "POST", "/jobs/train-model", json={**body, "cv": 2, "params": {"min_samples_leaf": 3}}
    )
    await visit.enter(ada, f"jobs/{made['job_id']}")
    await visit.page.get_by_role("link", name="Run again").click()
    await expect(visit.page.get_by_label("min samples leaf")).to_have_value("3")
    await expect(visit.page.get_by_label("Target column")).to_have_value("price")
    await expect(visit.page.get_by_text("Nothing differs from the earlier request.")).to_be_visible()

    await visit.page.get_by_text("Feature columns").click()
    await visit.page.get_by_label("district (text)").uncheck()
    await visit.page.get_by_label("Epochs").fill("3")

    await expect(visit.page.locator(".diff tbody th")).to_have_text(["epochs", "features"])
    await run(visit)
    await expect(visit.page.locator(".job-head .facts .state")).to_be_visible()
    job = await newest(ada)
    assert job["params"]["features"] == ["rooms"]
    assert job["params"]["params"]["min_samples_leaf"] == 3
    assert job["params"]["split"]["folds"] == 2
    assert job["resubmitted_from"] == made["job_id"]


async def test_a_prediction_is_divided_and_its_shards_come_back_with_it(visit: Visit, ada: Person) -> None:
    texts = "text\n" + "".join(f"number {number}\n" for number in range(40))
    dataset_id = await upload(ada, "texts.csv", texts)
    await visit.enter(ada, f"new?task=batch_predict&dataset={dataset_id}")
    await visit.page.get_by_label("Batch size").fill("10")
    await visit.page.get_by_label("Shards", exact=True).fill("2")
    await visit.page.get_by_label("Failed shards allowed").fill("1")
    await run(visit)
    await expect(visit.page.locator(".job-head .facts .state")).to_be_visible()

    job = await newest(ada)
    request = (await ada.ask("GET", f"/jobs/{job['job_id']}/request"))["request"]
    assert (job["shards"], request["shards"], request["max_failed_shards"]) == (2, 2, 1)
    await visit.page.get_by_role("link", name="Run again").click()
    await expect(visit.page.get_by_label("Failed shards allowed")).to_have_value("1")
    await expect(visit.page.get_by_text("Nothing differs from the earlier request.")).to_be_visible()


async def test_a_training_with_folds_becomes_a_group(visit: Visit, ada: Person) -> None:
    dataset_id = await upload(ada)
    await visit.enter(ada, f"new?task=train_model&dataset={dataset_id}")
    await visit.page.locator("[name=target]").select_option("price")
    await visit.page.locator("[name=algorithm]").select_option("ridge")
    await visit.page.get_by_label("Folds over many workers").fill("2")

    await run(visit)

    leaderboard = visit.page.get_by_role("table", name="Leaderboard")
    await expect(leaderboard.get_by_role("columnheader", name="Folds")).to_be_visible()
    await expect(leaderboard.locator("tbody tr")).to_have_count(1)
    jobs = (await ada.ask("GET", "/jobs"))["items"]
    parts = [(await ada.ask("GET", f"/jobs/{job['job_id']}"))["params"]["part"] for job in jobs]
    assert [part["fold"] for part in parts] == [2, 1, None]


async def test_what_is_missing_is_said_until_it_is_there(visit: Visit, ada: Person) -> None:
    await upload(ada)
    await visit.enter(ada, "new?task=train")
    await run(visit)
    missing = visit.main.locator("[aria-invalid=true]")
    await expect(missing).to_have_count(2)

    await visit.page.locator("select[name=dataset_id]").select_option(index=1)

    await expect(missing).to_have_count(1)
    await expect(missing).to_have_attribute("name", "target")


async def test_rows_are_evaluated_and_a_dropped_file_becomes_a_dataset(visit: Visit, ada: Person) -> None:
    await visit.enter(ada, "new?task=evaluate")
    await visit.page.locator("input[type=file]").set_input_files(
        {
            "name": "moods.csv",
            "mimeType": "text/csv",
            "buffer": b"text,mood\nWhat a lovely day,positive\n" * 3,
        }
    )
    await expect(visit.page.get_by_label("Dataset", exact=True).locator("option:checked")).to_have_text(
        "moods.csv"
    )
    await visit.page.get_by_label("Target column").select_option("mood")
    await visit.page.get_by_label("Text column").fill("text")
    await visit.page.get_by_label("Model", exact=True).fill("sentiment")

    await run(visit)

    await expect(visit.page.locator(".job-head .facts .state")).to_have_text("Completed")
    assert (await newest(ada))["kind"] == "evaluate_model"


async def test_steps_are_typed_as_json_and_a_bad_one_is_shown_at_its_field(visit: Visit, ada: Person) -> None:
    visit.expected |= {422}
    dataset_id = await upload(ada)
    await visit.enter(ada, f"new?task=preprocess_dataset&dataset={dataset_id}")
    steps = visit.page.get_by_label("steps")
    await steps.fill('[{"step": "drop"')
    await run(visit)
    await expect(visit.page.locator(".field-fault").filter(visible=True)).to_contain_text("Invalid JSON")
    await steps.fill('[{"step": "drop", "columns": ["rooms"], "more": 1}]')
    await run(visit)
    await expect(visit.page.locator(".field", has=steps).locator(".field-fault")).to_be_visible()
    await expect(steps).to_be_focused()
    await steps.fill('[{"step": "drop", "columns": ["rooms"]}]')

    await run(visit)

    await expect(visit.page.locator(".job-head .facts .state")).to_have_text("Completed")


async def test_a_request_that_cannot_be_restored_says_why_above_an_empty_form(
    visit: Visit, ada: Person
) -> None:
    visit.expected |= {409}
    dataset_id = await upload(ada)
    body = {"dataset_id": dataset_id, "target": "district", "algorithm": "random_forest", "queue": "nobody"}
    search = {"params": {"min_samples_leaf": [1, 2, 5]}, "halving": True}
    made = await ada.ask("POST", "/jobs/train-model", json={**body, "search": search})

    await visit.enter(ada, f"new?from={made['job_id']}")

    await expect(visit.page.locator(".fault-text")).to_contain_text("the ranges of its search are not stored")
    await expect(visit.page.get_by_label("Texts, one per line")).to_have_value("")


@pytest.mark.parametrize("language", ["en", "zh-CN"])
async def test_every_form_fits_a_phone_and_can_be_used_by_all(
    visit: Visit, ada: Person, language: str
) -> None:
    from axe_playwright_python.async_playwright import Axe  # slow to import

    dataset_id = await upload(ada)
    await visit.enter(ada)
    kept = {"language": language}
    await visit.page.evaluate(
        "kept => localStorage.setItem('headrace.preferences', JSON.stringify(kept))", kept
    )
    await visit.page.set_viewport_size({"width": 360, "height": 800})
    for kind in (await ada.ask("GET", "/kinds"))["items"]:
        await visit.open(f"new?task={kind['name']}&dataset={dataset_id}")
        await expect(visit.page.locator(".numbered")).to_have_count(3)
        if kind["name"] == "train_model":
            await visit.page.locator("[name=target]").select_option("price")
            await visit.page.locator("[name=algorithm]").select_option("random_forest")
            await expect(visit.page.locator("[name='params.min_samples_leaf']")).to_be_visible()
        for summary in await visit.page.locator("#main summary").all():
            if await summary.is_visible():
                await summary.click()
        assert await visit.page.evaluate(OVERFLOW) == [], kind["name"]
        assert await violations(Axe(), visit.page) == [], kind["name"]
        assert "⟦" not in await visit.page.locator("#main").inner_text()


async def test_leaving_a_draft_asks_once_and_keeps_it_unless_told_otherwise(
    visit: Visit, ada: Person
) -> None:
    await visit.enter(ada, "new")
    await visit.navigate("jobs")
    await expect(visit.page.get_by_role("dialog")).to_have_count(0)
    await visit.navigate("new")
    await visit.page.get_by_label("Texts, one per line").fill("one\ntwo")
    await visit.navigate("jobs")
    dialog = visit.page.get_by_role("dialog")
    await expect(dialog).to_contain_text("Keep this draft?")
    await dialog.get_by_role("button", name="Keep it").click()

    await visit.navigate("new")
    texts = visit.page.get_by_label("Texts, one per line")
    await expect(texts).to_have_value("one\ntwo")
    await texts.fill("three")
    await visit.navigate("jobs")
    await expect(visit.page.locator("h1")).to_have_text("Jobs")
    await expect(dialog).to_have_count(0)
    await visit.navigate("new")
    await expect(texts).to_have_value("three")
