"""Conversations over WebSocket, with the `websockets` library as the client, and a server that has them."""

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import httpx
import uvicorn
from fastapi import FastAPI
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Origin

from app.core.config import Settings
from app.core.database import Database
from app.jobs.transition_types import Batch, ClaimedJob, Report
from app.streams.commands import MAX_FRAME_BYTES
from tests.support import jobs, processes
from tests.support.processes import Process
from tests.support.waiting import PATIENCE_SECONDS

CLOCK = "time_update"

Frame = dict[str, Any]


class _Server(uvicorn.Server):
    """Leaves the signals of the test process alone."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def serving(app: FastAPI) -> AsyncIterator[str]:
    """Serve a started application during the body, WebSockets too; gives its URL."""
    with socket.create_server(("127.0.0.1", 0), backlog=256) as listening:
        config = uvicorn.Config(
            app,
            lifespan="off",
            ws="websockets-sansio",
            ws_max_size=MAX_FRAME_BYTES,
            log_config=None,
            timeout_graceful_shutdown=1,
        )
        server = _Server(config)
        task = asyncio.create_task(server.serve(sockets=[listening]))
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            await task


@dataclass(frozen=True)
class Conversation:
    """An open WebSocket."""

    connection: ClientConnection

    async def say(self, action: str, **more: Any) -> None:
        """Send a command."""
        await self.connection.send(json.dumps({"action": action, **more}, default=str))

    async def hear_anything(self) -> Frame:
        """The next frame, the clock's too."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            text = await self.connection.recv()
        assert isinstance(text, str)
        frame = json.loads(text)
        assert isinstance(frame, dict)
        return frame

    async def hear(self) -> Frame:
        """The next frame that is not the clock's."""
        while (frame := await self.hear_anything())["event"] == CLOCK:
            pass
        return frame

    async def hear_many(self, count: int) -> list[Frame]:
        """So many frames that are not the clock's."""
        return [await self.hear() for _ in range(count)]

    async def is_quiet(self) -> bool:
        """Whether the answer to a ping is the next that comes: nothing else was on its way."""
        await self.say("ping")
        return bool((await self.hear())["event"] == "pong")

    async def end(self) -> tuple[int, str]:
        """The close code and reason, once the server has closed it."""
        with contextlib.suppress(ConnectionClosed):
            async with asyncio.timeout(PATIENCE_SECONDS):
                while True:
                    await self.connection.recv()
        assert self.connection.close_code is not None
        return self.connection.close_code, self.connection.close_reason or ""


@asynccontextmanager
async def opened(
    url: str, path: str, headers: Mapping[str, str] | None = None, *, origin: str | None = None
) -> AsyncIterator[Conversation]:
    """Open a WebSocket; it is closed when the body is done."""
    async with connect(
        url.replace("http", "ws", 1) + path,
        additional_headers=headers,
        origin=None if origin is None else Origin(origin),
        proxy=None,
        compression=None,
        close_timeout=1,
        open_timeout=PATIENCE_SECONDS,
    ) as connection:
        yield Conversation(connection)


async def refused(url: str, path: str, headers: Mapping[str, str] | None = None, *, origin: str) -> int:
    """The HTTP status of a handshake that is refused."""
    try:
        async with opened(url, path, headers, origin=origin):
            return 101
    except InvalidStatus as error:
        return error.response.status_code


@asynccontextmanager
async def client_of(url: str) -> AsyncIterator[httpx.AsyncClient]:
    """A client that may hold any number of connections."""
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
    async with httpx.AsyncClient(base_url=url, limits=limits, timeout=PATIENCE_SECONDS) as client:
        yield client


@contextlib.contextmanager
def deaf(url: str, path: str, headers: Mapping[str, str], *, upgrade: bool = False) -> Iterator[None]:
    """A client that asks for a stream, by SSE or (`upgrade`) by WebSocket, and never reads a byte of it."""
    where = httpx.URL(url)
    more = dict(headers)
    if upgrade:
        more |= {
            "Connection": "Upgrade",
            "Upgrade": "websocket",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
        }
    lines = [f"GET {path} HTTP/1.1", f"Host: {where.netloc.decode()}", *map(": ".join, more.items())]
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect((where.host, where.port))
        client.sendall("\r\n".join([*lines, "", ""]).encode())
        yield


async def write_large_log(store: Database, job: ClaimedJob) -> None:
    """Commit a batch for each row, with more to say of them than a network holds on its way."""
    assert job.total is not None
    batches = tuple(Batch(row, 1, b"{}", f"{row}" + 10_000 * ".") for row in range(job.total))
    assert await jobs.advance(store, Report(job.id, job.attempt, 0, batches))


Server = Literal["serve", "uvicorn"]


@dataclass(frozen=True)
class Api:
    """The API as a process of its own, and a client of it that nobody has signed in."""

    url: str
    process: Process
    client: httpx.AsyncClient


@asynccontextmanager
async def api(server: Server, settings: Settings, log_path: Path, **more: str) -> AsyncIterator[Api]:
    """Run the API, ready to answer, with our own command or with a server that knows nothing of ours."""
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        arguments = {
            "serve": ("-m", "app", "serve"),
            "uvicorn": ("-m", "uvicorn", "app.main:create_app", "--factory"),
        }[server]
        async with (
            processes.python(
                *(*arguments, "--fd", str(listening.fileno())),
                env=processes.environment(settings, **more),
                log_path=log_path,
                pass_fds=(listening.fileno(),),
            ) as process,
            client_of(url) as client,
        ):
            # Only the process may answer: when it ends, the next connection has to be refused.
            listening.close()
            answer = await client.get("/health/live", timeout=PATIENCE_SECONDS)
            assert answer.status_code == 200, process.log
            yield Api(url, process, client)
