"""Links lead back to where the client asked, whatever the prefix: a tour over every route that emits one."""

import re
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any
from uuid import UUID

import httpx
import pytest
from fastapi import FastAPI

from app.core.config import Settings
from app.http import links
from app.jobs.errors import PredictionTooLarge
from app.jobs.predictions import service as predictions
from app.jobs.times import JobTimes
from app.main import create_app
from app.models.reports import commands as reports
from tests.conftest import StartWorker
from tests.models.reports.examples import NUMBERS, as_stored
from tests.support import jobs
from tests.support.accounts import Account, sign_in
from tests.support.app_state import state_of

NOBODY = {"queue": "nobody"}
ROWS = [{"size": size, "label": "big" if size > 10 else "small"} for size in range(20)]
TRAINING = {"rows": ROWS, "target": "label", "algorithm": "logistic_regression", "model": "sizes", **NOBODY}
PREFIXES = [("", ""), ("", "/api/v1"), ("/ml", "/ml"), ("/ml", "/ml/api/v1")]


def strings(value: Any) -> Iterator[str]:
    match value:
        case str():
            yield value
        case dict():
            for inner in value.values():
                yield from strings(inner)
        case list():
            for inner in value:
                yield from strings(inner)


def paths(answer: httpx.Response) -> list[str]:
    """Every path in a response, in its headers and in its body."""
    found = [answer.headers[name] for name in ("location", "link") if name in answer.headers]
    if answer.headers.get("content-type", "").endswith("json"):
        found += [text for text in strings(answer.json()) if text.startswith("/")]
    return found


class Tour:
    """A client under a prefix, which checks every link and remembers which routes it has called."""

    def __init__(self, app: FastAPI, client: httpx.AsyncClient, prefix: str, who: Account) -> None:
        self.app = app
        self.client = client
        self.prefix = prefix
        self.who = who
        self.links: set[str] = set()
        self.called: set[tuple[str, str]] = set()

    async def ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        headers = {**self.who.headers, **more.pop("headers", {})}
        answer = await self.client.request(method, self.prefix + path, headers=headers, timeout=60, **more)
        assert answer.status_code < 300 or answer.status_code == 504 or path == "/nowhere", answer.text
        found = paths(answer)
        for link in found:
            below = link.removeprefix(self.prefix)
            assert link.startswith(f"{self.prefix}/"), (path, link)
            assert not re.match(r"/(ml|api)(/|$)", below), (path, link)
        if found:
            self.links.update(found)
        self.called.add((method, path.partition("?")[0]))
        return answer

    def templates(self) -> set[tuple[str, str]]:
        """The routes that were called, as the OpenAPI document names them."""
        return {
            (method, template)
            for method, template in documented(self.app)
            for called_method, path in self.called
            if method == called_method and re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", template), path)
        }


def documented(app: FastAPI) -> Iterator[tuple[str, str]]:
    for path, operations in app.openapi()["paths"].items():
        for method in operations:
            yield method.upper(), path


def routes_that_link(app: FastAPI) -> set[tuple[str, str]]:
    """The routes whose successful response has a link, according to the OpenAPI document."""
    document = app.openapi()
    schemas = document["components"]["schemas"]

    def has_links(schema: Any, seen: frozenset[str] = frozenset()) -> bool:
        if isinstance(schema, list):
            return any(has_links(part, seen) for part in schema)
        if not isinstance(schema, dict):
            return False
        name = str(schema.get("$ref", "")).rpartition("/")[2]
        if name and name not in seen and has_links(schemas[name], seen | {name}):
            return True
        properties = schema.get("properties", {})
        return any(member == "links" or member.endswith("_url") for member in properties) or any(
            has_links(part, seen) for part in schema.values()
        )

    found = set()
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            for status, answer in operation["responses"].items():
                content = answer.get("content", {}).get("application/json", {})
                if status.startswith("2") and (
                    "Location" in answer.get("headers", {}) or has_links(content.get("schema"))
                ):
                    found.add((method.upper(), path))
    return found


@asynccontextmanager
async def touring(settings: Settings, root_path: str, prefix: str) -> AsyncIterator[Tour]:
    mail = {"smtp_host": "mail.invalid", "mail_from": "h@example.net", "mail_allowed_domains": ("*",)}
    app = create_app(
        settings.model_copy(update={"root_path": root_path, **mail}),
        job_times=JobTimes(prediction_seconds=0.05),
    )
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://test") as client,
    ):
        name = "alice" + prefix.replace("/", "-")
        yield Tour(app, client, prefix, await sign_in(app, name))


