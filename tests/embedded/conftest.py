"""Servers that end with their test, and another process that runs some."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from app.embedded import sockets
from app.embedded.postgres import EmbeddedPostgres
from app.embedded.servers import EmbeddedServers

NOT_DURABLE = {"fsync": "off"}

OWNER_PROGRAM = """
import json, sys
from pathlib import Path
from app.embedded.servers import EmbeddedServers

servers = EmbeddedServers(Path(sys.argv[1]), postgres_options={"fsync": "off"})
servers.start()
both = [servers.postgres, servers.valkey]
print(json.dumps([[server.pid, server.url, str(server.socket_dir)] for server in both]), flush=True)
sys.stdin.read()
"""


@dataclass(frozen=True)
class OwnedServer:
    """A server that another process runs."""

    pid: int
    url: str
    socket_dir: Path


@dataclass(frozen=True)
class Owner:
    """Another process, with both servers running in `data_dir`."""

    process: subprocess.Popen[str]
    data_dir: Path
    postgres: OwnedServer
    valkey: OwnedServer


@pytest.fixture
def postgres(server_dir: Path) -> Iterator[EmbeddedPostgres]:
    """A Postgres that has not been started."""
    server = EmbeddedPostgres(server_dir / "postgres", options=NOT_DURABLE)
    yield server
    server.stop()


@pytest.fixture
def owner(server_dir: Path) -> Iterator[Owner]:
    data_dir = server_dir / "owned"
    command = [sys.executable, "-c", OWNER_PROGRAM, str(data_dir)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        postgres, valkey = [
            OwnedServer(pid, url, Path(socket_dir))
            for pid, url, socket_dir in json.loads(process.stdout.readline())
        ]
        yield Owner(process, data_dir, postgres, valkey)
        process.kill()
    for server in (postgres, valkey):
        sockets.remove(server.socket_dir)


@pytest.fixture(scope="module")
def running_servers(server_root: Path) -> Iterator[EmbeddedServers]:
    """Both servers, shared by the tests of a module that only connect to them."""
    data_dir = Path(tempfile.mkdtemp(dir=server_root))
    with EmbeddedServers(data_dir, postgres_options=NOT_DURABLE) as servers:
        yield servers
