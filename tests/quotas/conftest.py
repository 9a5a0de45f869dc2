"""The people of these tests, and the database that the API works on."""

import pytest
from fastapi import FastAPI

from app.core.database import Database
from app.core.resources import Resources
from tests.support.accounts import Account, sign_in


@pytest.fixture
def store(app: FastAPI) -> Database:
    """The database of the started API."""
    resources: Resources = app.state.resources
    return resources.database


@pytest.fixture
async def alice(app: FastAPI) -> Account:
    return await sign_in(app, "alice")


@pytest.fixture
async def mallory(app: FastAPI) -> Account:
    """Somebody else."""
    return await sign_in(app, "mallory")
