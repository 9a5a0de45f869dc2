"""The API and a worker as processes, shared by the tests of a folder, and users of them."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx
import pytest
from redis import Redis

from app.core import ids
from app.core.config import Settings, load_settings
from tests.conftest import PASSWORD, Servers
from tests.support import ports
from tests.support.processes import ROOT, START_SECONDS, environment


@dataclass(frozen=True)
class User:
    """A user with an account."""

    name: str
    password: str = PASSWORD

    @property
    def credentials(self) -> dict[str, str]:
        """Keyword arguments of a client."""
        return {"username": self.name, "password": self.password}


@dataclass(frozen=True)
class Running:
    """A running system."""

    url: str
    settings: Settings

    def sign_up(self, name: str | None = None, password: str = PASSWORD) -> User:
        """Create a user."""
        user = User(name or f"u{ids.new_id().hex}", password)
        body = {"username": user.name, "password": user.password}
        answer = httpx.post(f"{self.url}/users", json=body, trust_env=False)
        assert answer.status_code == 201, answer.text
        return user


@contextmanager
def running(servers: Servers, folder: Path) -> Iterator[Running]:
    """Run everything during the body."""
    with Redis.from_url(servers.embedded.valkey.url) as redis:
        redis.flushall()
    with servers.databases.migrated() as database_url:
        settings = load_settings(
            _env_file=None,
            database_url=database_url,
            redis_url=servers.embedded.valkey.url,
            worker_port=None,
            worker_slots=2,
        )
        yield from _running(settings, folder)


# Many tests send requests from one address to one system.
_SHARED: Final = {"ANONYMOUS_REQUESTS_PER_MINUTE": "0"}

# The API accepts e-mail, which no worker here sends.
_ACCEPTS_EMAIL: Final = {
    "SMTP_HOST": ports.HOST,
    "SMTP_SECURITY": "none",
    "MAIL_FROM": "headrace@example.net",
    "MAIL_ALLOWED_DOMAINS": "*",
}


def _running(settings: Settings, folder: Path) -> Iterator[Running]:
    listener = ports.bound(0)
    url = "http://{}:{}".format(*listener.getsockname())
    with (
        listener,
        _process(settings, folder / "worker.log", "-m", "worker") as worker,
        _process(
            *(settings, folder / "api.log", "-m", "app", "serve"),
            *("--fd", str(listener.fileno())),
            listener=listener,
        ) as api,
    ):
        _until_healthy(url, {folder / "worker.log": worker, folder / "api.log": api})
        yield Running(url, settings)


def _until_healthy(url: str, processes: dict[Path, subprocess.Popen[bytes]]) -> None:
    """Wait until the API and a worker are ready."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        for log_path, process in processes.items():
            assert process.poll() is None, log_path.read_text()
        try:
            if httpx.get(f"{url}/health", trust_env=False).json()["workers"]:
                return
        except (httpx.HTTPError, KeyError):
            pass
        time.sleep(0.05)
    raise AssertionError(f"nothing at {url}")


@contextmanager
def _process(
    settings: Settings, log_path: Path, *arguments: str, listener: socket.socket | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    if listener is not None:
        listener.listen(128)
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, *arguments],
            env={
                **os.environ,
                **environment(settings, **_SHARED),
                **({} if listener is None else _ACCEPTS_EMAIL),
            },
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=() if listener is None else (listener.fileno(),),
        )
    if listener is not None:
        listener.close()  # only the process may answer
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@pytest.fixture(scope="package")
def system(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """An API process and a worker process. Each test has users of its own, so that many can share them."""
    with running(servers, tmp_path_factory.mktemp("system")) as found:
        yield found


@pytest.fixture
def ada(system: Running) -> User:
    """A user of the system, new for each test."""
    return system.sign_up()
