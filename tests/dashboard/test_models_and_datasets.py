"""Stories of models, datasets and results in a real browser: from a file to a version with a name."""

import re
from typing import Any

import pytest
from playwright.async_api import FilePayload, Page, expect

from app.jobs.result_filters import scanning
from tests.dashboard import browser
from tests.dashboard.browser import Visit
from tests.dashboard.site import Person, Site
from tests.models import files
from tests.support.waiting import until

browser.skip_without()

pytestmark = pytest.mark.asyncio(loop_scope="module")

CSV = b"size,kind\n" + b"".join(
    b"%d.5,%s\n" % (row * 7 % 60, b"large" if row * 7 % 60 > 30 else b"small") for row in range(60)
)

# Notes how many lines the table below the curves has, whenever it changes.
WATCH_EPOCHS = """() => {
    window.epochs = [];
    new MutationObserver(() => {
        const count = document.querySelectorAll(".tab-panel > details tbody tr").length;
        if (count !== window.epochs.at(-1)) { window.epochs.push(count); }
    }).observe(document.getElementById("main"), { childList: true, subtree: true });
}"""

# Notes the ranks of the leaderboard, whenever they change.
WATCH_LEADERS = """() => {
    window.leaders = [];
    new MutationObserver(() => {
        const rows = [...document.querySelectorAll("table[aria-label], .scroll table")].flatMap((table) =>
            table.caption?.textContent === "Leaderboard" ? [...table.tBodies[0].rows] : []);
        const ranks = rows.map((row) => row.cells[0].textContent).join(" ");
        if (rows.length > 0 && ranks !== window.leaders.at(-1)) { window.leaders.push(ranks); }
    }).observe(document.getElementById("main"), { childList: true, subtree: true, characterData: true });
}"""


async def trained(ada: Person, **more: Any) -> str:
    """Train the next version of the model `sizes`, and return the id of its dataset."""
    datasets = (await ada.ask("GET", "/datasets", params={"name": "sizes.csv"}))["items"]
    if not datasets:
        headers = {"Content-Type": "text/csv"}
        datasets = [await upload(ada, "sizes.csv", CSV, headers)]
    body = {"target": "kind", "algorithm": "mlp", "params": {"patience": 0}, "model": "sizes", **more}
    body["dataset_id"] = datasets[0]["dataset_id"]
    job = await ada.ask("POST", "/jobs/train-model", json=body)
    ended = await ada.ask("GET", f"/jobs/{job['job_id']}", params={"wait": 60})
    assert ended["status"] == "completed", ended
    found: str = datasets[0]["dataset_id"]
    return found


async def upload(ada: Person, name: str, content: bytes, headers: dict[str, str]) -> Any:
    form = {"file": (name, content, headers["Content-Type"])}
    return await ada.ask("POST", "/datasets", files=form)


def alias(page: Page, name: str) -> Any:
    return page.locator(".aside li", has_text=name)


async def test_a_model_file_is_uploaded_with_progress_and_refused_with_its_types(
    visit: Visit, ada: Person
) -> None:
    visit.expected |= {422}
    await visit.enter(ada, "models")
    page = visit.page
    unsafe = files.skops_of_type("subprocess", "Popen")

    for name, content in (("evil.skops", unsafe), ("flowers.onnx", files.as_onnx(files.classifier()))):
        await page.get_by_role("button", name="Upload a version").click()
        dialog = page.get_by_role("dialog")
        await dialog.get_by_label("Model name").fill("flowers")
        await dialog.get_by_label("File").set_input_files(
            FilePayload(name=name, mimeType="application/octet-stream", buffer=content)
        )
        await dialog.get_by_label("Alias").fill("prod")
        await dialog.get_by_role("button", name="Upload").click()
        if name == "evil.skops":
            await expect(visit.alert).to_contain_text("types that Headrace does not load")
            await expect(visit.alert).to_contain_text("subprocess.Popen")
            await page.locator(".uploads").get_by_role("button", name="Close").click()

    await expect(page.locator(".toast")).to_contain_text("flowers@1 registered")
    row = page.get_by_role("table", name="Models").get_by_role("row", name="flowers")
    await expect(row).to_contain_text("prod → 1")
    assert [
        version["version"] for version in (await ada.ask("GET", "/models/flowers/versions"))["items"]
    ] == [1]

    await page.get_by_role("button", name="Upload a version").click()
    await page.get_by_role("dialog").get_by_role("button", name="Upload").click()
    await expect(page.get_by_role("dialog").locator("[aria-invalid=true]")).to_have_count(2)