async def make_jobs(tour: Tour) -> None:
    """Everything that needs no worker."""
    store = state_of(tour.app).resources.database
    await tour.ask("GET", "/")
    assert (await tour.ask("GET", "/nowhere")).json()["instance"] == f"{tour.prefix}/nowhere"

    completed = await jobs.running(store, tour.who.id)
    await jobs.complete(store, completed)
    result = (await tour.ask("GET", f"/jobs/{completed.id}")).json()["result"]
    assert result["results_url"] == f"{tour.prefix}/jobs/{completed.id}/results"
    failed = await jobs.running(store, tour.who.id)
    await jobs.fail(store, failed, is_retryable=False)
    await tour.ask("GET", "/dead-letters")
    await tour.ask("POST", f"/jobs/{failed.id}/retry")
    await tour.ask("POST", f"/jobs/{failed.id}/cancel")  # or the next tour claims it

    body = {"texts": ["good"], **NOBODY}
    key = {"Idempotency-Key": "once"}
    created = await tour.ask("POST", "/jobs/batch-predict", json=body, headers=key)
    again = await tour.ask("POST", "/jobs/batch-predict", json=body, headers=key)
    assert created.headers["location"] == again.headers["location"] == created.json()["poll_url"]
    await tour.ask("GET", "/jobs")
    await tour.ask("GET", "/active-tasks")
    job_id = created.json()["job_id"]
    await tour.ask("POST", f"/jobs/{job_id}/cancel")
    other = await tour.ask("POST", "/jobs/batch-predict", json=body)
    await tour.ask("DELETE", f"/jobs/{other.json()['job_id']}")

    bulk = {"jobs": [{"kind": "batch_predict", "texts": ["good"], **NOBODY}]}
    await tour.ask("POST", "/jobs/bulk", json=bulk)
    await tour.ask("POST", "/jobs/train-model", json=TRAINING)
    search = {"params": {"alpha": [0.1, 1]}}
    await tour.ask("POST", "/jobs/train-model", json={**TRAINING, "search": search})
    evaluation = {"rows": [{"text": "good", "label": "positive"}], "target": "label", "model": "sentiment"}
    await tour.ask("POST", "/jobs/evaluate-model", json={**evaluation, **NOBODY})
    pending = await tour.ask("POST", "/predict", json={"texts": ["good"]})
    assert (pending.status_code, pending.json()["code"]) == (504, "prediction_pending")
    await tour.ask("POST", f"/jobs/{pending.json()['job_id']}/cancel")

    csv = {"Content-Type": "text/csv"}
    dataset = await tour.ask("POST", "/datasets?name=a", content=b"a,b\n1,2\n", headers=csv)
    steps = {"dataset": "a", "steps": [{"step": "deduplicate"}], **NOBODY}
    preprocessing = await tour.ask("POST", "/jobs/preprocess-dataset", json=steps)
    await tour.ask("DELETE", f"/jobs/{preprocessing.json()['job_id']}")
    assert dataset.headers["location"] == dataset.json()["links"]["self"]
    await tour.ask("GET", "/datasets")
    await tour.ask("GET", f"/datasets/{dataset.json()['dataset_id']}")


async def make_schedules(tour: Tour) -> None:
    schedule = {
        "name": "nightly",
        "trigger": {"daily": {"at": "02:30"}},
        "job": {"kind": "batch_predict", "texts": ["good"], **NOBODY},
    }
    created = await tour.ask("POST", "/schedules", json=schedule)
    path = created.headers["location"].removeprefix(tour.prefix)
    await tour.ask("GET", "/schedules")
    await tour.ask("GET", path)
    await tour.ask("PATCH", path, json={"overlap": "allow"})
    for action in ("pause", "resume", "run"):
        await tour.ask("POST", f"{path}/{action}")
    await tour.ask("PUT", "/schedules/declared", json={**schedule, "name": "declared"})


async def make_emails(tour: Tour) -> None:
    """No worker of these tests sends them."""
    email = {"to": "ada@example.com", "subject": "Done", "body": "It is done."}
    await tour.ask("POST", "/jobs/send-email", json=email)
    await tour.ask("POST", "/send-email", json=email)
    many = {"recipients": ["ada@example.com"], "subject": "Done", "body": "It is done."}
    await tour.ask("POST", "/send-bulk-email", json=many)
    await tour.ask("POST", "/send-notification", json={"email": "ada@example.com", "message": "Done."})


