"""Runs the whole system on one machine: servers, API and worker, each in its own process as in production."""

import asyncio
import os
import secrets
import signal
import socket
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

import httpx
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
from app.core.config import load_settings
from app.core.database import open_database
from app.embedded import launch
from app.embedded.servers import EmbeddedServers

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
        environment = {**os.environ, "SECRET_KEY": secret, **urls, "WORKER_PORT": "off"}
        environment.setdefault("STORAGE_URL", (data_dir / "storage").as_uri())
        if slots is not None:
            environment["WORKER_SLOTS"] = str(slots)
        hardening.drop_secrets()  # from here on only `environment` has them
        await asyncio.to_thread(migrate, urls["DATABASE_URL"])
        await _ensure_user(urls, username, password)
        url = url_of(listener)
        listener.set_inheritable(True)
        api = _Process(
            "api", ["-m", "app", "serve", "--fd", str(listener.fileno())], environment, listener, logs
        )
        worker = _Process("worker", ["-m", "worker"], environment, None, logs)
        async with background.running(api.keep_running(), worker.keep_running()):
            await _wait_until_ready(url)
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
        listener: socket.socket | None,
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
        self._inherited = () if listener is None else (listener.fileno(),)
        self._logs = logs
        self.restarts_on_exit = False

    async def keep_running(self) -> None:
        """Run the process until cancelled; then stop it and wait for its end.

        Restarts a process that ends on its own. Until `restarts_on_exit` is set, raises CannotStart
        instead: a process that fails at start would fail again.
        """
        ends = 0
        while True:
            process = await asyncio.create_subprocess_exec(
                *self._command,
                env=self._environment,
                pass_fds=self._inherited,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=self._logs,
                stderr=self._logs,
                start_new_session=True,
            )
            try:
                exit_code = await process.wait()
            except asyncio.CancelledError:
                await self._stop(process)
                raise
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

    async def _stop(self, process: asyncio.subprocess.Process) -> None:
        process.terminate()
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await process.wait()
        except TimeoutError:
            log.warning("process_killed", name=self._name)
            process.kill()
            await process.wait()


def _load_or_create_secret(path: Path) -> str:
    """Return the secret in a file next to the data. Creates it on first use, readable only by its owner."""
    if not path.exists():
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_urlsafe(32))
    return path.read_text()


async def _ensure_user(urls: Mapping[str, str], username: str, password: str) -> None:
    settings = load_settings(**{name.lower(): url for name, url in urls.items()})
    async with open_passwords() as passwords, open_database(settings.database_url, pool_size=2) as database:
        try:
            async with database.session() as session:
                await accounts.create_user(
                    session, passwords, username=username, password=password, by=COMMAND_LINE
                )
        except UsernameTaken:
            return


async def _wait_until_ready(url: str) -> None:
    """Wait until the API responds and a worker is alive. Raises CannotStart after READY_SECONDS."""
    try:
        async with asyncio.timeout(READY_SECONDS):
            await _wait_for_worker(url)
    except TimeoutError:
        raise CannotStart(f"the API and the worker were not ready within {READY_SECONDS:.0f} s") from None


async def _wait_for_worker(url: str) -> None:
    async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
        while True:
            try:
                health = (await client.get("/health")).json()
                if health.get("workers"):
                    return
            except httpx.HTTPError:
                pass  # not listening yet
            await asyncio.sleep(0.05)
