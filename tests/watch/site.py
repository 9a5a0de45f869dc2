"""The whole system that a browser visits: an API that can go away and come back, a worker, and people."""

import secrets
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import httpx

from app.core.config import Settings
from tests.gated import PLUGIN
from tests.support import ports, processes
from tests.support.processes import START_SECONDS, Process
from tests.support.waiting import until

PASSWORD = "a long enough passphrase"


class Site:
    """The system, at an address that stays the same."""

    def __init__(
        self, settings: Settings, folder: Path, address: socket.socket, stack: AsyncExitStack
    ) -> None:
        self.url = "http://{}:{}".format(*address.getsockname())
        self._settings = settings
        self._folder = folder
        self._address = address
        self._stack = stack
        self._api: Process | None = None

    async def start(self, **more: str) -> None:
        """Start the API, and wait until it answers."""
        with ports.bound(self._address.getsockname()[1]) as listener:
            listener.listen(128)
            self._api = await self._stack.enter_async_context(
                processes.python(
                    *("-m", "app", "serve", "--fd", str(listener.fileno())),
                    env=processes.environment(self._settings, PLUGINS=PLUGIN, **more),
                    log_path=self._folder / f"api-{secrets.token_hex(4)}.log",
                    pass_fds=(listener.fileno(),),
                )
            )
        async with httpx.AsyncClient(base_url=self.url, timeout=START_SECONDS) as client:
            assert (await client.get("/health/live")).status_code == 200, self._api.log

    @asynccontextmanager
    async def away(self, number: signal.Signals, **more: str) -> AsyncIterator[None]:
        """Stop the API with a signal; it is gone during the body, and then it is started again."""
        assert self._api is not None
        self._api.send(number)
        await self._api.wait()
        try:
            yield
        finally:
            await self.start(**more)

    async def fetch(self, query: str, *arguments: Any) -> Any:
        """One value straight from the database, past the API."""
        connection = await asyncpg.connect(self._settings.database_url)
        try:
            return await connection.fetchval(query, *arguments)
        finally:
            await connection.close()

    async def until_done(self, job_id: str, rows: int) -> None:
        """Return once so many rows of a job are committed, whether the API is there or not."""

        async def is_done() -> bool:
            done: int = await self.fetch("SELECT done FROM jobs WHERE id = $1::uuid", job_id)
            return done >= rows

        await until(is_done)


@asynccontextmanager
async def running(settings: Settings, folder: Path) -> AsyncIterator[Site]:
    """Run the system during the body."""
    # Bound, but not listening: the port stays ours, and is closed to all while no API has it open.
    with ports.bound(0) as address:
        async with AsyncExitStack() as stack:
            site = Site(settings, folder, address, stack)
            await site.start()
            await stack.enter_async_context(processes.worker(settings, folder / "worker.log", PLUGINS=PLUGIN))
            yield site


@dataclass(frozen=True)
class Person:
    """Somebody with an account, who can also ask the API itself."""

    name: str
    client: httpx.AsyncClient

    async def ask(self, method: str, path: str, **more: Any) -> Any:
        """What the API answers. Signed in anew each time: the API may have another key by now."""
        form = {"username": self.name, "password": PASSWORD}
        token = (await self.client.post("/token", data=form)).raise_for_status().json()["access_token"]
        answer = await self.client.request(method, path, headers={"Authorization": f"Bearer {token}"}, **more)
        return answer.raise_for_status().json()

    async def events(self, job_id: str) -> list[tuple[int, str, str]]:
        """The event log of a job: number, instant and type."""
        page = await self.ask("GET", f"/jobs/{job_id}/events", params={"limit": 500})
        return [(event["seq"], event["at"], event["type"]) for event in page["items"]]


@asynccontextmanager
async def person(site: Site) -> AsyncIterator[Person]:
    """Somebody with a new account."""
    async with httpx.AsyncClient(base_url=site.url, timeout=START_SECONDS, trust_env=False) as client:
        name = f"ada-{secrets.token_hex(4)}"
        created = await client.post("/users", json={"username": name, "password": PASSWORD})
        created.raise_for_status()
        yield Person(name, client)


@dataclass(frozen=True)
class GatedJob:
    """A job that goes as far as the test lets it."""

    id: str
    gate: Path

    def let(self, batches: int) -> None:
        """Let so many batches of it be done, those before included."""
        self.gate.write_bytes(b"." * batches)


async def gated_job(owner: Person, folder: Path, *, batches: int) -> GatedJob:
    """A new job that waits for the first `let`."""
    gate = folder / f"gate-{secrets.token_hex(4)}"
    gate.touch()
    created = await owner.ask("POST", "/jobs/gated", json={"batches": batches, "gate_path": str(gate)})
    return GatedJob(created["job_id"], gate)
