"""A server with scripted responses, for faults that a real one does not have on demand."""

import asyncio
import json
import time
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

HOST = "127.0.0.1"
JOB_ID = "019aa7c1-f3e2-7bd0-8c5d-3f1e2a4b6c8d"


@dataclass(frozen=True)
class Asked:
    """A request that the server has received."""

    line: str
    headers: dict[str, str]
    body: bytes
    at: float


Script = Callable[[Asked, StreamWriter], Awaitable[None]]


@dataclass
class Scripted:
    """Responds to each request by the script, and records it."""

    script: Script
    asked: list[Asked] = field(default_factory=list)
    url: str = ""
    serving: set[asyncio.Task[None]] = field(default_factory=set)

    def accept(self, reader: StreamReader, writer: StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self.serving.add(task)
        task.add_done_callback(self.serving.discard)

    async def _serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                await self._answer(reader, writer)
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    async def _answer(self, reader: StreamReader, writer: StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        line, *lines = head.strip().split("\r\n")
        headers = dict(text.lower().split(": ", 1) for text in lines)
        is_chunked = headers.get("transfer-encoding") == "chunked"
        body = (
            await reader.readuntil(b"\r\n0\r\n\r\n")
            if is_chunked
            else await reader.readexactly(int(headers.get("content-length", "0")))
        )
        asked = Asked(line, headers, body, time.monotonic())
        self.asked.append(asked)
        await self.script(asked, writer)
        await writer.drain()


def answer(status: int, body: object, **headers: str) -> bytes:
    """A whole response: JSON, or HTML if the body is a string. Closes the connection."""
    encoded = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    fields = {
        "Content-Type": "text/html" if isinstance(body, str) else "application/json",
        "Content-Length": str(len(encoded)),
        "Connection": "close",
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"HTTP/1.1 {status} Scripted\r\n{head}\r\n".encode() + encoded


STREAM_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"


def frame(seq: int, event: str = "update", **members: object) -> bytes:
    """An event of a stream."""
    kind = "completed" if event == "complete" else "progress"
    status = "completed" if event == "complete" else "running"
    data = {"job_id": JOB_ID, "seq": seq, "type": kind, "status": status, **members}
    return f"id: {seq}\nevent: {event}\ndata: {json.dumps(data)}\n\n".encode()


@asynccontextmanager
async def scripted(script: Script) -> AsyncIterator[Scripted]:
    """Run a server with these handlers."""
    found = Scripted(script)
    server = await asyncio.start_server(found.accept, HOST, 0)
    found.url = f"http://{HOST}:{server.sockets[0].getsockname()[1]}"
    try:
        yield found
    finally:
        server.close()
        for task in found.serving:
            task.cancel()
        await asyncio.gather(*found.serving, return_exceptions=True)


@asynccontextmanager
async def answering(*answers: bytes) -> AsyncIterator[Scripted]:
    """A server that gives one of these responses per request, and repeats the last one."""
    left = list(answers)

    async def script(_asked: Asked, writer: StreamWriter) -> None:
        writer.write(left.pop(0) if len(left) > 1 else left[0])

    async with scripted(script) as found:
        yield found
