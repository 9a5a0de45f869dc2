"""WebSocket client for tests, based on the `websockets` library, and servers for it."""

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
from tests.support.waiting import TIMEOUT_SECONDS

CLOCK = "time_update"

Frame = dict[str, Any]


class _Server(uvicorn.Server):
    """Does not install signal handlers in the test process."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def serving(app: FastAPI) -> AsyncIterator[str]:
    """Serve a started application, including WebSockets, during the body; yield its URL."""
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
class WebSocketClient:
    """An open WebSocket."""

    connection: ClientConnection

    async def send(self, action: str, **more: Any) -> None:
        """Send a command."""
        await self.connection.send(json.dumps({"action": action, **more}, default=str))

    async def receive_any(self) -> Frame:
        """Receive the next frame, including those of the clock."""
        async with asyncio.timeout(TIMEOUT_SECONDS):
            text = await self.connection.recv()
        assert isinstance(text, str)
        frame = json.loads(text)
        assert isinstance(frame, dict)
        return frame

    async def receive(self) -> Frame:
        """Receive the next frame, ignoring the clock."""
        while (frame := await self.receive_any())["event"] == CLOCK:
            pass
        return frame

    async def receive_many(self, count: int) -> list[Frame]:
        """Receive the next `count` frames, ignoring the clock."""
        return [await self.receive() for _ in range(count)]

    async def has_no_pending_frames(self) -> bool:
        """Send a ping; return whether its `pong` is the next frame, so that no other frame was pending."""
        await self.send("ping")
        return bool((await self.receive())["event"] == "pong")

    async def wait_closed(self) -> tuple[int, str]:
        """Wait until the server closes the connection; return the close code and reason."""
        with contextlib.suppress(ConnectionClosed):
            async with asyncio.timeout(TIMEOUT_SECONDS):
                while True:
                    await self.connection.recv()
        assert self.connection.close_code is not None
        return self.connection.close_code, self.connection.close_reason or ""


@asynccontextmanager
async def opened(
    url: str, path: str, headers: Mapping[str, str] | None = None, *, origin: str | None = None
) -> AsyncIterator[WebSocketClient]:
    """Open a WebSocket during the body."""
    async with connect(
        url.replace("http", "ws", 1) + path,
        additional_headers=headers,
        origin=None if origin is None else Origin(origin),
        proxy=None,
        compression=None,
        close_timeout=1,
        open_timeout=TIMEOUT_SECONDS,
    ) as connection:
        yield WebSocketClient(connection)


async def handshake_status(
    url: str, path: str, headers: Mapping[str, str] | None = None, *, origin: str
) -> int:
    """Return the HTTP status of a handshake: 101 if it succeeds."""
    try:
        async with opened(url, path, headers, origin=origin):
            return 101
    except InvalidStatus as error:
        return error.response.status_code


@asynccontextmanager
async def client_of(url: str) -> AsyncIterator[httpx.AsyncClient]:
    """Open a client without a connection limit."""
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
    async with httpx.AsyncClient(base_url=url, limits=limits, timeout=TIMEOUT_SECONDS) as client:
        yield client


@contextlib.contextmanager
def stalled_client(
    url: str, path: str, headers: Mapping[str, str], *, upgrade: bool = False
) -> Iterator[None]:
    """Open a stream, with `upgrade` a WebSocket, and never read from it."""
    target = httpx.URL(url)
    more = dict(headers)
    if upgrade:
        more |= {
            "Connection": "Upgrade",
            "Upgrade": "websocket",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
        }
    lines = [f"GET {path} HTTP/1.1", f"Host: {target.netloc.decode()}", *map(": ".join, more.items())]
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect((target.host, target.port))
        client.sendall("\r\n".join([*lines, "", ""]).encode())
        yield


async def write_large_log(store: Database, job: ClaimedJob) -> None:
    """Commit one batch per row, with events that together exceed the socket buffers."""
    assert job.total is not None
    batches = tuple(Batch(row, 1, b"{}", f"{row}" + 10_000 * ".") for row in range(job.total))
    assert await jobs.advance(store, Report(job.id, job.attempt, 0, batches))


Server = Literal["serve", "uvicorn"]


@dataclass(frozen=True)
class Api:
    """The API in its own process, with an unauthenticated client."""

    url: str
    process: Process
    client: httpx.AsyncClient


@asynccontextmanager
async def api(server: Server, settings: Settings, log_path: Path, **more: str) -> AsyncIterator[Api]:
    """Run the API, ready to serve, with `python -m app serve` or with plain uvicorn."""
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        arguments = {
            "serve": ("app", "serve"),
            "uvicorn": ("uvicorn", "app.main:create_app", "--factory"),
        }[server]
        async with (
            processes.program(
                *(*arguments, "--fd", str(listening.fileno())),
                env=processes.environment(settings, **more),
                log_path=log_path,
                pass_fds=(listening.fileno(),),
            ) as process,
            client_of(url) as client,
        ):
            # Close our copy of the socket: when the process ends, new connections must be refused.
            listening.close()
            answer = await client.get("/health/live", timeout=TIMEOUT_SECONDS)
            assert answer.status_code == 200, process.log
            yield Api(url, process, client)
