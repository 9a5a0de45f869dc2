"""System under test: real servers with production durability, and each program in its own process."""

import itertools
import json
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import asyncpg
from redis import Redis

from app.auth.tokens import Tokens
from app.cli.migrations import migrate
from app.core import ids
from app.core.config import Settings, load_settings
from app.embedded.servers import EmbeddedServers
from tests.kinds_for_tests import PLUGIN

ROOT: Final = Path(__file__).parents[1]
HOST: Final = "127.0.0.1"
SECRET: Final = "what the benchmarks sign their tokens with"  # noqa: S105  # guards nothing
START_SECONDS: Final = 60.0
STOP_SECONDS: Final = 40.0
TOKEN_SECONDS: Final = 86_400
FINAL: Final = ("completed", "failed", "cancelled")

TEST_KINDS: Final = {"PLUGINS": PLUGIN, "CHILD_PERMISSIONS": "files,processes"}
"""Settings that enable the tests' job kinds, with the permissions that they declare."""


UNREACHED: Final = {
    "REQUESTS_PER_MINUTE": str(10**9),
    "ANONYMOUS_REQUESTS_PER_MINUTE": str(10**9),
}
"""Limits that count every request, and that no benchmark reaches."""


class StartError(Exception):
    """A process ended or did not respond at start-up. The message is the end of its log."""


class Program:
    """A running process and its log."""

    def __init__(self, process: subprocess.Popen[bytes], log_path: Path) -> None:
        self._process = process
        self._log_path = log_path

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def log(self) -> str:
        """Its log so far."""
        return self._log_path.read_text(errors="replace")

    @property
    def is_running(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def send(self, number: signal.Signals) -> None:
        """Send a signal."""
        self._process.send_signal(number)

    def wait(self, seconds: float = STOP_SECONDS) -> int:
        """Wait until it has ended; return its exit code."""
        return self._process.wait(seconds)

    def stop(self) -> None:
        """Terminate it; kill it if it does not end within `STOP_SECONDS`."""
        if not self.is_running:
            return
        self.send(signal.SIGTERM)
        try:
            self.wait()
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """Kill it."""
        if self.is_running:
            self.send(signal.SIGKILL)
        self.wait()

    def wait_for_log(self, text: str) -> None:
        """Wait until the log contains the text; raises StartError."""
        deadline = time.monotonic() + START_SECONDS
        while text not in self.log:
            if not self.is_running or time.monotonic() > deadline:
                raise StartError(self.log[-4000:])
            time.sleep(0.01)


@dataclass(frozen=True)
class Api:
    """A program that serves HTTP."""

    program: Program
    port: int

    @property
    def url(self) -> str:
        """Its base URL."""
        return f"http://{HOST}:{self.port}"

    def call(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: bytes | None = None,
        seconds: float = 60,
    ) -> Any:
        """Send one request and return its JSON response, for requests that are not measured: see `load`."""
        request = urllib.request.Request(self.url + path, body, dict(headers), method=method)  # noqa: S310
        with urllib.request.urlopen(request, timeout=seconds) as answer:  # noqa: S310  # our own URL
            return json.loads(answer.read())


@dataclass(frozen=True)
class User:
    """A user with the headers of an authenticated request."""

    id: UUID
    headers: dict[str, str]


@dataclass(frozen=True)
class Stack:
    """The servers and a migrated database; starts processes that use them."""

    folder: Path
    embedded: EmbeddedServers
    database_url: str
    settings: Settings
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    @property
    def redis_url(self) -> str:
        """URL of Redis."""
        return self.settings.redis_url

    @property
    def redis_socket(self) -> str:
        """Path of the Redis socket, for programs with another URL syntax."""
        return self.redis_url.removeprefix("unix://")

    def environment(self, **more: str) -> dict[str, str]:
        """Return a process's environment: default settings except for the servers' addresses."""
        return {
            **os.environ,
            "ENVIRONMENT": "production",
            "DATABASE_URL": self.database_url,
            "REDIS_URL": self.redis_url,
            "STORAGE_URL": self.settings.storage_url,
            "SECRET_KEY": SECRET,
            "ACCESS_TOKEN_SECONDS": str(TOKEN_SECONDS),
            "WORKER_PORT": "off",
            **UNREACHED,
            **more,
        }

    @contextmanager
    def python(self, *arguments: str, **more: str) -> Iterator[Program]:
        """Run `python ARGUMENTS` during the body."""
        with self._running(arguments, more) as program:
            yield program

    def run(self, *arguments: str, **more: str) -> bytes:
        """Run `python ARGUMENTS` to its end; return its output. Raises CalledProcessError."""
        return subprocess.run(
            [sys.executable, *arguments],
            env=self.environment(**more),
            cwd=ROOT,
            stdout=subprocess.PIPE,
            check=True,
        ).stdout

    @contextmanager
    def _running(
        self, arguments: tuple[str, ...], more: Mapping[str, str], pass_fds: tuple[int, ...] = ()
    ) -> Iterator[Program]:
        log_path = self.folder / f"{next(self._numbers)}.log"
        with log_path.open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, *arguments],
                env=self.environment(**more),
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=pass_fds,
            )
        program = Program(process, log_path)
        try:
            yield program
        finally:
            program.stop()

    @contextmanager
    def api(self, **more: str) -> Iterator[Api]:
        """Run the Headrace API, ready to serve, during the body."""
        with socket.create_server((HOST, 0), backlog=4096) as listener:
            port = listener.getsockname()[1]
            descriptor = listener.fileno()
            serve = ("-m", "app", "serve", "--fd", str(descriptor))
            with self._running(serve, more, (descriptor,)) as program:
                listener.close()
                api = Api(program, port)
                _wait_until_ready(api, "/health/live")
                yield api

    @contextmanager
    def reference(self, application: str, **more: str) -> Iterator[Api]:
        """Run an application of `bench.references` on uvicorn, without access log like the Headrace API."""
        # By its port: uvicorn takes `--fd` for a Unix socket and leaves Nagle on, which delays each
        # response that it writes in two pieces by 40 ms.
        with socket.create_server((HOST, 0)) as free:
            port = free.getsockname()[1]
        address = ("--host", HOST, "--port", str(port))
        serve = ("-m", "uvicorn", f"bench.references.{application}", *address, "--no-access-log")
        with self._running(serve, more) as program:
            api = Api(program, port)
            _wait_until_ready(api, "/docs")
            yield api

    @contextmanager
    def worker(self, **more: str) -> Iterator[Program]:
        """Run one worker, ready to take jobs, during the body."""
        with self.python("-m", "worker", **more) as program:
            program.wait_for_log("worker_started")
            yield program

    def flush_redis(self) -> None:
        """Delete everything in Redis."""
        with Redis.from_url(self.redis_url) as client:
            client.flushall()

    async def user(self, name: str | None = None) -> User:
        """Create a user, with a token that is signed here instead of requested from the API."""
        user_id = ids.new_id()
        name = name or user_id.hex
        await self.execute(
            "INSERT INTO users (id, username, username_key, password_hash) VALUES ($1, $2, $2, 'none')",
            *(user_id, name),
        )
        token = Tokens(self.settings).issue_access(user_id)
        return User(user_id, {"Authorization": f"Bearer {token}", "Content-Type": "application/json"})

    async def execute(self, statement: str, *arguments: object) -> None:
        """Run one statement."""
        connection = await asyncpg.connect(self.database_url)
        try:
            await connection.execute(statement, *arguments, timeout=3600)
        finally:
            await connection.close()

    async def fetch(self, query: str, *arguments: object) -> list[asyncpg.Record]:
        """Return all rows of a query."""
        connection = await asyncpg.connect(self.database_url)
        try:
            return await connection.fetch(query, *arguments, timeout=3600)
        finally:
            await connection.close()

    async def delete_jobs(self) -> None:
        """Delete all jobs, update the planner's statistics and empty Redis."""
        await self.execute("TRUNCATE jobs CASCADE")
        await self.execute("VACUUM ANALYZE")
        self.flush_redis()


