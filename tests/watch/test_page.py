"""Stories of the page, in a real browser before real processes."""

import signal
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, Route, expect

from tests.support.waiting import until
from tests.watch import browser
from tests.watch.browser import FAILED_REQUEST, Visit, visiting
from tests.watch.site import Person, Site, gated_job

browser.skip_without()

pytestmark = pytest.mark.asyncio(loop_scope="module")

TEXTS = [
    "What a lovely day",
    "I want my money back, this is awful",
    "It is a kettle",
    "great, great, great!",
    "هذا رائع",
]
ANOTHER_KEY = "another secret of more than thirty-two bytes"


async def test_a_wrong_password_is_refused_in_words_and_the_right_one_opens_the_desk(
    visit: Visit, ada: Person
) -> None:
    await visit.sign_in(ada, "not her password")
    await expect(visit.problem).to_have_text("The username or the password is wrong.")
    await expect(visit.page.get_by_label("Texts")).to_be_hidden()

    await visit.sign_in(ada)

    await expect(visit.page.get_by_label("Texts")).to_be_focused()
    await expect(visit.problem).to_have_count(0)
    # Nothing that outlives the page holds a token.
    kept = await visit.page.evaluate("[localStorage.length, sessionStorage.length, document.cookie]")
    assert kept == [0, 0, ""]
    await visit.page.reload()
    await expect(visit.page.get_by_label("Username")).to_be_focused()


async def test_texts_are_submitted_watched_to_the_end_and_their_predictions_are_the_apis(
    visit: Visit, ada: Person
) -> None:
    await visit.sign_in(ada)
    await visit.submit(TEXTS, batch_size=2, priority="high")

    await expect(visit.status).to_have_text("completed")
    await expect(visit.predictions).to_have_count(len(TEXTS))
    job_id = await visit.job_id()
    job = await ada.ask("GET", f"/jobs/{job_id}")
    predictions: list[dict[str, Any]] = job["result"]["predictions"]
    assert job["priority"] == "high"
    assert await shown_predictions(visit) == [
        [str(number), text, prediction["label"], prediction["score"]]
        for number, (text, prediction) in enumerate(zip(TEXTS, predictions, strict=True), start=1)
    ]
    counts = Counter(prediction["label"] for prediction in predictions)
    shown = await visit.page.locator("#label-counts").get_by_role("listitem").all_inner_texts()
    assert sorted(shown) == sorted(f"{count} {label}" for label, count in counts.items())
    assert await visit.log() == await ada.events(job_id)
    await expect(visit.batches).to_have_count(3)
    await expect(visit.page.get_by_role("progressbar")).to_have_js_property("value", 100)
    await expect(visit.page.get_by_role("status").filter(has_text="5 / 5")).to_have_count(1)
    # In normal use a browser has nothing to complain of: no broken policy, no failed request.
    assert visit.console == []


async def shown_predictions(visit: Visit) -> Any:
    return await visit.predictions.evaluate_all(
        """rows => rows.map(({ cells: [index, text, label, score] }) => [
            index.textContent, text.textContent, label.textContent, Number(score.querySelector('data').value),
        ])"""
    )


async def test_the_page_goes_on_by_itself_when_the_api_is_restarted_in_mid_job(
    visit: Visit, ada: Person, the_site: Site, tmp_path: Path
) -> None:
    job = await gated_job(ada, tmp_path, batches=8)
    await visit.sign_in(ada)
    await visit.open_latest()
    job.let(2)
    await expect(visit.batches).to_have_count(2)

    async with the_site.away(signal.SIGTERM):  # the stream is told `shutdown`
        job.let(4)
        await the_site.until_done(job.id, 4)
        await expect(visit.connection).to_have_text("connection lost, retrying …")
    await expect(visit.batches).to_have_count(4)
    job.let(5)
    await expect(visit.batches).to_have_count(5)

    # The stream is cut; and what comes back has another key, so that the page's token is of no use to it.
    async with the_site.away(signal.SIGKILL, SECRET_KEY=ANOTHER_KEY):
        job.let(6)
        await the_site.until_done(job.id, 6)
    await expect(visit.batches).to_have_count(6)
    await expect(visit.connection).to_have_text("live")
    job.let(8)

    await expect(visit.status).to_have_text("completed")
    await expect(visit.predictions).to_have_count(8)
    assert await visit.log() == await ada.events(job.id)
    refreshed = [url for url in visit.requests if url.endswith("/token/refresh")]
    assert len(refreshed) == 1
    await expect(visit.problem).to_have_count(0)


