"""An API with the plugins of a test module, and a worker with the same."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import httpx
import pytest

from app.core.config import Settings
from tests.conftest import SignUp
from tests.support import processes

System = Callable[[], AbstractAsyncContextManager[httpx.AsyncClient]]


@pytest.fixture
def settings(request: pytest.FixtureRequest, settings: Settings) -> Settings:
    """The usual settings, with the module's PLUGINS."""
    return settings.model_copy(update={"plugins": request.module.PLUGINS})


@pytest.fixture
def system(client: httpx.AsyncClient, sign_up: SignUp, settings: Settings, tmp_path: Path) -> System:
    """Enter it for a worker, and a client of the API that is signed in."""

    @asynccontextmanager
    async def system() -> AsyncIterator[httpx.AsyncClient]:
        client.headers.update(await sign_up("ada"))
        environment = processes.environment(settings, PLUGINS=",".join(settings.plugins))
        log_path = tmp_path / "worker.log"
        async with processes.program("worker", env=environment, log_path=log_path) as worker:
            await worker.wait_for_log("worker_started")
            yield client

    return system