async def test_models_and_datasets_are_found_by_the_beginning_of_their_name(
    visit: Visit, ada: Person
) -> None:
    await trained(ada, epochs=2)
    await upload(ada, "other.csv", CSV, {"Content-Type": "text/csv"})
    await visit.enter(ada, "models")
    models = visit.page.get_by_role("table", name="Models").get_by_role("rowheader")
    await expect(models).to_have_text([re.compile("sizes"), re.compile("sentiment")])
    await expect(
        visit.page.get_by_role("img", name=re.compile("accuracy of versions 1 to 1"))
    ).to_be_visible()

    await visit.page.get_by_role("searchbox", name="Find by name").fill("SIZ")
    await expect(models).to_have_text([re.compile("sizes")])
    await visit.page.get_by_role("searchbox", name="Find by name").fill("%")
    await expect(visit.main).to_contain_text("Nothing matches these filters.")

    await visit.navigate("datasets?q=oth")
    await expect(visit.page.get_by_role("table", name="Datasets").get_by_role("rowheader")).to_have_text(
        ["other.csv"]
    )


async def test_versions_are_compared_and_an_alias_is_set_moved_and_removed(visit: Visit, ada: Person) -> None:
    await trained(ada, epochs=2, seed=1)
    await trained(ada, epochs=4, seed=1)
    versions = (await ada.ask("GET", "/models/sizes/versions"))["items"]
    await visit.enter(ada, "models/sizes?version=1")
    page = visit.page

    await page.locator(".curves > *").last.scroll_into_view_if_needed()  # only charts in sight are drawn
    await expect(page.locator(".curves .line")).to_have_count(3)
    await expect(page.locator(".curves .best")).to_have_count(2)
    matrix = page.get_by_role("table", name="Confusion matrix")
    report = await ada.ask("GET", "/models/sizes/versions/1/report")
    counts = report["classification"]["confusion_matrix"]["matrix"]
    await expect(matrix.locator("tbody td")).to_have_text([str(count) for row in counts for count in row])
    await expect(page.locator(".chain li")).to_have_count(4)
    await expect(page.locator(".chain")).to_contain_text("used by 0 jobs")

    await page.get_by_label("Alias").fill("prod")
    await page.locator(".aside form").get_by_role("button", name="Point to version 1").click()
    await expect(page.get_by_role("dialog")).to_contain_text("Submitted jobs keep their version.")
    await page.get_by_role("dialog").get_by_role("button", name="Save").click()
    await expect(alias(page, "prod →")).to_contain_text("Version 1")
    await page.get_by_role("button", name="Version 2").click()
    await alias(page, "prod →").get_by_role("button", name="Point to version 2").click()
    await page.get_by_role("dialog").get_by_role("button", name="Save").click()
    await expect(alias(page, "prod →")).to_contain_text("Version 2")
    assert (await ada.ask("GET", "/models/sizes"))["aliases"] == {"prod": 2}
    await page.get_by_role("button", name="Remove alias prod").click()
    await page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    await expect(alias(page, "prod →")).to_have_count(0)
    assert (await ada.ask("GET", "/models/sizes"))["aliases"] == {}

    await page.get_by_role("link", name="Compare").click()
    differing = page.get_by_role("table", name="Parameters that differ")
    await expect(differing.get_by_role("row")).to_have_count(2)
    await expect(differing.get_by_role("row").last).to_contain_text("epochs")
    losses = [version["metrics"]["log_loss"] for version in versions]
    metric = page.get_by_role("table", name="Metrics").get_by_role("row", name="log loss")
    await expect(metric).to_contain_text("better" if losses[0] < losses[1] else "worse")
    await page.locator(".curves > *").last.scroll_into_view_if_needed()
    await expect(page.locator(".curves .line")).to_have_count(4)
    predicted = page.get_by_role("table", name="Predictions for the same rows").locator("tbody tr")
    await expect(predicted).to_have_count(10)
    rows = [{"size": row * 7 % 60 + 0.5} for row in range(10)]
    for place, number in ((2, 1), (3, 2)):
        told = await ada.ask("POST", "/predict", json={"instances": rows, "model": f"sizes@{number}"})
        labels = [prediction["label"] for prediction in told["predictions"]]
        await expect(predicted.locator(f"> :nth-child({place + 1})")).to_contain_text(labels)


