"""A real HTTP receiver on loopback that keeps what it got, and answers as the test says."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import msgspec

HOST = "127.0.0.1"
MAX_HEAD_BYTES = 64 * 1024


@dataclass(frozen=True)
class Received:
    """A request."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def json(self) -> dict[str, Any]:
        value: dict[str, Any] = msgspec.json.decode(self.body)
        return value


Respond = Callable[[Received, asyncio.StreamWriter], Awaitable[None]]


def answer(status: int = 200, body: bytes = b"ok", **headers: str) -> Respond:
    """Answer with a status, a body and headers."""

    async def respond(_received: Received, writer: asyncio.StreamWriter) -> None:
        lines = [f"HTTP/1.1 {status} Status", f"content-length: {len(body)}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        writer.write("\r\n".join([*lines, "", ""]).encode() + body)
        await writer.drain()

    return respond


def raw(content: bytes) -> Respond:
    """Write these bytes and close the connection."""

    async def respond(_received: Received, writer: asyncio.StreamWriter) -> None:
        writer.write(content)
        await writer.drain()
        writer.close()

    return respond


async def dripping(_received: Received, writer: asyncio.StreamWriter) -> None:
    """Send the answer so slowly that it never ends."""
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n")
    while not writer.is_closing():
        writer.write(b".")
        await writer.drain()
        await asyncio.sleep(0.02)


async def endless(_received: Received, writer: asyncio.StreamWriter) -> None:
    """Send an answer that never ends, as fast as it is read."""
    writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
    while not writer.is_closing():
        writer.write(b"400\r\n" + b"z" * 1024 + b"\r\n")
        await writer.drain()


async def never(_received: Received, _writer: asyncio.StreamWriter) -> None:
    """Do not answer, until the connection or the receiver is closed."""
    await asyncio.Event().wait()


async def cut(_received: Received, writer: asyncio.StreamWriter) -> None:
    """Close the connection without an answer."""
    writer.close()


@dataclass
class Receiver:
    """What came, and how to answer: `respond`, or what is in `script` first."""

    port: int = 0
    scheme: str = "http"
    host: str = HOST
    respond: Respond = field(default_factory=answer)
    script: list[Respond] = field(default_factory=list)
    received: list[Received] = field(default_factory=list)
    connections: int = 0
    _came: asyncio.Condition = field(default_factory=asyncio.Condition)

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.host}:{self.port}/hook"

    async def wait_for(self, count: int, seconds: float = 60.0) -> list[Received]:
        """Wait until so many requests have come, and return all."""
        async with asyncio.timeout(seconds), self._came:
            await self._came.wait_for(lambda: len(self.received) >= count)
        return list(self.received)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        self.connections += 1
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while not writer.is_closing():
                received = await _read(reader)
                async with self._came:
                    self.received.append(received)
                    self._came.notify_all()
                respond = self.script.pop(0) if self.script else self.respond
                await respond(received, writer)
        writer.close()


async def _read(reader: asyncio.StreamReader) -> Received:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.strip().split("\r\n")
    method, target, _ = first.split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Received(method, target, headers, body)


@asynccontextmanager
async def receiving(
    *, ssl_context: ssl.SSLContext | None = None, host: str = HOST, port: int = 0
) -> AsyncIterator[Receiver]:
    """Run a receiver during the body."""
    receiver = Receiver(scheme="http" if ssl_context is None else "https", host=host)
    tasks: set[asyncio.Task[None]] = set()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(receiver.serve(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        task.add_done_callback(lambda _: writer.close())

    server = await asyncio.start_server(
        connected, host, port, ssl=ssl_context, limit=MAX_HEAD_BYTES, backlog=1024
    )
    receiver.port = server.sockets[0].getsockname()[1]
    try:
        yield receiver
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()