async def make_subscriptions(tour: Tour) -> None:
    subscription = {
        "name": "CI",
        "channel": "webhook",
        "target": {"url": "https://ci.example.com/hooks/ml"},
        "events": ["job.failed"],
    }
    await tour.ask("POST", "/subscriptions", json=subscription)


async def make_models(tour: Tour) -> None:
    from tests.models import files  # imports the ML libraries, which no other test of this folder needs

    content = files.as_skops(files.regressor())
    created = await tour.ask("POST", "/models/flowers/versions", content=content)
    assert created.headers["location"] == f"{tour.prefix}/models/flowers/versions/1"
    await tour.ask("GET", "/models")
    await tour.ask("GET", "/models/flowers")
    await tour.ask("PATCH", "/models/flowers", json={"visibility": "public"})
    await tour.ask("GET", "/models/flowers/versions")
    await make_report(tour, UUID(created.json()["model_id"]))
    await tour.ask("GET", "/models/flowers/versions/1")
    await tour.ask("PATCH", "/models/flowers/versions/1", json={"description": "Measures flowers."})
    await tour.ask("POST", "/jobs/convert-model", json={"model": "flowers@1", "queue": "nobody"})
    plots = await tour.ask("GET", "/models/flowers/versions/1/plots")
    assert plots.json()["items"]
    tour.links.difference_update(paths(plots))  # drawing them takes seconds
    await tour.ask("PUT", "/models/flowers/aliases/best", json={"version": 1})
    await tour.ask("GET", "/models/sentiment/versions/1")


async def make_report(tour: Tour, version_id: UUID) -> None:
    async with state_of(tour.app).resources.database.transaction() as connection:
        await reports.store(connection, version_id, as_stored(NUMBERS))


async def follow(tour: Tour) -> None:
    """Every link leads to a route, under the prefix that it has."""
    for link in sorted(tour.links):
        head = await tour.client.head(link, headers=tour.who.headers)
        is_nowhere = head.status_code == 404 and link.endswith("/nowhere")
        assert is_nowhere or head.status_code in (200, 204, 405), (link, head.status_code)


async def test_links_keep_the_prefix_under_which_they_were_asked_for(
    settings: Settings, start_worker: StartWorker
) -> None:
    async with AsyncExitStack() as stack:
        tours = [await stack.enter_async_context(touring(settings, *prefixes)) for prefixes in PREFIXES]
        for tour in tours:
            await make_jobs(tour)
            await make_schedules(tour)
            await make_emails(tour)
            await make_subscriptions(tour)
        async with start_worker():
            for tour in tours:
                await make_models(tour)
        for tour in tours:
            await follow(tour)
            assert routes_that_link(tour.app) - tour.templates() == set()


@pytest.mark.parametrize(("asked", "prefix"), [("/jobs", "/ml"), ("/api/v1/jobs", "/ml/api/v1")])
async def test_a_proxy_may_have_removed_its_prefix(settings: Settings, asked: str, prefix: str) -> None:
    async with touring(settings, "/ml", "") as tour:
        answer = await tour.client.get(asked)

    assert (answer.status_code, answer.json()["instance"]) == (401, f"{prefix}/jobs")


async def test_a_prefix_alone_is_the_front_page(settings: Settings) -> None:
    async with touring(settings, "/ml", "") as tour:
        for path, prefix in (("/ml", "/ml"), ("/ml/", "/ml"), ("/ml/api/v1", "/ml/api/v1"), ("/", "/ml")):
            front_page = (await tour.client.get(path)).json()
            assert front_page["links"]["health"] == f"{prefix}/health", path
        longer = await tour.client.get("/mlops/jobs")  # not below /ml, but as a proxy that strips sends it
        assert (longer.status_code, longer.json()["instance"]) == (404, "/ml/mlops/jobs")


async def test_one_request_does_not_change_the_links_of_another(client: httpx.AsyncClient) -> None:
    await client.get("/api/v1/")

    assert (await client.get("/")).json()["links"]["health"] == "/health"


async def test_a_prediction_that_is_too_large_names_its_results(settings: Settings, app: FastAPI) -> None:
    store = state_of(app).resources.database
    running = await jobs.running(store)
    await jobs.complete(store, running)
    job = await jobs.read(store, running.id)

    with links.under("/ml"), pytest.raises(PredictionTooLarge) as refused:
        predictions.read_predictions(job, 1.0)

    assert refused.value.facts["url"] == f"/ml/jobs/{job.id}/results"
