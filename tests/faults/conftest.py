"""A whole system for each fault: an API and workers that are processes, on servers that may be broken.

Where a worker is what goes wrong, the API may as well live in the test's own process: `ada` is a client of
that one. Where the API or a server goes wrong, `system.api()` is a process too.
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from app.core.config import Settings, load_settings
from app.core.database import Database, open_database
from app.embedded.postgres import EmbeddedPostgres
from app.embedded.valkey import EmbeddedValkey
from tests.conftest import Servers
from tests.kinds_for_tests import PLUGIN
from tests.support import apis, processes, proxy
from tests.support.apis import Api
from tests.support.processes import Process
from tests.support.proxy import PostgresProxy, Proxy

LEASE_SECONDS = 2.0
TIME_LIMIT_SECONDS = 300
"""Some seconds are enough, but other tests may want the processors too, and these start many processes."""


@pytest.hookimpl(tryfirst=True)  # before -m chooses among the marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give these tests, and no others, more time."""
    for item in items:
        if item.path.parent == Path(__file__).parent:
            item.add_marker(pytest.mark.timeout(TIME_LIMIT_SECONDS))


@dataclass(frozen=True)
class System:
    """What the processes of one test have in common, and the way to start one."""

    settings: Settings
    headers: dict[str, str]
    folder: Path

    def api(self, name: str = "api", **more: str) -> AbstractAsyncContextManager[Api]:
        """An API process during a `with`."""
        log_path = self.folder / f"{name}.log"
        return apis.api(self.settings, log_path, self.headers, **({"PLUGINS": PLUGIN} | more))

    @asynccontextmanager
    async def worker(self, name: str = "worker", **more: str) -> AsyncIterator[Process]:
        """A worker process during a `with`, ready to take jobs."""
        environment = processes.environment(self.settings, PLUGINS=PLUGIN, WORKER_NAME=name) | more
        log_path = self.folder / f"{name}.log"
        async with processes.python("-m", "worker", env=environment, log_path=log_path) as process:
            await process.wait_for_log("worker_started")
            yield process

    @property
    def counter(self) -> Path:
        """The file in which `count` notes each batch that it has computed."""
        return self.folder / "computed"


@pytest.fixture
def postgres(servers: Servers) -> EmbeddedPostgres:
    """The server of all tests of this process. Whoever breaks it mends it."""
    return servers.embedded.postgres


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[EmbeddedValkey]:
    """A server of the test's own."""
    server = EmbeddedValkey(tmp_path / "valkey")
    server.start()
    yield server
    server.stop()


@pytest.fixture
def redis_url(valkey: EmbeddedValkey) -> str:
    """The test's own server."""
    return valkey.url


@pytest.fixture
def settings(database_url: str, redis_url: str, tmp_path: Path) -> Settings:
    """Leases that are short, and still longer than a busy machine lets a living worker wait."""
    return load_settings(
        _env_file=None,
        database_url=database_url,
        redis_url=redis_url,
        storage_url=(tmp_path / "storage").as_uri(),
        worker_port=None,
        worker_slots=2,
        lease_seconds=LEASE_SECONDS,
        heartbeat_seconds=0.25,
        drain_seconds=2.0,
        retry_base_seconds=0.05,
        plugins=(PLUGIN,),
    )


@pytest.fixture
async def database(settings: Settings) -> AsyncIterator[Database]:
    """The test's own way to Postgres, past every proxy."""
    async with open_database(settings.database_url, pool_size=4) as opened:
        yield opened


@pytest.fixture
async def system(settings: Settings, database: Database, tmp_path: Path) -> System:
    """A system in which nothing runs yet but the servers, and ada has signed in."""
    return System(settings, await apis.sign_in(settings, database), tmp_path)


@pytest.fixture
async def ada(app: FastAPI, system: System) -> AsyncIterator[httpx.AsyncClient]:
    """A signed-in client of an API in this process."""
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(
        transport=transport, base_url="http://test", headers=system.headers
    ) as client:
        yield client


@pytest.fixture
async def postgres_proxy(postgres: EmbeddedPostgres) -> AsyncIterator[PostgresProxy]:
    """A network in front of Postgres."""
    async with proxy.proxy_postgres(postgres) as opened:
        yield opened


@pytest.fixture
async def redis_proxy(valkey: EmbeddedValkey) -> AsyncIterator[Proxy]:
    """A network in front of Redis."""
    async with proxy.proxy_valkey(valkey) as opened:
        yield opened
