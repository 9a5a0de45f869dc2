"""Health and metrics of the API on a port of their own, which no Service exposes."""

from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import FastAPI
from structlog.testing import capture_logs

from app.core.config import Settings
from app.main import create_app
from tests.support import jobs
from tests.support.app_state import state_of


@pytest.fixture
async def api(settings: Settings) -> AsyncIterator[FastAPI]:
    application = create_app(settings.model_copy(update={"metrics_port": 0}))
    with capture_logs() as records:
        async with application.router.lifespan_context(application):
            [record] = [record for record in records if record["event"] == "health_server_listening"]
            application.state.metrics_port = record["port"]
            yield application


@pytest.fixture
async def public(api: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(api)
    async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
        yield client


@pytest.fixture
async def private(api: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    url = f"http://127.0.0.1:{api.state.metrics_port}"
    async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
        yield client


async def test_the_metrics_are_served_there_and_not_on_the_public_port(
    public: httpx.AsyncClient, private: httpx.AsyncClient, api: FastAPI
) -> None:
    await jobs.worker(state_of(api).resources.database)

    found = await private.get("/metrics")
    assert found.status_code == 200
    assert 'headrace_workers{state="live"} 1.0' in found.text

    refused = await public.get("/metrics")
    assert (refused.status_code, refused.json()["code"]) == (404, "not_found")
    assert "metrics" not in (await public.get("/")).json()["links"]


async def test_it_is_live_and_ready_until_the_process_stops(private: httpx.AsyncClient, api: FastAPI) -> None:
    assert (await private.get("/health/live")).json() == {"status": "ok"}
    assert (await private.get("/health/ready")).json() == {"status": "ok"}

    state_of(api).close_streams()

    stopping = await private.get("/health/ready")
    assert (stopping.status_code, stopping.json()) == (503, {"status": "stopping"})
    assert (await private.get("/health/live")).status_code == 200


async def test_without_the_setting_the_public_port_serves_them(client: httpx.AsyncClient) -> None:
    assert (await client.get("/metrics")).status_code == 200
    assert (await client.get("/")).json()["links"]["metrics"] == "/metrics"
