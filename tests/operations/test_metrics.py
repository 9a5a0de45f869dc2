"""What Prometheus scrapes: the queues as they are, the requests by route, and nobody by name."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta

import asyncpg
import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from app.core import ids
from app.core.database import Database
from app.core.resources import Resources
from app.jobs.kinds import registry
from app.jobs.states import Priority
from app.jobs.workers import commands as workers
from app.maintenance import commands
from app.operations import gauges
from tests.support import jobs, rows
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


async def measure(database: Database) -> None:
    """Measure as the maintenance loop does every few seconds."""
    async with database.transaction() as connection:
        await commands.measure(connection, totals_after=timedelta(0))


async def test_the_numbers_of_a_queue_are_those_that_were_measured(
    client: httpx.AsyncClient, store: Database
) -> None:
    for _ in range(3):
        await jobs.create(store)
    await jobs.create(store, delay=timedelta(hours=1))
    await jobs.create(store, queue="made-up")
    await jobs.create(store, queue="made-up-too")
    await jobs.claim(store)
    await measure(store)

    series = await scrape(client)

    normal = {"queue": "default", "priority": "normal"}
    assert value(series, "headrace_queue_jobs", **normal, state="due") == 2
    assert value(series, "headrace_queue_jobs", **normal, state="delayed") == 1
    assert value(series, "headrace_queue_jobs", **normal, state="running") == 1
    assert value(series, "headrace_queue_jobs", queue="other", priority="normal", state="due") == 2
    assert (value(series, "headrace_queue_oldest_seconds", queue="default") or 0) > 0
    assert value(series, "headrace_jobs_active", kind="batch_predict", status="pending") == 5
    assert value(series, "headrace_jobs_active", kind="batch_predict", status="running") == 1
    assert value(series, "headrace_jobs_active", kind="train_model", status="running") == 0
    measured_at = await rows.value(store, "SELECT extract(epoch FROM measured_at) FROM system_stats")
    shown_at = value(series, "headrace_queue_stats_timestamp_seconds")
    assert shown_at == pytest.approx(float(measured_at), abs=1e-3)


async def test_due_jobs_of_a_paused_queue_are_not_late_and_need_no_worker(
    client: httpx.AsyncClient, store: Database
) -> None:
    worker_id = await jobs.worker(store)
    await jobs.create(store)
    await jobs.claim(store, worker_id)
    await jobs.create(store)
    await jobs.create(store, delay=timedelta(hours=1))
    await rows.execute(store, "UPDATE jobs SET run_at = run_at - interval '1 minute'")
    await measure(store)
    await rows.execute(store, "INSERT INTO paused_queues (name, reason) VALUES ('default', 'Repair.')")

    series = await scrape(client)

    for state, count in (("due", 0), ("delayed", 1), ("running", 1), ("paused", 1)):
        labels = {"queue": "default", "priority": "normal", "state": state}
        assert value(series, "headrace_queue_jobs", **labels) == count, state
    assert value(series, "headrace_queue_oldest_seconds", queue="default") == 0
    assert value(series, "headrace_jobs_active", kind="batch_predict", status="pending") == 2
    await rows.execute(store, "DELETE FROM paused_queues")
    series = await scrape(client)
    assert (value(series, "headrace_queue_oldest_seconds", queue="default") or 0) >= 60


async def test_a_queue_that_has_emptied_is_gone(client: httpx.AsyncClient, store: Database) -> None:
    job_id = await jobs.create(store, priority=Priority.LOW)
    await measure(store)
    before = await scrape(client)
    await jobs.cancel(store, job_id)
    await measure(store)
    after = await scrape(client)

    labels = {"queue": "default", "priority": "low", "state": "due"}
    assert value(before, "headrace_queue_jobs", **labels) == 1
    assert value(after, "headrace_queue_jobs", **labels) is None


async def test_workers_and_their_slots_are_read_at_the_scrape(
    client: httpx.AsyncClient, store: Database
) -> None:
    busy, draining, lost = [await jobs.worker(store, slots=3) for _ in range(3)]
    await jobs.create(store)
    await jobs.create(store)
    await jobs.claim(store, busy)
    await jobs.claim(store, draining)
    async with store.connection() as connection:
        await workers.mark_stopping(connection, draining)
    await jobs.expire_lease(store, lost)

    series = await scrape(client)

    assert value(series, "headrace_workers", state="live") == 1
    assert value(series, "headrace_workers", state="draining") == 1
    assert value(series, "headrace_workers", state="lost") == 1
    assert value(series, "headrace_queue_slots", queue="default", state="busy") == 1
    assert value(series, "headrace_queue_slots", queue="default", state="idle") == 2


async def test_a_served_queue_without_jobs_shows_zeros(client: httpx.AsyncClient, store: Database) -> None:
    await jobs.worker(store)
    await measure(store)

    series = await scrape(client)

    assert value(series, "headrace_queue_oldest_seconds", queue="default") == 0
    assert value(series, "headrace_queue_jobs", queue="default", priority="normal", state="due") == 0
    assert value(series, "headrace_dead_letters", kind="batch_predict") == 0
    assert value(series, "headrace_subscriptions", channel="webhook", status="disabled") == 0
    assert value(series, "headrace_delivery_oldest_seconds", channel="webhook") == 0
    assert value(series, "headrace_delivery_seconds_count", channel="webhook") is not None


async def test_the_totals_are_shown(client: httpx.AsyncClient, store: Database) -> None:
    await jobs.fail(store, await jobs.running(store), is_retryable=False)
    await measure(store)
    unfolded = await scrape(client)
    await rows.execute(store, "UPDATE system_stats SET folded_until = to_timestamp(1700000000)")
    folded = await scrape(client)

    assert value(unfolded, "headrace_dead_letters", kind="batch_predict") == 1
    assert (value(unfolded, "headrace_database_bytes") or 0) > 1_000_000
    assert value(folded, "headrace_statistics_folded_timestamp_seconds") == 1_700_000_000


class Logged(Database):
    """A database that lists the statements it was sent."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.sent: list[str] = []

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[asyncpg.Connection]:
        async with self._database.connection() as connection:
            with connection.query_logger(lambda query: self.sent.append(query.query)):
                yield connection
                await asyncio.sleep(0)  # asyncpg calls its listeners at the next turn of the loop


async def test_a_scrape_is_one_statement(resources: Resources) -> None:
    """Each API process is scraped every few seconds."""
    logged = Logged(resources.database)

    await gauges.read_metrics(replace(resources, database=logged), registry.BUILT_IN, "")

    assert len(logged.sent) == 1


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
