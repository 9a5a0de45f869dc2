"""Shared fixtures: one Postgres and one Valkey per test process, and an empty database per test."""

import gc
import os
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import structlog
from fastapi import FastAPI
from hypothesis import HealthCheck
from hypothesis import settings as examples
from redis import Redis

from app.core.config import Settings, load_settings
from app.core.database import Database
from app.core.forking.fork_server import ForkServer
from app.core.resources import Resources, open_resources
from app.core.storage import Storage
from app.datasets import processes as dataset_processes
from app.datasets.import_limits import ImportLimits
from app.embedded.servers import EmbeddedServers
from app.jobs.times import JobTimes
from app.main import create_app
from app.streams.times import StreamTimes
from tests.support import measured, processes, selection, shared_postgres, zygote
from tests.support.accounts import Account, sign_in
from tests.support.app_state import state_of
from tests.support.databases import Databases
from tests.support.processes import Process
from worker.training import threads

PASSWORD = "a long enough passphrase"

gc.disable()  # until all tests are collected

# A shell lets programs in the background ignore SIGINT, and every process of the tests would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

# No test depends on the machine's speed: by default, an example that takes longer than 200 ms fails.
examples.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
examples.load_profile("patient")

# structlog's own tracebacks take seconds on a busy machine, longer than a transaction may be idle.
structlog.configure(
    processors=[
        *structlog.get_config()["processors"][:-1],
        structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback),
    ]
)

# Faster, and commits still survive a kill of the server, because the kernel has the data. Only a crash of the
# machine would lose them.
NOT_DURABLE = {"fsync": "off", "full_page_writes": "off"}

CONNECT_SECONDS = 30.0
"""Generous: concurrent requests share few connections, and no test depends on the machine's speed."""

SignUp = Callable[[str], Awaitable[dict[str, str]]]
StartWorker = Callable[..., AbstractAsyncContextManager[Process]]
MakePlugin = Callable[..., str]


@pytest.hookimpl(wrapper=True, tryfirst=True)  # before -m chooses among the marks, and after
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> Iterator[None]:
    """Mark each test `fast`, `server` or `long`, and order those that are left for the workers of xdist."""
    for item in items:
        selection.mark(item)
    yield
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    if workers > 1 and not config.pluginmanager.has_plugin("randomly"):
        items[:] = selection.order(items, workers)


def pytest_collection_finish() -> None:
    """Collect garbage again, but never look through what was imported and collected: it stays."""
    gc.freeze()
    gc.enable()


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Skip the import of files that `-m fast` would deselect."""
    return selection.is_excluded(collection_path, config.option.markexpr) or None


def pytest_sessionfinish() -> None:
    """Stop the process that forked the programs of the tests."""
    zygote.stop()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """List what tests measured."""
    measured.report(terminalreporter)


@dataclass(frozen=True)
class Servers:
    """The servers of this test process and its databases."""

    embedded: EmbeddedServers
    databases: Databases


@pytest.fixture(scope="session")
def server_root() -> Iterator[Path]:
    """Folder for the servers' data.

    Not below pytest's temporary directory: when another pytest process starts, it makes that inaccessible to
    other users, and under root Postgres runs as another user.
    """
    with tempfile.TemporaryDirectory(prefix="headrace-tests-", ignore_cleanup_errors=True) as folder:
        root = Path(folder)
        root.chmod(0o711)
        yield root


@pytest.fixture
def server_dir(server_root: Path) -> Path:
    """A new data directory for a server that the test starts itself."""
    return Path(tempfile.mkdtemp(dir=server_root))


@pytest.fixture(scope="session")
def servers(server_root: Path) -> Iterator[Servers]:
    """The servers, started once per test process, or with the Postgres that the parent process shares."""
    folder = server_root / "shared"
    if shared_postgres.is_configured():
        with shared_postgres.servers(folder) as embedded:
            databases = Databases(embedded.postgres)
            yield Servers(embedded, databases)
            databases.drop_unused()
            databases.close()
        return
    with EmbeddedServers(folder, postgres_options=NOT_DURABLE) as embedded:
        databases = Databases(embedded.postgres)
        yield Servers(embedded, databases)
        databases.close()
        # No test needs its data any more: dropping the databases and writing a checkpoint would take long.
        embedded.postgres.kill()


@pytest.fixture
def database_url(servers: Servers) -> Iterator[str]:
    """URL of an empty, migrated database."""
    with servers.databases.migrated() as url:
        yield url


@pytest.fixture
def redis_url(servers: Servers) -> str:
    """URL of an empty Redis."""
    url = servers.embedded.valkey.url
    with Redis.from_url(url) as client:
        client.flushall()
    return url


@pytest.fixture(scope="session")
def common_settings() -> Settings:
    """What the settings of all tests have in common: reading settings takes longer than many a test.

    Leases are short, so that tests do not wait long for a rescue.
    """
    return load_settings(
        _env_file=None,
        database_url="postgresql://unused",
        database_connect_seconds=CONNECT_SECONDS,
        redis_url="redis://unused",
        worker_port=None,
        child_permissions="files,processes",
        worker_slots=2,
        lease_seconds=1.5,
        heartbeat_seconds=0.25,
        drain_seconds=2.0,
        retry_base_seconds=0.05,
    )


@pytest.fixture
def settings(common_settings: Settings, database_url: str, redis_url: str, tmp_path: Path) -> Settings:
    """Settings for the test's servers."""
    storage_url = (tmp_path / "storage").as_uri()
    own = {"database_url": database_url, "redis_url": redis_url, "storage_url": storage_url}
    return common_settings.model_copy(update=own)


