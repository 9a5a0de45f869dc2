"""Runs the whole system on one machine: servers, API and worker, each in its own process as in production."""

import asyncio
import os
import secrets
import signal
import socket
import sys
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import IO, Final

import structlog

from app.audit.values import COMMAND_LINE
from app.auth import commands as accounts
from app.auth.errors import UsernameTaken
from app.auth.passwords import open_passwords
from app.cli.errors import CannotStart
from app.cli.listening import url_of
from app.cli.migrations import migrate
from app.core import background, hardening
from app.core.backoff import delay_seconds
from app.core.config import Settings, load_settings
from app.core.database import open_database
from app.core.errors import DatabaseUnavailable
from app.embedded import launch
from app.embedded.servers import EmbeddedServers
from app.jobs.workers import queries as workers

DEMO_USER: Final = "demo"
READY_SECONDS: Final = 60.0
STOP_SECONDS: Final = 40.0
LOG_TAIL_LINES: Final = 15

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class System:
    """The URL of a running system, its demo user and the URLs of its servers."""

    url: str
    username: str
    password: str
    urls: Mapping[str, str]


@asynccontextmanager
async def running(
    data_dir: Path,
    *,
    listener: socket.socket,
    username: str = DEMO_USER,
    slots: int | None = None,
    logs: IO[bytes] | None = None,
) -> AsyncIterator[System]:
    """Run the whole system during the body, with embedded servers unless DATABASE_URL and REDIS_URL are set.

    The processes log to `logs`, or to our stderr. Raises CannotStart.
    """
    data_dir = data_dir.absolute()
    data_dir.mkdir(parents=True, exist_ok=True)
    with _servers(data_dir) as urls:
        secret = _load_or_create_secret(data_dir / "secret-key")
        password = _load_or_create_secret(data_dir / "demo-password")
        environment = {
            **os.environ,
            "SECRET_KEY": secret,
            **urls,
            "WORKER_PORT": "off",
            "DEMO_USER": username,
        }
        environment.setdefault("STORAGE_URL", (data_dir / "storage").as_uri())
        if slots is not None:
            environment["WORKER_SLOTS"] = str(slots)
        hardening.drop_secrets()  # from here on only `environment` has them
        await asyncio.to_thread(migrate, urls["DATABASE_URL"])
        await _ensure_user(urls, username, password)
        url = url_of(listener)
        with _ready_pipe() as (is_ready, ready_fd):
            serve = ["-m", "app", "serve", "--fd", str(listener.fileno()), "--ready-fd", str(ready_fd)]
            api = _Process("api", serve, environment, (listener.fileno(), ready_fd), logs)
            worker = _Process("worker", ["-m", "worker"], environment, (), logs)
            async with (
                _stopping(api, worker),
                background.running(api.keep_running(), worker.keep_running()),
            ):
                await _wait_until_ready(is_ready, urls)
                api.restarts_on_exit = worker.restarts_on_exit = True
                yield System(url, username, password, urls)


class _servers:  # used as a function: `with _servers(...)`
    """The servers that the environment names, or else embedded ones."""

    def __init__(self, data_dir: Path) -> None:
        external = {name: os.environ[name] for name in ("DATABASE_URL", "REDIS_URL") if os.environ.get(name)}
        if len(external) == 1:
            raise CannotStart(
                f"set both DATABASE_URL and REDIS_URL, or neither: only {next(iter(external))} is set"
            )
        self._external = external
        self._embedded = None if external else EmbeddedServers(data_dir)

    def __enter__(self) -> Mapping[str, str]:
        if self._embedded is None:
            return self._external
        self._embedded.start()
        return self._embedded.urls

    def __exit__(self, *_: object) -> None:
        if self._embedded is not None:
            self._embedded.stop()


