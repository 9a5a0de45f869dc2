"""Fixtures for fault tests: API and worker processes on servers that tests may kill or put behind a proxy.

Tests of worker faults use `ada`, a client of an API in the test process. Tests of API and server faults start
an API process with `system.api()`.
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
"""Generous: these tests start many processes and may run beside other tests."""


@pytest.hookimpl(tryfirst=True)  # before -m chooses among the marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Raise the timeout of the tests in this folder."""
    for item in items:
        if item.path.parent == Path(__file__).parent:
            item.add_marker(pytest.mark.timeout(TIME_LIMIT_SECONDS))


@dataclass(frozen=True)
class System:
    """Starts the processes of one test with shared settings."""

    settings: Settings
    headers: dict[str, str]
    folder: Path
    root: Path = processes.ROOT
    """The source tree of the workers."""

    def api(self, name: str = "api", **more: str) -> AbstractAsyncContextManager[Api]:
        """Run an API process, as a context manager."""
        log_path = self.folder / f"{name}.log"
        return apis.api(self.settings, log_path, self.headers, **({"PLUGINS": PLUGIN} | more))

    def starting_worker(self, name: str, **more: str) -> AbstractAsyncContextManager[Process]:
        """Run a worker process, which may not be ready yet, as a context manager."""
        environment = processes.environment(self.settings, PLUGINS=PLUGIN, WORKER_NAME=name) | more
        return processes.program(
            "worker", env=environment, log_path=self.folder / f"{name}.log", root=self.root
        )

    @asynccontextmanager
    async def worker(self, name: str = "worker", **more: str) -> AsyncIterator[Process]:
        """Run a worker process, ready to take jobs, during the body."""
        async with self.starting_worker(name, **more) as process:
            await process.wait_for_log("worker_started")
            yield process

    @property
    def counter(self) -> Path:
        """File in which the kind `count` records each computed batch."""
        return self.folder / "computed"


@pytest.fixture
def postgres(servers: Servers) -> EmbeddedPostgres:
    """The Postgres of this test process, shared by all tests: a test that breaks it must repair it."""
    return servers.embedded.postgres


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[EmbeddedValkey]:
    """A Valkey for this test only."""
    server = EmbeddedValkey(tmp_path / "valkey")
    server.start()
    yield server
    server.stop()


@pytest.fixture
def redis_url(valkey: EmbeddedValkey) -> str:
    """URL of this test's Valkey."""
    return valkey.url


@pytest.fixture
def settings(database_url: str, redis_url: str, tmp_path: Path) -> Settings:
    """Settings with short leases that are still longer than a worker can be delayed on a busy machine."""
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
    """A direct connection to Postgres that bypasses every proxy."""
    async with open_database(settings.database_url, pool_size=4) as opened:
        yield opened


@pytest.fixture
async def system(settings: Settings, database: Database, tmp_path: Path) -> System:
    """A system with running servers and a signed-in user, without API and worker processes."""
    return System(settings, await apis.sign_in(settings, database), tmp_path)


@pytest.fixture
async def ada(app: FastAPI, system: System) -> AsyncIterator[httpx.AsyncClient]:
    """An authenticated client of an API in the test process."""
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(
        transport=transport, base_url="http://test", headers=system.headers
    ) as client:
        yield client


@pytest.fixture
async def postgres_proxy(postgres: EmbeddedPostgres) -> AsyncIterator[PostgresProxy]:
    """A fault-injecting proxy in front of Postgres."""
    async with proxy.proxy_postgres(postgres) as opened:
        yield opened


@pytest.fixture
async def redis_proxy(valkey: EmbeddedValkey) -> AsyncIterator[Proxy]:
    """A fault-injecting proxy in front of Redis."""
    async with proxy.proxy_valkey(valkey) as opened:
        yield opened
