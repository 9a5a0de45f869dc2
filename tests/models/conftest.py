"""The people of these tests, the database that the API works on, and workers that are processes."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest
from fastapi import FastAPI

from app.core.config import Settings
from app.core.database import Database
from app.core.resources import Resources
from app.core.storage import Storage
from tests.support import processes
from tests.support.accounts import Account, sign_in
from tests.support.processes import Process

StartWorker = Callable[[], AbstractAsyncContextManager[Process]]


@pytest.fixture
def store(app: FastAPI) -> Database:
    """The database of the started API."""
    resources: Resources = app.state.resources
    return resources.database


@pytest.fixture
def storage(app: FastAPI) -> Storage:
    """The storage of the started API."""
    resources: Resources = app.state.resources
    return resources.storage


@pytest.fixture
async def alice(app: FastAPI) -> Account:
    return await sign_in(app, "alice")


@pytest.fixture
async def mallory(app: FastAPI) -> Account:
    """Somebody else."""
    return await sign_in(app, "mallory")


@pytest.fixture
def start_worker(settings: Settings, tmp_path: Path) -> StartWorker:
    """Run a worker during a `with`."""
    return lambda: processes.worker(settings, tmp_path / "worker.log")
