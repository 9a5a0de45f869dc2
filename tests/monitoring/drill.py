"""The system of a drill: API, workers, servers that may be killed, and Prometheus with faster rules."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import httpx

from app.cli.migrations import migrate
from app.core.config import Settings, load_settings
from app.core.database import Database, open_database
from app.embedded.servers import EmbeddedServers
from tests.conftest import NOT_DURABLE
from tests.kinds_for_tests import PLUGIN
from tests.monitoring.rules import shipped
from tests.monitoring.servers import Prometheus, alertmanager, metrics_address, prometheus
from tests.monitoring.shortened import shortened
from tests.monitoring.webhook import Webhook, webhook
from tests.support import apis, processes
from tests.support.processes import Process

LEASE_SECONDS: Final = 2.0
PORTS: Final = {"METRICS_PORT": "0", "WORKER_PORT": "0"}


@dataclass(frozen=True)
class Drill:
    """What a drill breaks, and how it learns what follows."""

    servers: EmbeddedServers
    settings: Settings
    database: Database
    headers: dict[str, str]
    folder: Path
    prometheus: Prometheus
    webhook: Webhook
    stack: AsyncExitStack

    async def start_api(self) -> httpx.AsyncClient:
        """Start an API that Prometheus scrapes; return its client."""
        running = apis.api(self.settings, self.folder / "api.log", self.headers, PLUGINS=PLUGIN, **PORTS)
        api = await self.stack.enter_async_context(running)
        self.prometheus.scrape(metrics_address(api.process))
        return api.client

    async def start_worker(self, name: str) -> Process:
        """Start a worker that Prometheus scrapes, ready to take jobs."""
        more = {"PLUGINS": PLUGIN, "WORKER_NAME": name, **PORTS}
        running = processes.worker(self.settings, self.folder / f"{name}.log", **more)
        process = await self.stack.enter_async_context(running)
        self.prometheus.scrape(metrics_address(process))
        return process

    async def kill(self, *workers: Process) -> None:
        """Kill workers. Their pods are gone, so Prometheus scrapes them no longer."""
        for worker in workers:
            await worker.kill()
        self.prometheus.forget(*(metrics_address(worker) for worker in workers))


@asynccontextmanager
async def running(server_dir: Path, folder: Path, *, factor: float) -> AsyncIterator[Drill]:
    """Run servers, Prometheus and Alertmanager, with rules that are `factor` times as fast."""
    servers = EmbeddedServers(server_dir, postgres_options=NOT_DURABLE)
    await asyncio.to_thread(servers.start)
    try:
        await asyncio.to_thread(migrate, servers.postgres.url)
        settings = _settings(servers, folder)
        async with (
            open_database(settings.database_url, pool_size=4) as database,
            webhook() as receiver,
            alertmanager(folder / "alertmanager", webhook=receiver.url) as address,
            prometheus(
                folder / "prometheus", rules=shortened(shipped(), factor=factor), alertmanager=address
            ) as server,
            AsyncExitStack() as stack,
        ):
            headers = await apis.sign_in(settings, database)
            yield Drill(servers, settings, database, headers, folder, server, receiver, stack)
    finally:
        await asyncio.to_thread(servers.stop)


def _settings(servers: EmbeddedServers, folder: Path) -> Settings:
    return load_settings(
        _env_file=None,
        database_url=servers.postgres.url,
        redis_url=servers.valkey.url,
        storage_url=(folder / "storage").as_uri(),
        worker_slots=1,
        lease_seconds=LEASE_SECONDS,
        heartbeat_seconds=0.25,
        drain_seconds=2.0,
        retry_base_seconds=0.05,
        plugins=(PLUGIN,),
    )


async def submit_many(client: httpx.AsyncClient, count: int, **job: Any) -> UUID:
    """Submit up to 1000 equal jobs as a group; return its id."""
    answer = await client.post("/jobs/bulk", json={"jobs": [job] * count})
    assert answer.status_code == 202, answer.text
    return UUID(answer.json()["group_id"])