@pytest.mark.parametrize(
    "rows",
    ["size\n1\n50\n", '[{"size": 1}, {"size": 50}]', '{"size": 1}\n{"size": 50}', '{\n  "size": 1\n}'],
    ids=["csv", "list", "lines", "object"],
)
async def test_a_version_is_tried_with_rows_as_one_types_them(visit: Visit, ada: Person, rows: str) -> None:
    await trained(ada, epochs=4, seed=1)
    await visit.enter(ada, "models/sizes?version=1")
    page = visit.page

    await page.get_by_label("Rows, as JSON or CSV").fill(rows)
    await page.get_by_role("button", name="Predict", exact=True).click()

    sizes = [1] if rows.startswith("{\n") else [1, 50]
    body = {"instances": [{"size": size} for size in sizes], "model": "sizes@1"}
    for prediction in (await ada.ask("POST", "/predict", json=body))["predictions"]:
        await expect(page.locator("pre, .json").last).to_contain_text(str(prediction["score"]))


async def test_a_model_is_described_and_deleted_version_by_version(visit: Visit, ada: Person) -> None:
    await trained(ada, epochs=2)
    await trained(ada, epochs=2)
    await visit.enter(ada, "models/sizes")
    page = visit.page

    await page.get_by_role("button", name="Edit description and tags").first.click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_label("Description").fill("<b>What is large?</b>")
    await dialog.get_by_label("Tags").fill("team")
    await dialog.get_by_role("button", name="Save").click()
    await expect(dialog.locator("[aria-invalid=true]")).to_have_count(1)
    await dialog.get_by_label("Tags").fill("team=risk\nstage=prod=2")
    await dialog.get_by_role("button", name="Save").click()
    await expect(page.locator(".described").first).to_contain_text("<b>What is large?</b>")
    model = await ada.ask("GET", "/models/sizes")
    assert model["tags"] == {"team": "risk", "stage": "prod=2"}

    await page.get_by_role("button", name="Delete version").click()
    await page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    await expect(page.locator("h2", has_text="sizes@1")).to_be_visible()
    await page.get_by_role("button", name="Delete", exact=True).click()
    await page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    await expect(page.locator("h1")).to_have_text("Models")
    assert [found["name"] for found in (await ada.ask("GET", "/models"))["items"]] == ["sentiment"]


