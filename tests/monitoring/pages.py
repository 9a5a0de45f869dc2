"""The pages of metrics of real processes."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from app.core.config import Settings
from tests.monitoring.scraping import Labels, scrape
from tests.support import apis, processes
from tests.support.processes import Process

Series = frozenset[tuple[str, Labels]]

OPENMETRICS = "application/openmetrics-text;version=1.0.0"


@dataclass(frozen=True)
class Scraper:
    """Scrapes the port for operators of one process."""

    client: httpx.AsyncClient

    async def text(self) -> str:
        return (await self.client.get("/metrics")).raise_for_status().text

    async def openmetrics(self) -> str:
        answer = await self.client.get("/metrics", headers={"Accept": OPENMETRICS})
        assert answer.headers["content-type"].startswith("application/openmetrics-text")
        return answer.raise_for_status().text

    async def series(self) -> Series:
        """Every series by its name and labels."""
        return frozenset((await scrape(self.client)).series)


@asynccontextmanager
async def api(
    settings: Settings, folder: Path, headers: dict[str, str], **more: str
) -> AsyncIterator[tuple[httpx.AsyncClient, Scraper]]:
    """Run an API; yield a client of its public port, and a scraper of the other one."""
    async with (
        apis.api(settings, folder / "api.log", headers, METRICS_PORT="0", **more) as running,
        scraper_of(running.process) as scraper,
    ):
        yield running.client, scraper


@asynccontextmanager
async def worker(settings: Settings, folder: Path, **more: str) -> AsyncIterator[Scraper]:
    """Run a worker, ready to take jobs; yield a scraper of its port."""
    async with (
        processes.worker(settings, folder / "worker.log", WORKER_PORT="0", **more) as process,
        scraper_of(process) as scraper,
    ):
        yield scraper


@asynccontextmanager
async def scraper_of(process: Process) -> AsyncIterator[Scraper]:
    url = f"http://127.0.0.1:{process.metrics_port}"
    async with httpx.AsyncClient(base_url=url, timeout=apis.ANSWER_SECONDS, trust_env=False) as client:
        yield Scraper(client)
