"""The system under test: real servers, API processes and workers, which faults kill and restart."""

import asyncio
import os
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

import httpx
import psutil

from app.cli.migrations import migrate
from app.core.config import Settings, load_settings
from app.core.database import Database, open_database
from app.embedded import launch
from app.embedded.server import EmbeddedServer
from app.embedded.servers import EmbeddedServers
from tests.chaos.options import Options
from tests.kinds_for_tests import PLUGIN
from tests.support import apis, ports, processes, proxy
from tests.support.ports import HOST
from tests.support.processes import ROOT
from tests.support.proxy import PostgresProxy
from tests.support.waiting import until

READY_SECONDS: Final = 60.0
STOP_SECONDS: Final = 20.0
WORKER_STARTED: Final = b"worker_started"

T = TypeVar("T")


class ManagedProcess:
    """An API or worker process of the system."""

    def __init__(
        self,
        name: str,
        arguments: list[str],
        environment: dict[str, str],
        log_path: Path,
        port: int | None = None,
    ) -> None:
        self.name = name
        self.log_path = log_path
        # A fault holds the lock, so that two faults never affect the same process at once.
        self.lock = asyncio.Lock()
        self._arguments = arguments
        self.environment = environment
        self._process: asyncio.subprocess.Process | None = None
        self._port = port
        self._log_start = 0

    async def is_up(self) -> bool:
        """Whether it has installed its signal handlers: before that, SIGTERM kills it."""
        if self._port is None:
            return WORKER_STARTED in self.log_path.read_bytes()[self._log_start :]
        with suppress(OSError):
            _, writer = await asyncio.open_connection(HOST, self._port)
            writer.close()
            return True
        return False

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.returncode is None

    async def start(self) -> None:
        """Start the process. The kernel kills it if the drill dies; Ctrl+C does not reach it."""
        program = [sys.executable, "-I", "-S", launch.__file__, str(os.getpid()), "-1", "-1"]
        with ExitStack() as stack:
            log = stack.enter_context(self.log_path.open("ab"))
            self._log_start = log.tell()
            arguments = list(self._arguments)
            files: tuple[int, ...] = ()
            if self._port is not None:
                # Bound but not listening, so that `is_up` is true only once the process listens.
                address = stack.enter_context(ports.bound(self._port))
                arguments += ["--fd", str(address.fileno())]
                files = (address.fileno(),)
            self._process = await asyncio.create_subprocess_exec(
                *program,
                *(str(int(signal.SIGKILL)), sys.executable, *arguments),
                pass_fds=files,
                env=self.environment,
                cwd=ROOT,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def send(self, number: signal.Signals) -> None:
        if self._process is not None and self.is_running:
            self._process.send_signal(number)

    async def wait(self, seconds: float = STOP_SECONDS) -> int | None:
        """Wait for the process to end; return its exit code, or None after `seconds`."""
        assert self._process is not None
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                return await self._process.wait()
        return None

    async def kill(self) -> None:
        if self.is_running:
            self.send(signal.SIGKILL)
            await self.wait()

    def children(self) -> list[psutil.Process]:
        """Return its descendants: the fork server first, then the children that run jobs."""
        with suppress(psutil.NoSuchProcess):
            return psutil.Process(self.pid).children(recursive=True)
        return []


class Server:
    """Postgres or Valkey."""

    def __init__(self, embedded: EmbeddedServer) -> None:
        self.lock = asyncio.Lock()
        self._embedded = embedded

    async def kill(self) -> None:
        """Kill the server."""
        await run_blocking(self._embedded.kill)

    async def start(self) -> None:
        """Start the server and wait until it is ready."""
        await run_blocking(self._embedded.start)


@dataclass
class Cluster:
    """The servers, processes and connections of a drill."""

    settings: Settings
    postgres: Server
    valkey: Server
    database: Database
    network: PostgresProxy
    headers: dict[str, str]
    folder: Path
    workers: list[ManagedProcess]
    apis: list[ManagedProcess]
    urls: list[str]

    @property
    def counter(self) -> Path:
        """File in which the kind `count` records each computed batch."""
        return self.folder / "computed"

    @property
    def proxied_worker(self) -> ManagedProcess:
        """The worker that is connected to Postgres through the proxy."""
        return self.workers[-1]

    @property
    def processes(self) -> list[ManagedProcess]:
        return [*self.apis, *self.workers]


async def run_blocking(work: Callable[[], T]) -> T:
    """Run a blocking function in a thread; wait for its end even if the caller is cancelled."""
    task = asyncio.create_task(asyncio.to_thread(work))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise


@asynccontextmanager
async def running(
    options: Options, *, lease_seconds: float = 3.0, heartbeat_seconds: float = 0.5
) -> AsyncIterator[Cluster]:
    """Run the whole system, ready for requests, during the body.

    Leases are short, but longer than a worker can be delayed on a busy machine.
    """
    with tempfile.TemporaryDirectory(prefix="headrace-chaos-") as name, ExitStack() as reservations:
        folder = Path(name)
        api_ports = [reservations.enter_context(ports.reserved()) for _ in range(options.apis)]
        # Durable as in production: acknowledged jobs must survive a killed Postgres.
        servers = EmbeddedServers(folder / "servers")
        try:
            await run_blocking(servers.start)
            await run_blocking(lambda: migrate(servers.postgres.url))
            settings = _settings(options, servers, folder, lease_seconds, heartbeat_seconds)
            async with (
                proxy.proxy_postgres(servers.postgres) as network,
                open_database(settings.database_url, pool_size=4) as database,
            ):
                headers = await apis.sign_in(settings, database)
                cluster = _cluster(options, settings, servers, database, network, headers, folder, api_ports)
                try:
                    await _start(cluster)
                    yield cluster
                finally:
                    await asyncio.gather(*(process.kill() for process in cluster.processes))
        finally:
            await run_blocking(servers.stop)


def _settings(
    options: Options, servers: EmbeddedServers, folder: Path, lease_seconds: float, heartbeat_seconds: float
) -> Settings:
    return load_settings(
        _env_file=None,
        database_url=servers.postgres.url,
        redis_url=servers.valkey.url,
        storage_url=(folder / "storage").as_uri(),
        worker_port=None,
        worker_slots=options.slots,
        database_pool_size=6,
        access_token_seconds=86_400,
        lease_seconds=lease_seconds,
        heartbeat_seconds=heartbeat_seconds,
        drain_seconds=2.0,
        retry_base_seconds=0.1,
        retry_max_seconds=1.0,
        plugins=(PLUGIN,),
    )


def _cluster(
    options: Options,
    settings: Settings,
    servers: EmbeddedServers,
    database: Database,
    network: PostgresProxy,
    headers: dict[str, str],
    folder: Path,
    api_ports: Sequence[int],
) -> Cluster:
    more = {"PLUGINS": PLUGIN, "DATABASE_POOL_SIZE": str(settings.database_pool_size)}
    more["MAX_JOB_PRIORITY"] = "critical"
    more["RETRY_MAX_SECONDS"] = str(settings.retry_max_seconds)
    postgres, valkey = Server(servers.postgres), Server(servers.valkey)
    cluster = Cluster(settings, postgres, valkey, database, network, headers, folder, [], [], [])
    for number, port in enumerate(api_ports, 1):
        environment = processes.environment(settings, **more)
        name = f"api-{number}"
        cluster.apis.append(
            ManagedProcess(name, ["-m", "app", "serve"], environment, folder / f"{name}.log", port)
        )
        cluster.urls.append(f"http://{HOST}:{port}")
    for number in range(1, options.workers + 1):
        name = f"worker-{number}"
        environment = processes.environment(settings, **more, WORKER_NAME=name)
        cluster.workers.append(ManagedProcess(name, ["-m", "worker"], environment, folder / f"{name}.log"))
    proxied_url = proxy.postgres_url(network, settings.database_url)
    cluster.proxied_worker.environment["DATABASE_URL"] = proxied_url
    return cluster


async def _start(cluster: Cluster) -> None:
    await asyncio.gather(*(process.start() for process in cluster.processes))
    async with httpx.AsyncClient(trust_env=False) as client:
        await until(lambda: _are_ready(client, cluster), seconds=READY_SECONDS)


async def _are_ready(client: httpx.AsyncClient, cluster: Cluster) -> bool:
    """Whether every API responds and sees every worker."""
    with suppress(httpx.TransportError):
        for url in cluster.urls:
            answer = await client.get(f"{url}/health")
            if answer.status_code != 200 or answer.json()["workers"] < len(cluster.workers):
                return False
        return True
    return False