async def test_a_job_is_cancelled_and_what_it_had_done_is_shown(
    visit: Visit, ada: Person, tmp_path: Path
) -> None:
    job = await gated_job(ada, tmp_path, batches=8)
    job.let(3)
    await visit.sign_in(ada)
    await visit.open_latest()
    await expect(visit.batches).to_have_count(3)

    await visit.page.get_by_role("button", name="Cancel", exact=True).click()

    await expect(visit.status).to_have_text("cancelled")
    await expect(visit.page.get_by_role("button", name="Cancel", exact=True)).to_be_hidden()
    await expect(visit.predictions).to_have_count(3)
    assert (await ada.ask("GET", f"/jobs/{job.id}"))["status"] == "cancelled"
    assert await visit.log() == await ada.events(job.id)
    await expect(visit.page.locator("#recent [aria-current=true]")).to_contain_text("cancelled")


async def test_a_job_can_be_left_and_opened_again(visit: Visit, ada: Person, tmp_path: Path) -> None:
    job = await gated_job(ada, tmp_path, batches=2)
    await visit.sign_in(ada)
    await visit.open_latest()
    await visit.submit(["fine"])
    await expect(visit.status).to_have_text("completed")
    job.let(2)

    await visit.page.locator(f'[data-job-id="{job.id}"]').click()

    await expect(visit.status).to_have_text("completed")
    await expect(visit.predictions).to_have_count(2)
    assert await visit.job_id() == job.id
    assert await visit.log() == await ada.events(job.id)


async def test_a_row_in_error_is_shown_as_an_error_and_says_why(visit: Visit, ada: Person) -> None:
    rows = [{"text": "great"}, {"text": 4}, {"text": "awful"}, {"text": None}]
    created = await ada.ask("POST", "/jobs/batch-predict", json={"instances": rows})
    await visit.sign_in(ada)
    await visit.open_latest()

    await expect(visit.status).to_have_text("completed")
    await expect(visit.predictions).to_have_count(4)
    labels = await visit.predictions.locator(".label").all_inner_texts()
    assert labels == ["positive", "error", "negative", "error"]
    found = await ada.ask("GET", f"/jobs/{created['job_id']}/results")
    reasons = [row["error"]["message"] for row in found["items"] if "error" in row]
    assert await visit.predictions.locator(".fault").all_inner_texts() == reasons
    assert len(reasons) == 2
    counts = await visit.page.locator("#label-counts").get_by_role("listitem").all_inner_texts()
    assert sorted(counts) == ["1 negative", "1 positive", "2 errors"]
    assert "undefined" not in await visit.page.locator("#job").inner_text()


async def test_a_training_that_the_address_asks_for_shows_its_epochs_and_how_good_the_model_is(
    visit: Visit, ada: Person
) -> None:
    sizes = [row * 7 % 60 + 0.5 for row in range(60)]
    rows = [{"size": size, "kind": "large" if size > 30 else "small"} for size in sizes]
    body = {
        "rows": rows,
        "target": "kind",
        "algorithm": "mlp",
        "epochs": 3,
        "params": {"patience": 0},
        "model": "sizes",
    }
    job_id = (await ada.ask("POST", "/jobs/train-model", json=body))["job_id"]
    await visit.page.goto(f"{visit.site.url}/watch?job={job_id}")
    await visit.sign_in(ada)

    await expect(visit.status).to_have_text("completed")
    assert await visit.job_id() == job_id
    assert await visit.log() == await ada.events(job_id)
    await expect(visit.batches).to_have_count(3)
    result = (await ada.ask("GET", f"/jobs/{job_id}"))["result"]
    for line, epoch in zip(await visit.batches.all(), result["history"], strict=True):
        facts = await line.locator(".facts").inner_text()
        assert facts == " · ".join(
            [
                f"Epoch {epoch['epoch']}/3",
                *(
                    f"{name.replace('_', ' ')} {float(f'{epoch[name]:.4g}'):g}"
                    for name in ("train_loss", "valid_loss", "valid_accuracy")
                ),
            ]
        )
    await expect(visit.page.locator("#step")).to_contain_text("sizes@1 · ")
    await expect(visit.page.locator("#step")).to_contain_text(f" · accuracy {result['accuracy']:.4g}")
    await expect(visit.predictions).to_have_count(0)
    await expect(visit.page.get_by_role("heading", name="Predictions")).to_be_hidden()


