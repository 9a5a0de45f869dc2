"""A served API, somebody who is signed in, and the database and hints behind it."""

from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import FastAPI

from app.core.database import Database
from app.core.resources import Resources
from app.streams.hub import Hub
from tests.support.accounts import Account, sign_in
from tests.support.serving import client_of, serving


@pytest.fixture
async def served(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the API on a real server."""
    async with serving(app) as url, client_of(url) as client:
        yield client


@pytest.fixture
async def alice(app: FastAPI) -> Account:
    return await sign_in(app, "alice")


@pytest.fixture
async def mallory(app: FastAPI) -> Account:
    """Somebody else."""
    return await sign_in(app, "mallory")


@pytest.fixture
def opened_resources(app: FastAPI) -> Resources:
    """What the API has opened."""
    resources: Resources = app.state.resources
    return resources


@pytest.fixture
def store(opened_resources: Resources) -> Database:
    """The database of the API."""
    return opened_resources.database


@pytest.fixture
def hub(app: FastAPI) -> Hub:
    """The hub of the API."""
    hub: Hub = app.state.hub
    return hub
