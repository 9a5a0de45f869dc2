"""Health tells the truth: what is there, what is not, and what still works."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from app.cli.migrations import migrate
from app.core.config import Settings
from app.core.database import Database
from app.core.version import VERSION
from app.embedded.postgres import EmbeddedPostgres
from app.main import create_app
from tests.support import jobs
from tests.support.accounts import Account, sign_in
from tests.support.app_state import state_of
from tests.support.waiting import until

NOBODY_THERE = "unix:///nowhere/at/all.sock"


def client_of(app: FastAPI) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://test")


async def test_with_both_servers_and_a_worker_all_is_well(client: httpx.AsyncClient, store: Database) -> None:
    await jobs.worker(store)

    answer = await client.get("/health")

    assert answer.status_code == 200
    health = answer.json()
    loops = health.pop("loops")
    assert health == {
        "status": "ok",
        "version": VERSION,
        "db_connected": True,
        "redis_connected": True,
        "workers": 1,
        "model_loaded": True,
    }
    assert all(loops.values())
    assert {"rescue", "wake", "prune"} <= set(loops)


async def test_without_a_worker_the_system_is_degraded(client: httpx.AsyncClient, store: Database) -> None:
    await jobs.expire_lease(store, await jobs.worker(store))

    answer = await client.get("/health")

    assert (answer.status_code, answer.json()["status"]) == (200, "degraded")
    assert (answer.json()["workers"], answer.json()["model_loaded"]) == (0, False)


@pytest.fixture
async def app_without_redis(settings: Settings) -> AsyncIterator[FastAPI]:
    app = create_app(settings.model_copy(update={"redis_url": NOBODY_THERE}))
    async with app.router.lifespan_context(app):
        yield app


async def test_without_redis_the_system_is_degraded_and_everything_works(app_without_redis: FastAPI) -> None:
    who = await sign_in(app_without_redis, "alice")
    store = state_of(app_without_redis).resources.database
    async with client_of(app_without_redis) as client:
        created = await client.post("/jobs/batch-predict", json=["x"], headers=who.headers)
        path = created.json()["poll_url"]
        await jobs.complete(store, await jobs.claim(store))
        health = await client.get("/health")
        job = await client.get(path, headers=who.headers)
        results = await client.get(f"{path}/results", headers=who.headers)

    assert created.status_code == 202
    assert (health.status_code, health.json()["status"]) == (200, "degraded")
    assert (health.json()["redis_connected"], health.json()["db_connected"]) == (False, True)
    assert job.json()["status"] == "completed"
    assert len(results.json()["items"]) == 1


@pytest.fixture
def own_postgres(server_dir: Path) -> Iterator[EmbeddedPostgres]:
    """A Postgres that may be stopped without harm to other tests."""
    server = EmbeddedPostgres(server_dir / "postgres", options={"fsync": "off"})
    server.start()
    migrate(server.url)
    yield server
    server.stop()


async def test_without_postgres_the_api_says_so_and_recovers_by_itself(
    own_postgres: EmbeddedPostgres, settings: Settings
) -> None:
    app = create_app(settings.model_copy(update={"database_url": own_postgres.url}))
    async with app.router.lifespan_context(app), client_of(app) as client:
        who = await sign_in(app, "alice")
        assert (await client.get("/jobs", headers=who.headers)).status_code == 200

        await asyncio.to_thread(own_postgres.stop)
        health = await client.get("/health")
        submit = await client.post("/jobs/batch-predict", json=["x"], headers=who.headers)
        listing = await client.get("/jobs", headers=who.headers)
        live, ready = await client.get("/health/live"), await client.get("/health/ready")
        metrics = await client.get("/metrics")

        assert health.status_code == 503
        assert (health.json()["status"], health.json()["db_connected"]) == ("unavailable", False)
        assert (health.json()["workers"], health.json()["redis_connected"]) == (None, True)
        for refused in (submit, listing):
            assert refused.status_code == 503
            assert refused.json()["code"] == "database_unavailable"
            assert int(refused.headers["retry-after"]) > 0
        # Or every replica would leave the load balancer, and callers would lose our own 503.
        assert (live.status_code, ready.status_code, metrics.status_code) == (200, 200, 200)

        await asyncio.to_thread(own_postgres.start)
        await until(lambda: answers(client, who))

        created = await client.post("/jobs/batch-predict", json=["x"], headers=who.headers)
        assert created.status_code == 202


async def answers(client: httpx.AsyncClient, who: Account) -> bool:
    return (await client.get("/jobs", headers=who.headers)).status_code == 200


async def test_a_process_that_goes_away_takes_no_more_requests(
    client: httpx.AsyncClient, app: FastAPI
) -> None:
    hub = state_of(app).hub
    before = await client.get("/health/ready")

    hub.close()

    after = await client.get("/health/ready")
    status = await client.get("/shutdown-status")
    assert (before.status_code, after.status_code) == (200, 503)
    assert (status.json()["accepting_new_jobs"], status.json()["shutdown_initiated"]) == (False, True)
    assert (await client.get("/health/live")).status_code == 200


async def test_the_shutdown_status_says_how_many_jobs_run(client: httpx.AsyncClient, store: Database) -> None:
    await jobs.running(store)
    await jobs.create(store)

    status = await client.get("/shutdown-status")

    assert status.json() == {
        "accepting_new_jobs": True,
        "accepting_new_tasks": True,
        "active_jobs": 1,
        "active_tasks": 1,
        "shutdown_initiated": False,
    }


async def test_browsers_come_from_the_front_page_to_the_dashboard(client: httpx.AsyncClient) -> None:
    answer = await client.get("/", headers={"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"})

    assert (answer.status_code, answer.headers["location"]) == (303, "dashboard/")


async def test_the_front_page_leads_on(client: httpx.AsyncClient) -> None:
    front_page = (await client.get("/")).json()

    assert (front_page["name"], front_page["version"]) == ("Headrace", VERSION)
    for link in front_page["links"].values():
        assert (await client.get(link)).status_code == 200
