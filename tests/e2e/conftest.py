"""A signed-in client of the API, and workers that are processes."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import httpx
import pytest

from app.core.config import Settings
from tests.conftest import SignUp
from tests.support import processes
from tests.support.processes import Process

StartWorker = Callable[[str], AbstractAsyncContextManager[Process]]


@pytest.fixture
async def ada(client: httpx.AsyncClient, sign_up: SignUp) -> httpx.AsyncClient:
    """A client that is signed in as ada."""
    client.headers.update(await sign_up("ada"))
    return client


@pytest.fixture
def start_worker(settings: Settings, tmp_path: Path) -> StartWorker:
    """Run a worker with this name during a `with`."""

    def start(name: str) -> AbstractAsyncContextManager[Process]:
        return processes.worker(settings, tmp_path / f"{name}.log", WORKER_NAME=name)

    return start
