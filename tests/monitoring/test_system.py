"""A real API and a real worker: what they count, and that their series stay few whatever users do."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx

from app.core import ids
from app.core.config import Settings
from app.core.database import Database
from app.core.metrics import MAX_QUEUES
from app.jobs.states import FINAL
from tests.kinds_for_tests import PLUGIN
from tests.monitoring import pages
from tests.monitoring.scraping import scrape
from tests.support import apis, jobs, rows
from tests.support.waiting import until

MAX_SERIES = 4000
USER = "ada-lovelace"

_ID = re.compile(r"[0-9a-f]{8}-?([0-9a-f]{4}-?){3}[0-9a-f]{12}")
_PARAMETER = re.compile(r"\{[^}]*\}")


@asynccontextmanager
async def an_api(settings: Settings, database: Database, folder: Path) -> AsyncIterator[httpx.AsyncClient]:
    headers = await apis.sign_in(settings, database, USER)
    async with apis.api(settings, folder / "api.log", headers, PLUGINS=PLUGIN) as api:
        yield api.client


@asynccontextmanager
async def a_worker(settings: Settings, folder: Path) -> AsyncIterator[httpx.AsyncClient]:
    """The client of a worker's port."""
    async with pages.worker(settings, folder, PLUGINS=PLUGIN) as scraper:
        yield scraper.client


async def submit(client: httpx.AsyncClient, kind: str, **body: Any) -> UUID:
    answer = await client.post(f"/jobs/{kind}", json=body)
    assert answer.status_code == 202, answer.text
    return UUID(answer.json()["job_id"])


async def until_ended(database: Database, job_ids: list[UUID]) -> None:
    async def have_ended() -> bool:
        found = await rows.fetch(
            database, "SELECT FROM jobs WHERE id = ANY ($1) AND status = ANY ($2)", job_ids, [*FINAL]
        )
        return len(found) == len(job_ids)

    await until(have_ended)


async def test_each_process_counts_what_happened_in_it(
    settings: Settings, database: Database, tmp_path: Path
) -> None:
    async with an_api(settings, database, tmp_path) as client, a_worker(settings, tmp_path) as worker:
        submitted = [
            await submit(client, "count", batches=5, rows_per_batch=4, work_ms=10),
            await submit(client, "refuse", batches=2),
            await submit(client, "exit", max_attempts=1),
        ]
        await until_ended(database, submitted)

        async def has_counted() -> bool:
            """Whether all is counted: a moment after the ends are committed."""
            return sum((await scrape(worker)).nonzero("headrace_attempts_total").values()) == 3

        await until(has_counted)
        counted, shown = await scrape(worker), await scrape(client)

    assert counted.nonzero("headrace_jobs_ended_total") == {
        frozenset({("kind", kind), ("queue", "default"), ("status", status), ("fault", fault)}): 1
        for kind, status, fault in (
            ("count", "completed", "none"),
            ("refuse", "failed", "user"),
            ("exit", "failed", "system"),
        )
    }
    assert counted.nonzero("headrace_attempts_total") == {
        frozenset({("kind", kind), ("outcome", outcome), ("fault", fault)}): 1
        for kind, outcome, fault in (
            ("count", "completed", "none"),
            ("refuse", "failed", "user"),
            ("exit", "failed", "system"),
        )
    }
    assert counted.value("headrace_rows_total", kind="count") == 20
    assert counted.value("headrace_rows_total", kind="refuse") == 2
    assert counted.value("headrace_rows_total", kind="exit") == 0
    assert (counted.value("headrace_cpu_seconds_total", kind="count") or 0) >= 0.05
    assert counted.value("headrace_claims_total", result="job") == 3
    assert counted.value("headrace_wait_seconds_count", queue="default") == 3
    assert shown.nonzero("headrace_jobs_created_total") == {
        frozenset({("kind", kind), ("queue", "default")}): 1 for kind in ("count", "refuse", "exit")
    }
    assert shown.nonzero("headrace_jobs_ended_total") == {}


async def tour(client: httpx.AsyncClient) -> None:
    """Use every route, with an id that exists nowhere."""
    document = (await client.get("/openapi.json")).json()
    for path, operations in document["paths"].items():
        if "/stream" in path:
            continue  # a stream does not end
        for method in operations:
            await client.request(method.upper(), _PARAMETER.sub(str(ids.new_id()), path), json={})


async def test_the_series_stay_few_whatever_users_name(
    settings: Settings, database: Database, tmp_path: Path
) -> None:
    """With as many queues as have labels, and more."""
    worker_id = await jobs.worker(database)
    queues = [f"served-{number}" for number in range(2 * MAX_QUEUES)]
    await rows.execute(database, "UPDATE workers SET queues = $2 WHERE id = $1", worker_id, queues)
    async with an_api(settings, database, tmp_path) as client, a_worker(settings, tmp_path) as worker:

        async def is_measured() -> bool:
            return await rows.value(database, "SELECT measured_at FROM system_stats") is not None

        await until(is_measured)
        await tour(client)
        await submit(client, "batch-predict", texts=["x"], queue="named-once", model="sentiment")
        before = {"api": await scrape(client), "worker": await scrape(worker)}

        bulk = [{"kind": "batch_predict", "texts": ["x"], "queue": f"named-{n}"} for n in range(1000)]
        assert (await client.post("/jobs/bulk", json={"jobs": bulk})).status_code == 202
        for number in range(100):
            await client.request(f"METHOD{number}", f"/made/up/{number}")
        await rows.execute(database, "UPDATE system_stats SET measured_at = NULL")
        await until(is_measured)
        after = {"api": await scrape(client), "worker": await scrape(worker)}

    for name, page in after.items():
        new = page.series.keys() - before[name].series.keys()
        # Not those of the routes and methods that this test has used only now, nor of a loop's first success.
        rest = {
            labels for series, labels in new if not series.startswith(("headrace_http_", "headrace_loop_"))
        }
        assert rest == set(), name
        assert len(page.series) <= MAX_SERIES, name
        assert not [value for value in page.label_values if _ID.search(value)], name
        assert not page.label_values & {USER, "sentiment", "named-once", "named-7"}, name