async def test_results_are_filtered_and_summed_up(visit: Visit, ada: Person) -> None:
    texts = [
        *("What a lovely day" for _ in range(60)),
        "This is awful, I hate it",
        *("kettle" for _ in range(9)),
    ]
    created = await ada.ask("POST", "/jobs/batch-predict", json={"texts": texts, "batch_size": 10})
    await ada.ask("GET", f"/jobs/{created['job_id']}", params={"wait": 60})
    await visit.enter(ada, f"jobs/{created['job_id']}")
    page = visit.page
    rows = page.locator(".results tbody tr:not(.more)")
    summary = await ada.ask("GET", f"/jobs/{created['job_id']}/results/summary")

    counts = page.get_by_role("list", name="Rows by label").get_by_role("listitem")
    await expect(counts).to_have_count(3)
    for label, count in summary["labels"].items():
        await expect(counts.filter(has_text=label)).to_contain_text(str(count))
    await page.get_by_label("Label", exact=True).select_option("negative")
    await expect(rows).to_have_count(1)
    await expect(rows).to_contain_text("This is awful, I hate it")
    await expect(page.locator(".tab-panel .list-foot")).to_contain_text("Searched 70 of 70 rows")
    await page.get_by_label("Label", exact=True).select_option("positive")
    await expect(rows).to_have_count(25)
    searched = page.locator(".tab-panel .list-foot")
    for count in (50, 70):
        await page.get_by_role("button", name="Load more").click()
        await expect(searched).to_contain_text(f"Searched {count}")
    await expect(rows).to_have_count(10)
    await page.get_by_role("button", name="Download rows that match").click()
    async with page.expect_download() as download:
        await page.get_by_role("menuitem", name="CSV").click()
    lines = (await (await download.value).path()).read_text().splitlines()
    assert len(lines) == 1 + summary["labels"]["positive"]
    await page.get_by_label("score below").fill("-0.5")
    await expect(page.locator(".tab-panel")).to_contain_text("Nothing matches these filters.")
    await page.get_by_role("button", name="Clear filters").click()
    await expect(rows).to_have_count(25)
    await expect(page.get_by_role("button", name="Download rows that match")).to_be_hidden()


async def test_a_search_that_fails_midway_begins_again_where_its_page_begins(
    visit: Visit, ada: Person
) -> None:
    texts = ["lovely", *("kettle" for _ in range(scanning.MAX_ROWS)), "lovely"]
    content = "\n".join(["text", *texts]).encode()
    dataset = await upload(ada, "kettles.csv", content, {"Content-Type": "text/csv"})
    body = {"dataset_id": dataset["dataset_id"], "column": "text", "batch_size": 10_000}
    created = await ada.ask("POST", "/jobs/batch-predict", json=body)
    ended = await ada.ask("GET", f"/jobs/{created['job_id']}", params={"wait": 60})
    assert ended["status"] == "completed", ended
    await visit.enter(ada, f"jobs/{created['job_id']}")
    page = visit.page
    rows = page.locator(".results tbody tr:not(.more)")

    await page.route(re.compile(r"/results\?.*cursor="), lambda route: route.abort(), times=1)
    await page.get_by_label("Label", exact=True).select_option("positive")
    await page.get_by_role("button", name="Try again").click()

    await expect(rows).to_have_count(2)


async def test_a_dataset_is_pasted_or_stopped_and_names_the_jobs_that_use_it(
    visit: Visit, ada: Person, the_site: Site
) -> None:
    await visit.enter(ada, "datasets")
    page = visit.page
    paste = """text => {
        const data = new DataTransfer();
        data.setData("text/plain", text);
        document.body.dispatchEvent(new ClipboardEvent("paste", {clipboardData: data, bubbles: true}));
    }"""
    await page.evaluate(paste, "review\tstars\nfine\t5\n")
    await page.get_by_role("link", name="pasted.csv").click()
    await expect(page.get_by_role("table", name="Columns").get_by_role("row")).to_have_count(3)
    await expect(visit.main).to_contain_text("No job uses it yet.")
    [dataset] = (await ada.ask("GET", "/datasets"))["items"]
    body = {"dataset_id": dataset["dataset_id"], "column": "review"}
    created = [await ada.ask("POST", "/jobs/batch-predict", json=body) for _ in range(6)]

    await page.reload()

    used = page.locator("section", has=page.get_by_role("heading", name="Used by"))
    await expect(used.get_by_role("listitem")).to_have_count(5)
    await used.get_by_role("link", name="View all 6").click()
    await expect(visit.rows).to_have_count(6)
    assert await visit.rows.first.get_attribute("data-key") == created[-1]["job_id"]

    await visit.navigate("datasets")
    slowly = await page.context.new_cdp_session(page)
    limits = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": 200_000}
    await slowly.send("Network.emulateNetworkConditions", limits)
    content = b"text\n" + b"a slow row\n" * 400_000
    await page.locator("input[type=file]").set_input_files(
        FilePayload(name="slow.csv", mimeType="text/csv", buffer=content)
    )
    line = page.locator(".uploads li")
    await expect(line).to_contain_text(re.compile(r"[1-9][\d.,]* (kB|MB) of 4.4 MB, .*/s"))
    await line.get_by_role("button", name="Cancel upload").click()
    await expect(line).to_have_count(0)
    await slowly.detach()
    assert [found["name"] for found in (await ada.ask("GET", "/datasets"))["items"]] == ["pasted.csv"]


