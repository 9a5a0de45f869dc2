"""The whole system that a browser visits: an API that can go away and come back, a worker, and people."""

import secrets
import signal
import socket
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AbstractContextManager, AsyncExitStack, asynccontextmanager, contextmanager
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
        self._worker: Process | None = None

    async def start(self, **more: str) -> None:
        """Start the API, and wait until it answers."""
        with ports.bound(self._address.getsockname()[1]) as listener:
            listener.listen(128)
            self._api = await self._stack.enter_async_context(
                processes.program(
                    *("app", "serve", "--fd", str(listener.fileno())),
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

    def frozen(self) -> AbstractContextManager[None]:
        """Let the API do nothing during the body: its connections stay open, and nothing comes."""
        assert self._api is not None
        return _frozen(self._api)

    def frozen_worker(self) -> AbstractContextManager[None]:
        """Let the worker do nothing during the body. Its children go on."""
        assert self._worker is not None
        return _frozen(self._worker)

    async def start_worker(self) -> None:
        """Start a worker, ready to take jobs."""
        log_path = self._folder / f"worker-{secrets.token_hex(4)}.log"
        self._worker = await self._stack.enter_async_context(
            processes.worker(self._settings, log_path, PLUGINS=PLUGIN)
        )

    async def kill_worker(self) -> None:
        """Kill the worker."""
        assert self._worker is not None
        self._worker.send(signal.SIGKILL)
        await self._worker.wait()

    async def fetch(self, query: str, *arguments: Any) -> Any:
        """One value straight from the database, past the API."""
        connection = await asyncpg.connect(self._settings.database_url)
        try:
            return await connection.fetchval(query, *arguments)
        finally:
            await connection.close()

    async def add_pending(self, owner: str, count: int) -> None:
        """Insert so many jobs of a user that wait for a queue without a worker."""
        await self.fetch(
            """INSERT INTO jobs (id, owner_id, kind, queue, priority, run_at, sort_key, params, max_attempts,
                total, soft_limit_seconds, time_limit_seconds, retention_seconds)
            SELECT gen_random_uuid(), u.id, 'batch_predict', 'nobody', 'normal', now(), now(), '{}',
                3, 1, 60, 60, 60
            FROM users u, generate_series(1, $2::int) WHERE u.username = $1""",
            owner,
            count,
        )

    async def until_done(self, job_id: str, rows: int) -> None:
        """Return once so many rows of a job are committed, whether the API is there or not."""

        async def is_done() -> bool:
            done: int = await self.fetch("SELECT done FROM jobs WHERE id = $1::uuid", job_id)
            return done >= rows

        await until(is_done)


@contextmanager
def _frozen(process: Process) -> Iterator[None]:
    process.send(signal.SIGSTOP)
    try:
        yield
    finally:
        process.send(signal.SIGCONT)


@asynccontextmanager
async def running(settings: Settings, folder: Path, **more: str) -> AsyncIterator[Site]:
    """Run the system during the body, the API with `more` settings."""
    # Bound, but not listening: the port stays ours, and is closed to all while no API has it open.
    with ports.bound(0) as address:
        async with AsyncExitStack() as stack:
            site = Site(settings, folder, address, stack)
            await site.start(**more)
            await site.start_worker()
            yield site


@dataclass(frozen=True)
class Person:
    """Somebody with an account, who can also ask the API itself."""

    name: str
    client: httpx.AsyncClient

    async def ask(
        self, method: str, path: str, *, headers: Mapping[str, str] | None = None, **more: Any
    ) -> Any:
        """What the API answers. Signed in anew each time: the API may have another key by now."""
        form = {"username": self.name, "password": PASSWORD}
        token = (await self.client.post("/token", data=form)).raise_for_status().json()["access_token"]
        sent = {"Authorization": f"Bearer {token}", **(headers or {})}
        answer = await self.client.request(method, path, headers=sent, **more)
        return answer.raise_for_status().json()

    async def events(self, job_id: str) -> list[tuple[int, str, str]]:
        """The event log of a job: number, instant and type."""
        page = await self.ask("GET", f"/jobs/{job_id}/events", params={"limit": 500})
        return [(event["seq"], event["at"], event["type"]) for event in page["items"]]


@asynccontextmanager
async def person(site: Site) -> AsyncIterator[Person]:
    """Somebody with a new account."""
    # The server closes a connection that was idle for five seconds: a request must not meet that.
    limits = httpx.Limits(keepalive_expiry=1.0)
    async with httpx.AsyncClient(
        base_url=site.url, timeout=START_SECONDS, trust_env=False, limits=limits
    ) as client:
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


async def gated_job(
    owner: Person, folder: Path, *, batches: int, is_deaf: bool = False, lines: int = 0, text: str = ""
) -> GatedJob:
    """A new job that waits for the first `let`. It writes so many lines to its log before each batch.

    A deaf one does not stop when it is asked to.
    """
    gate = folder / f"gate-{secrets.token_hex(4)}"
    gate.touch()
    body = {"batches": batches, "gate_path": str(gate), "is_deaf": is_deaf, "lines": lines, "text": text}
    created = await owner.ask("POST", "/jobs/gated", json=body)
    return GatedJob(created["job_id"], gate)
