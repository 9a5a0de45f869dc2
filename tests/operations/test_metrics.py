"""What Prometheus scrapes: the queues as they are, the requests by route, and nobody by name."""

import re
from datetime import timedelta

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from app.core import ids
from app.core.database import Database
from tests.support import jobs
from tests.support.accounts import Account

Series = dict[tuple[str, frozenset[tuple[str, str]]], float]

_UUID = re.compile(r"[0-9a-f]{8}-?([0-9a-f]{4}-?){3}[0-9a-f]{12}")


async def scrape(client: httpx.AsyncClient) -> Series:
    """Every series by its name and labels."""
    answer = await client.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain")
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def value(series: Series, name: str, **labels: str) -> float | None:
    return series.get((name, frozenset(labels.items())))


async def test_the_depth_of_a_queue_is_what_is_due(client: httpx.AsyncClient, store: Database) -> None:
    for _ in range(3):
        await jobs.create(store)
    await jobs.create(store, delay=timedelta(hours=1))
    await jobs.create(store, queue="gpu")
    await jobs.claim(store)

    series = await scrape(client)

    assert value(series, "headrace_queue_depth", queue="default") == 2
    assert value(series, "headrace_queue_depth", queue="gpu") == 1
    assert (value(series, "headrace_queue_oldest_seconds", queue="default") or 0) > 0
    assert value(series, "headrace_jobs_active", kind="batch_predict", status="pending") == 4
    assert value(series, "headrace_jobs_active", kind="batch_predict", status="running") == 1
    assert value(series, "headrace_workers_alive") == 1


async def test_a_queue_that_has_emptied_is_gone(client: httpx.AsyncClient, store: Database) -> None:
    job_id = await jobs.create(store, queue="short-lived")
    before = await scrape(client)
    await jobs.cancel(store, job_id)
    after = await scrape(client)

    assert value(before, "headrace_queue_depth", queue="short-lived") == 1
    assert value(after, "headrace_queue_depth", queue="short-lived") is None


async def test_a_request_is_counted_under_its_route(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    labels = {"method": "GET", "route": "/jobs/{job_id}", "status": "200"}
    before = value(await scrape(client), "headrace_http_requests_total", **labels) or 0

    for _ in range(3):
        job_id = await jobs.create(store, alice.id)
        assert (await client.get(f"/jobs/{job_id}", headers=alice.headers)).status_code == 200

    after = await scrape(client)
    assert value(after, "headrace_http_requests_total", **labels) == before + 3


async def test_paths_that_somebody_makes_up_make_no_series(client: httpx.AsyncClient) -> None:
    for path in (f"/{ids.new_id()}", f"/jobs/{ids.new_id()}"):
        await client.get(path)
        await client.request("MADE-UP", path)
    await scrape(client)  # whose own series is there only afterwards
    before = await scrape(client)

    for number in range(500):
        await client.get(f"/made/up/{number}")
        await client.request(f"METHOD{number}", f"/jobs/{ids.new_id()}")

    after = await scrape(client)
    assert set(after) - set(before) == set()


@pytest.mark.parametrize("prefix", ["", "/api/v1"])
async def test_no_label_names_a_user_or_a_job(
    client: httpx.AsyncClient, alice: Account, store: Database, prefix: str
) -> None:
    created = await client.post(f"{prefix}/jobs/batch-predict", json=["x"], headers=alice.headers)
    job = await jobs.claim(store)
    for path in ("", "/results", "/events"):
        await client.get(f"{prefix}/jobs/{job.id}{path}", headers=alice.headers)
    await client.get(f"{prefix}/users/me", headers=alice.headers)

    labels = {label for _, labels in await scrape(client) for _, label in labels}

    assert created.status_code == 202
    assert "alice" not in labels
    assert not [label for label in labels if _UUID.search(label)]


async def test_a_new_job_is_counted(client: httpx.AsyncClient, alice: Account) -> None:
    labels = {"kind": "batch_predict", "queue": "default"}
    before = value(await scrape(client), "headrace_jobs_created_total", **labels) or 0
    headers = {**alice.headers, "Idempotency-Key": "once"}

    for _ in range(2):
        await client.post("/jobs/batch-predict", json=["x"], headers=headers)

    assert value(await scrape(client), "headrace_jobs_created_total", **labels) == before + 1