async def test_an_address_that_asks_for_a_job_that_is_not_there_says_so(visit: Visit, ada: Person) -> None:
    await visit.page.goto(f"{visit.site.url}/watch?job=019aa7c1-f3e2-7bd0-8c5d-3f1e2a4b6c8d")
    await visit.sign_in(ada)

    await expect(visit.problem).to_have_count(1)
    await expect(visit.page.get_by_label("Texts")).to_be_visible()


async def test_markup_in_a_text_is_shown_as_text(visit: Visit, ada: Person) -> None:
    texts = [
        "<img src=x onerror=\"document.title='owned'\">",
        "<script>document.title='owned'</script> &amp;",
    ]
    await visit.sign_in(ada)

    await visit.submit(texts)

    await expect(visit.predictions).to_have_count(2)
    assert [row[1] for row in await shown_predictions(visit)] == texts
    await expect(visit.page.locator("main img, main script")).to_have_count(0)
    assert await visit.page.title() == "completed · Headrace"
    assert visit.console == []


async def test_the_policy_blocks_what_somebody_might_inject(visit: Visit) -> None:
    await visit.page.evaluate(
        """async () => {
            const script = document.createElement('script');
            script.textContent = 'document.title = "owned"';
            document.body.append(script);
            const image = '<img src="data:," onerror="document.title = `owned`">';
            document.body.insertAdjacentHTML('beforeend', image);
            await fetch('http://127.0.0.1:9/?stolen').catch(() => {});
        }"""
    )

    async def has_complained() -> bool:
        return len(visit.console) >= 3

    await until(has_complained)
    assert await visit.page.title() == "Headrace"
    said = " ".join(visit.console)
    assert "script-src 'self'" in said
    assert "connect-src 'self'" in said
    visit.console.clear()
    visit.requests[:] = [url for url in visit.requests if "stolen" not in url]


async def test_an_error_is_shown_in_the_words_of_the_api(visit: Visit, ada: Person) -> None:
    await visit.sign_in(ada)
    # Not typed: what a browser does for a thousand typed lines takes seconds.
    await visit.page.get_by_label("Texts").evaluate(
        "area => { area.value = 'one too many\\n'.repeat(1001); }"
    )
    await visit.page.get_by_role("button", name="Run", exact=True).click()
    await expect(visit.problem).to_have_text("Maximum 1000 texts allowed")

    await visit.submit(["one"])

    await expect(visit.status).to_have_text("completed")
    await expect(visit.problem).to_have_count(0)
    assert len((await ada.ask("GET", "/jobs"))["items"]) == 1


async def test_a_submission_whose_answer_was_lost_can_be_sent_again_and_is_one_job(
    visit: Visit, ada: Person
) -> None:
    async def lose_the_answer(route: Route) -> None:
        await route.fetch()
        await route.abort()

    await visit.sign_in(ada)
    await visit.page.route("**/jobs/batch-predict", lose_the_answer, times=1)
    await visit.submit(["one"])
    await expect(visit.problem).to_have_text(
        "The server is unreachable. Check your connection and try again."
    )

    await visit.page.get_by_role("button", name="Run", exact=True).click()

    await expect(visit.status).to_have_text("completed")
    [job] = (await ada.ask("GET", "/jobs"))["items"]
    assert job["job_id"] == await visit.job_id()


async def test_a_session_that_has_ended_leaves_nothing_behind(
    visit: Visit, ada: Person, the_site: Site
) -> None:
    await visit.sign_in(ada)
    await visit.submit(["a secret"])
    await expect(visit.predictions).to_have_count(1)
    await the_site.fetch("UPDATE users SET is_active = false WHERE username = $1", ada.name)

    async def is_noticed() -> bool:
        if await visit.page.get_by_label("Username").is_visible():
            return True
        # A click that comes too early for the API to know asks again.
        await visit.page.locator("#refresh").dispatch_event("click")
        return False

    await until(is_noticed)
    await expect(visit.problem).to_have_text("Your session has expired. Please sign in again.")
    assert "a secret" not in await visit.page.locator("#job").inner_text()
    assert all(line.startswith(FAILED_REQUEST) for line in visit.console)


@pytest.mark.parametrize("width", [320, 375])
async def test_on_a_phone_nothing_is_wider_than_the_screen(
    the_browser: Browser, the_site: Site, ada: Person, width: int
) -> None:
    async with visiting(the_browser, the_site, viewport={"width": width, "height": 700}) as visit:
        await visit.sign_in(ada)
        await visit.submit(["w" * 500, "good"])
        await expect(visit.predictions).to_have_count(2)

        assert await visit.page.evaluate("document.documentElement.scrollWidth") == width
        await expect(visit.page.get_by_role("progressbar")).to_be_in_viewport()
