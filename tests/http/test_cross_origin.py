"""Pages of other sites call the API only from the origins in ALLOWED_ORIGINS."""

from collections.abc import AsyncIterator

import httpx
import pytest

from app.core.config import Settings
from app.main import create_app

ALLOWED = "https://dashboard.example.org"
PREFLIGHT = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}


@pytest.fixture
async def cross_origin(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    application = create_app(settings.model_copy(update={"allowed_origins": (ALLOWED,)}))
    async with (
        application.router.lifespan_context(application),
        httpx.AsyncClient(transport=httpx.ASGITransport(application), base_url="http://api") as client,
    ):
        yield client


async def test_a_page_of_an_allowed_origin_may_ask_and_read(cross_origin: httpx.AsyncClient) -> None:
    preflight = await cross_origin.options("/jobs/batch-predict", headers={"Origin": ALLOWED, **PREFLIGHT})
    assert preflight.status_code == 200
    assert preflight.headers["access-control-allow-origin"] == ALLOWED
    assert "POST" in preflight.headers["access-control-allow-methods"]
    assert preflight.headers["access-control-allow-headers"] == "authorization"

    refused = await cross_origin.get("/jobs", headers={"Origin": ALLOWED})
    assert refused.status_code == 401  # the page can read even an error
    assert refused.headers["access-control-allow-origin"] == ALLOWED
    assert "Retry-After" in refused.headers["access-control-expose-headers"]
    assert "access-control-allow-credentials" not in refused.headers


async def test_a_page_of_another_origin_may_not(cross_origin: httpx.AsyncClient) -> None:
    stranger = {"Origin": "https://elsewhere.example.org"}

    preflight = await cross_origin.options("/jobs/batch-predict", headers={**stranger, **PREFLIGHT})
    assert preflight.status_code == 400
    assert "access-control-allow-origin" not in preflight.headers
    assert "access-control-allow-origin" not in (await cross_origin.get("/", headers=stranger)).headers


async def test_by_default_no_other_origin_may(client: httpx.AsyncClient) -> None:
    found = await client.get("/", headers={"Origin": ALLOWED})
    preflight = await client.options("/jobs/batch-predict", headers={"Origin": ALLOWED, **PREFLIGHT})

    assert "access-control-allow-origin" not in found.headers
    assert "access-control-allow-origin" not in preflight.headers