@contextmanager
def stack(*, postgres_options: Mapping[str, str] | None = None) -> Iterator[Stack]:
    """Run the servers during the body. Postgres, at its default options, writes each commit to disk."""
    allow_many_files()
    folder = Path(tempfile.mkdtemp(prefix="headrace-bench-"))
    folder.chmod(0o711)  # as root, Postgres runs as another user, which must be able to traverse the folder
    try:
        with EmbeddedServers(folder / "servers", postgres_options=postgres_options) as embedded:
            yield on_database(folder, embedded, embedded.postgres.url)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def on_database(folder: Path, embedded: EmbeddedServers, url: str) -> Stack:
    """Migrate a database of the servers and return the stack on it."""
    migrate(url)
    settings = load_settings(
        _env_file=None,
        database_url=url,
        redis_url=embedded.valkey.url,
        storage_url=(folder / "storage").as_uri(),
        secret_key=SECRET,
        access_token_seconds=TOKEN_SECONDS,
    )
    return Stack(folder, embedded, url, settings)


def allow_many_files() -> None:
    """Raise the limit of open files of this process and its children to the hard limit."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _wait_until_ready(api: Api, path: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            urllib.request.urlopen(api.url + path, timeout=START_SECONDS).close()  # noqa: S310  # our own URL
        except urllib.error.HTTPError:
            return
        except OSError:
            if not api.program.is_running or time.monotonic() > deadline:
                raise StartError(api.program.log[-4000:]) from None
            time.sleep(0.01)
        else:
            return