async def test_curves_grow_by_epoch_and_the_version_can_be_used_at_once(visit: Visit, ada: Person) -> None:
    rows = [
        {"size": row % 97 + row / 7000, "width": row % 13, "kind": "ab"[row % 97 > 40]} for row in range(900)
    ]
    body = {"rows": rows, "target": "kind", "algorithm": "mlp", "epochs": 120, "params": {"patience": 0}}
    created = await ada.ask("POST", "/jobs/train-model", json={**body, "model": "sizes", "delay_seconds": 3})
    await visit.enter(ada, f"jobs/{created['job_id']}?tab=curves")
    page = visit.page
    await page.evaluate(WATCH_EPOCHS)

    await expect(page.locator(".job-head .facts .state")).to_have_text("Completed")
    await expect(page.locator(".curves .best")).to_have_count(2)
    epochs = await page.evaluate("window.epochs.filter(count => count > 0)")
    assert epochs[-1] == 120
    assert len(epochs) > 2, epochs
    assert epochs == sorted(epochs)
    history = await ada.ask("GET", "/models/sizes/versions/1/history")
    assert len(history["items"]) == 120

    await page.get_by_role("tab", name="Metrics").click()
    await page.get_by_role("link", name="sizes@1").click()
    await page.get_by_role("link", name="Predict", exact=True).click()
    await expect(page.get_by_label("Model", exact=True)).to_have_value(re.compile("^sizes"))


async def test_curves_of_a_regression_name_their_metric_and_keep_large_numbers_inside(
    visit: Visit, ada: Person
) -> None:
    rows = [{"area": row % 97 + row / 7000, "price": (row % 97) * 40_000 + row} for row in range(300)]
    body = {"rows": rows, "target": "price", "algorithm": "mlp", "epochs": 3, "model": "prices"}
    created = await ada.ask("POST", "/jobs/train-model", json=body)
    ended = await ada.ask("GET", f"/jobs/{created['job_id']}", params={"wait": 60})
    assert ended["status"] == "completed", ended
    await visit.enter(ada, f"jobs/{created['job_id']}?tab=curves")

    charts = visit.page.locator(".curves > *")
    await expect(charts.first.locator(".tick").first).to_be_visible()
    await expect(charts.last.get_by_role("heading")).to_have_text("Validation R²")
    panel = await charts.first.bounding_box()
    assert panel is not None
    ticks = [await tick.bounding_box() for tick in await charts.first.locator(".tick").all()]
    assert all(tick is not None and tick["x"] >= panel["x"] for tick in ticks), ticks


async def test_a_file_with_decimal_commas_is_profiled_with_what_to_look_at(visit: Visit, ada: Person) -> None:
    lines = "".join(f"{n},5;{n % 4};{n % 9 if n else 'n/a'}\n" for n in range(50))
    await upload(ada, "messy.csv", f"price;rooms;floor\n{lines}".encode(), {"Content-Type": "text/csv"})
    await visit.enter(ada, "datasets")

    await expect(visit.page.get_by_role("table", name="Datasets").get_by_role("columnheader")).to_have_text(
        ["Name", "Columns", "Rows", "Size", "Created"]
    )
    await visit.page.get_by_role("link", name="messy.csv").click()

    warnings = visit.page.get_by_role("table", name="Columns").get_by_role("row")
    await expect(warnings.filter(has_text="price")).to_contain_text("The numbers have a decimal comma")
    await expect(warnings.filter(has_text="floor")).to_contain_text(
        "Most texts are numbers, but some are not."
    )
    await expect(visit.page.locator(".column-warning")).to_have_count(2)


