"""A served API, and the hub and resources behind it."""

from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import FastAPI

from app.core.resources import Resources
from app.streams.hub import Hub
from tests.support import websockets
from tests.support.app_state import state_of
from tests.support.serving import client_of, serving


@pytest.fixture
async def served(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the API on a real server."""
    async with serving(app) as url, client_of(url) as client:
        yield client


@pytest.fixture
async def url(app: FastAPI) -> AsyncIterator[str]:
    """The API on a real server, with WebSockets."""
    async with websockets.serving(app) as url:
        yield url


@pytest.fixture
def opened_resources(app: FastAPI) -> Resources:
    """What the API has opened."""
    return state_of(app).resources


@pytest.fixture
def hub(app: FastAPI) -> Hub:
    """The hub of the API."""
    return state_of(app).hub