class _Process:
    """One Python process of the system, restarted if it ends on its own."""

    def __init__(
        self,
        name: str,
        arguments: list[str],
        environment: Mapping[str, str],
        inherited: Sequence[int],
        logs: IO[bytes] | None,
    ) -> None:
        self._name = name
        # The kernel sends it SIGTERM if we are killed. It has a session of its own, so that Ctrl+C in the
        # terminal reaches only us: we stop the parts in the right order.
        self._command = [
            *(
                sys.executable,
                "-I",
                "-S",
                launch.__file__,
                str(os.getpid()),
                "-1",
                "-1",
                str(int(signal.SIGTERM)),
            ),
            *(sys.executable, *arguments),
        ]
        self._environment = environment
        self._inherited = inherited
        self._logs = logs
        self._process: asyncio.subprocess.Process | None = None
        self.restarts_on_exit = False

    async def keep_running(self) -> None:
        """Run the process until cancelled; then `stop` it, which is not cancelled.

        Restarts a process that ends on its own. Until `restarts_on_exit` is set, raises CannotStart
        instead: a process that fails at start would fail again.
        """
        ends = 0
        while True:
            self._process = await asyncio.create_subprocess_exec(
                *self._command,
                env=self._environment,
                pass_fds=self._inherited,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=self._logs,
                stderr=self._logs,
                start_new_session=True,
            )
            exit_code = await self._process.wait()
            if not self.restarts_on_exit:
                raise CannotStart(f"the {self._name} ended with exit code {exit_code}{self._log_tail()}")
            ends += 1
            log.warning("process_ended", name=self._name, exit_code=exit_code)
            await asyncio.sleep(delay_seconds(ends, base=0.2, maximum=5.0))

    def _log_tail(self) -> str:
        if self._logs is None:
            return ""
        log_path = Path(self._logs.name)
        return "; the log ends with\n" + "\n".join(log_path.read_text().splitlines()[-LOG_TAIL_LINES:])

    async def stop(self) -> None:
        """Tell the process to stop, and wait for its end. It is killed after STOP_SECONDS."""
        process = self._process
        if process is None or process.returncode is not None:
            return
        process.terminate()
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await process.wait()
        except TimeoutError:
            log.warning("process_killed", name=self._name)
            process.kill()
            await process.wait()


@asynccontextmanager
async def _stopping(*processes: _Process) -> AsyncIterator[None]:
    """Stop the processes after the body, before the servers that they need."""
    try:
        yield
    finally:
        await asyncio.gather(*(process.stop() for process in processes))


def _load_or_create_secret(path: Path) -> str:
    """Return the secret in a file next to the data. Creates it on first use, readable only by its owner."""
    if not path.exists():
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_urlsafe(32))
    return path.read_text()


async def _ensure_user(urls: Mapping[str, str], username: str, password: str) -> None:
    settings = _settings(urls)
    async with open_passwords() as passwords, open_database(settings.database_url, pool_size=2) as database:
        try:
            async with database.session() as session:
                await accounts.create_user(
                    session, passwords, username=username, password=password, by=COMMAND_LINE
                )
        except UsernameTaken:
            return


@contextmanager
def _ready_pipe() -> Iterator[tuple[asyncio.Event, int]]:
    """An event, and the file descriptor that sets it when a process writes to it."""
    reading, writing = os.pipe()
    loop = asyncio.get_running_loop()
    is_ready = asyncio.Event()

    def read() -> None:
        os.read(reading, 1)
        is_ready.set()

    loop.add_reader(reading, read)
    try:
        yield is_ready, writing
    finally:
        loop.remove_reader(reading)
        os.close(reading)
        os.close(writing)


async def _wait_until_ready(is_api_ready: asyncio.Event, urls: Mapping[str, str]) -> None:
    """Wait until the API serves and a worker is alive. Raises CannotStart after READY_SECONDS."""
    try:
        async with asyncio.timeout(READY_SECONDS):
            await _wait_for_worker(_settings(urls))
            await is_api_ready.wait()
    except TimeoutError:
        raise CannotStart(f"the API and the worker were not ready within {READY_SECONDS:.0f} s") from None


async def _wait_for_worker(settings: Settings) -> None:
    """Wait until a worker holds a lease: a request for `/health` would be in the log of the API."""
    lease = timedelta(seconds=settings.lease_seconds)
    async with open_database(settings.database_url, pool_size=2) as database:
        while True:
            with suppress(DatabaseUnavailable):
                async with database.connection() as connection:
                    if await workers.alive(connection, lease):
                        return
            await asyncio.sleep(0.05)


def _settings(urls: Mapping[str, str]) -> Settings:
    return load_settings(**{name.lower(): url for name, url in urls.items()})