async def test_a_training_that_failed_at_once_does_not_promise_results(visit: Visit, ada: Person) -> None:
    rows = [{"area": row, "price": f"{row},5"} for row in range(40)]
    body = {"rows": rows, "target": "price", "task": "regression", "algorithm": "ridge"}
    created = await ada.ask("POST", "/jobs/train-model", json=body)
    ended = await ada.ask("GET", f"/jobs/{created['job_id']}", params={"wait": 60})
    assert ended["status"] == "failed", ended

    await visit.enter(ada, f"jobs/{created['job_id']}?tab=curves")

    await expect(visit.page.get_by_role("tabpanel").filter(visible=True)).to_have_text(
        "The training ended before its first epoch."
    )


async def test_the_leaderboard_of_a_search_moves(visit: Visit, ada: Person) -> None:
    rows = [{"size": row * 7 % 60 + 0.5, "kind": "ab"[row * 7 % 60 > 30]} for row in range(60)]
    search = {"params": {"alpha": [0.0001, 0.01, 1]}, "metric": "log_loss"}
    body = {"rows": rows, "target": "kind", "algorithm": "logistic_regression", "epochs": 3}
    created = await ada.ask(
        "POST", "/jobs/train-model", json={**body, "model": "sizes", "search": search, "delay_seconds": 3}
    )
    await visit.enter(ada, f"groups/{created['group_id']}")
    page = visit.page
    await page.evaluate(WATCH_LEADERS)
    leaderboard = page.get_by_role("table", name="Leaderboard").locator("tbody tr")
    await expect(leaderboard.locator("td:first-child")).to_have_text(["1", "2", "3"])

    async def is_over() -> bool:
        group = await ada.ask("GET", f"/groups/{created['group_id']}")
        return bool(group["statuses"]["completed"] == 3)

    await until(is_over)
    await expect(page.locator(".page-head")).to_contain_text("Hyperparameter search")
    group = await ada.ask("GET", f"/groups/{created['group_id']}")
    best = group["search"]["best_model"]
    await expect(page.locator("tr.selected")).to_contain_text(best)
    assert len(await page.evaluate("window.leaders")) > 1


async def test_the_leaderboard_shows_the_folds_of_a_trial_and_their_mean(visit: Visit, ada: Person) -> None:
    rows = [{"size": row * 7 % 60 + 0.5, "kind": "ab"[row * 7 % 60 > 30]} for row in range(60)]
    body = {"rows": rows, "target": "kind", "algorithm": "logistic_regression", "epochs": 3, "folds": 3}
    created = await ada.ask("POST", "/jobs/train-model", json={**body, "model": "sizes"})
    await visit.enter(ada, f"groups/{created['group_id']}")
    page = visit.page
    trial = page.get_by_role("table", name="Leaderboard").locator("tbody tr")
    await expect(trial.locator("td:first-child")).to_have_text("1")

    group = await ada.ask("GET", f"/groups/{created['group_id']}")
    [found] = group["search"]["leaderboard"]
    await expect(trial).to_contain_text(" ± ")
    await expect(trial).to_contain_text(found["model"])
    for number, fold in enumerate(found["folds"], 1):
        link = trial.get_by_title(f"Fold {number}:", exact=False)
        await expect(link).to_have_text(re.compile(r"^[0-9.]+$"))
        await expect(link).to_have_attribute("href", re.compile(f"jobs/{fold['job_id']}$"))
    await trial.get_by_title("Fold 2:", exact=False).click()

    await expect(page.locator(".job-head .facts .state")).to_have_text("Completed")
