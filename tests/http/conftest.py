"""A small application that stands on app.http alone, for routes made up by a test."""

from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import FastAPI

from app.http import problems
from app.http.middleware import BodyBounds, RequestMiddleware

BODY_LIMIT = 2_000_000


@pytest.fixture
def stand() -> FastAPI:
    application = FastAPI(redirect_slashes=False)
    problems.install(application)
    application.add_middleware(RequestMiddleware, bounds=BodyBounds(max_bytes=BODY_LIMIT))
    return application


@pytest.fixture
async def visitor(stand: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(stand), base_url="http://test") as client:
        yield client