@pytest.fixture
async def resources(settings: Settings) -> AsyncIterator[Resources]:
    """The resources of a process: database, Redis, storage."""
    async with open_resources(settings) as opened:
        yield opened


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """Compute in one thread, as children do: sums must not depend on which test came first."""
    threads.limit_to_one()


@pytest.fixture
def stream_times() -> StreamTimes:
    """Production values; parametrize this fixture to change them."""
    return StreamTimes()


@pytest.fixture
def job_times() -> JobTimes:
    """Production values; parametrize this fixture to change them."""
    return JobTimes()


@pytest.fixture
def import_limits() -> ImportLimits:
    """What an upload may take, as in production; a test that wants others parametrizes this."""
    return ImportLimits()


@pytest.fixture(scope="session")
def conversions() -> Iterator[ForkServer]:
    """The fork server of conversions and profiles, which starts when a test first needs it."""
    server = dataset_processes.make_server()
    yield server
    server.close()


@pytest.fixture
async def app(
    settings: Settings,
    stream_times: StreamTimes,
    job_times: JobTimes,
    import_limits: ImportLimits,
    conversions: ForkServer,
) -> AsyncIterator[FastAPI]:
    """The API, started."""
    application = create_app(settings, stream_times, job_times, import_limits, conversions)
    async with application.router.lifespan_context(application):
        yield application


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """An HTTP client of the started API."""
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as opened:
        yield opened


@pytest.fixture
def sign_up(client: httpx.AsyncClient) -> SignUp:
    """Return a function that creates a user, signs in and returns the authentication headers."""

    async def sign_up(username: str) -> dict[str, str]:
        created = await client.post("/users", json={"username": username, "password": PASSWORD})
        assert created.status_code == 201, created.text
        answer = await client.post("/token", data={"username": username, "password": PASSWORD})
        assert answer.status_code == 200, answer.text
        return {"Authorization": f"Bearer {answer.json()['access_token']}"}

    return sign_up


@pytest.fixture
def store(app: FastAPI) -> Database:
    """The database of the started API."""
    resources = state_of(app).resources
    return resources.database


@pytest.fixture
def storage(app: FastAPI) -> Storage:
    """The storage of the started API."""
    resources = state_of(app).resources
    return resources.storage


@pytest.fixture
async def alice(app: FastAPI) -> Account:
    """A user of the started API."""
    return await sign_in(app, "alice")


@pytest.fixture
async def mallory(app: FastAPI) -> Account:
    """Another user of the started API."""
    return await sign_in(app, "mallory")


@pytest.fixture
def database(resources: Resources) -> Database:
    """The database, for tests that do not start an API."""
    return resources.database


@pytest.fixture
def start_worker(settings: Settings, tmp_path: Path) -> StartWorker:
    """Return a function that runs a worker process with the given name, as a context manager."""

    def start(name: str = "worker", **environment: str) -> AbstractAsyncContextManager[Process]:
        return processes.worker(settings, tmp_path / f"{name}.log", WORKER_NAME=name, **environment)

    return start


@pytest.fixture
def plugins_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on the import path."""
    path = tmp_path / "plugins"
    path.mkdir()
    monkeypatch.syspath_prepend(path)
    return path


@pytest.fixture
def make_plugin(plugins_path: Path) -> Iterator[MakePlugin]:
    """Write a package with these modules and return its name. It is unloaded when the test is over."""
    made: set[str] = set()

    def make_plugin(name: str, **modules: str) -> str:
        package = plugins_path / name
        package.mkdir()
        for module, source in {"__init__": "", **modules}.items():
            (package / f"{module}.py").write_text(source)
        made.add(name)
        return name

    yield make_plugin
    for module in [module for module in sys.modules if module.partition(".")[0] in made]:
        del sys.modules[module]
