"""Process that holds thousands of stream clients: `python -m bench.listen`.

Reads one `Plan` (a line of JSON) from stdin, opens all streams, writes a line to stdout, listens until stdin
or every stream ends, and writes one `Received` (JSON). Parses only enough to tell which event arrived when,
so that the client does not distort the measurement.
"""

import asyncio
import base64
import os
import re
import subprocess
import sys
import time
from collections import Counter
from typing import Final, Literal, cast

import msgspec
import uvloop

from bench.stack import HOST, ROOT, allow_many_files

OPENING_AT_ONCE: Final = 50
EXIT_SECONDS: Final = 120.0

_SSE_ID: Final = re.compile(rb"\nid: (\d+)\n|^id: (\d+)\n")
_WS_SEQ: Final = re.compile(rb'"seq":(\d+)')
_WS_DATE: Final = re.compile(rb'"date":"([^"]+)"')

TEXT: Final = 0x1
CLOSE: Final = 0x8
PING: Final = 0x9
PONG: Final = 0xA

Transport = Literal["sse", "websocket"]


class Stream(msgspec.Struct, frozen=True):
    """One stream to open."""

    transport: Transport
    path: str
    headers: dict[str, str]


class Plan(msgspec.Struct, frozen=True):
    """Streams to open on the server at `port`."""

    port: int
    streams: list[Stream]


class Received(msgspec.Struct, frozen=True):
    """Received events as (index of the stream in the plan, seq, time) and ticks as (index, date, time)."""

    events: list[tuple[int, int, float]]
    ticks: list[tuple[int, str, float]]
    ends: dict[str, int]
    """Number of streams by how they ended: `shutdown`, a WebSocket close code, or `cut` without notice."""


class Listener:
    """Runs `bench.listen` in a subprocess."""

    def __init__(self, plan: Plan) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.listen"], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert self._process.stdin is not None
        self._process.stdin.write(msgspec.json.encode(plan) + b"\n")
        self._process.stdin.flush()
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == b"open\n"

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def kill(self) -> None:
        """Kill the process, so that all its clients disappear at once."""
        self._process.kill()
        self._process.wait()

    def stop(self) -> Received:
        """Close all streams and return what they have received."""
        output, _ = self._process.communicate(timeout=EXIT_SECONDS)
        if self._process.returncode != 0:
            raise RuntimeError(f"bench.listen exited with code {self._process.returncode}")
        return msgspec.json.decode(output, type=Received)


class _Client(asyncio.Protocol):
    """Client of one stream."""

    def __init__(self, place: int, stream: Stream, collector: "_Collector") -> None:
        self._place = place
        self._stream = stream
        self._collector = collector
        self._buffer = bytearray()
        self._is_open = False
        self._end = "cut"
        self._transport: asyncio.Transport | None = None
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are not subclasses of asyncio's.
        self._transport = cast("asyncio.Transport", transport)
        headers = {"Host": HOST, **self._stream.headers}
        if self._stream.transport == "websocket":
            headers |= {
                "Connection": "Upgrade",
                "Upgrade": "websocket",
                "Sec-WebSocket-Version": "13",
                "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(),
            }
        lines = [f"GET {self._stream.path} HTTP/1.1", *map(": ".join, headers.items()), "", ""]
        self._transport.write("\r\n".join(lines).encode())

    def data_received(self, data: bytes) -> None:
        now = time.time()
        self._buffer += data
        if not self._is_open and not self._open():
            return
        if self._stream.transport == "sse":
            self._read_sse(now)
        else:
            self._read_frames(now)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.opened.done():
            self.opened.set_exception(exc or ConnectionError(f"refused: {bytes(self._buffer[:300])!r}"))
        self._collector.record_end(self._end)

    def _open(self) -> bool:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return False
        status = int(self._buffer[9:12])
        if status not in (200, 101):
            self.opened.set_exception(ConnectionError(f"refused: {bytes(self._buffer[:300])!r}"))
            return False
        del self._buffer[: end + 4]
        self._is_open = True
        self.opened.set_result(None)
        return True

    def _read_sse(self, now: float) -> None:
        end = self._buffer.rfind(b"\n\n")
        if end < 0:
            return
        frames = bytes(self._buffer[: end + 2])
        del self._buffer[: end + 2]
        for found in _SSE_ID.finditer(frames):
            self._collector.events.append((self._place, int(found[1] or found[2]), now))
        if b"event: shutdown" in frames:
            self._end = "shutdown"

    def _read_frames(self, now: float) -> None:
        buffer = self._buffer
        while len(buffer) >= 2:
            size, start = buffer[1] & 0x7F, 2
            if size == 126:
                size, start = int.from_bytes(buffer[2:4], "big"), 4
            elif size == 127:
                size, start = int.from_bytes(buffer[2:10], "big"), 10
            if len(buffer) < start + size:
                return
            kind, payload = buffer[0] & 0x0F, bytes(buffer[start : start + size])
            del buffer[: start + size]
            self._take(kind, payload, now)

    def _take(self, kind: int, payload: bytes, now: float) -> None:
        assert self._transport is not None
        if kind == TEXT:
            if found := _WS_SEQ.search(payload):
                self._collector.events.append((self._place, int(found[1]), now))
            elif found := _WS_DATE.search(payload):
                self._collector.ticks.append((self._place, found[1].decode(), now))
        elif kind == PING:
            # Masking with zeros leaves the payload unchanged.
            self._transport.write(bytes((0x80 | PONG, 0x80 | len(payload))) + b"\0\0\0\0" + payload)
        elif kind == CLOSE:
            self._end = str(int.from_bytes(payload[:2], "big"))
            self._transport.write(bytes((0x80 | CLOSE, 0x82)) + b"\0\0\0\0" + payload[:2])


class _Collector:
    """Collects what all clients receive."""

    def __init__(self, streams: int) -> None:
        self.events: list[tuple[int, int, float]] = []
        self.ticks: list[tuple[int, str, float]] = []
        self.ends: Counter[str] = Counter()
        self.all_ended = asyncio.Event()
        self._open = streams

    def record_end(self, reason: str) -> None:
        self.ends[reason] += 1
        self._open -= 1
        if not self._open:
            self.all_ended.set()


async def _listen(plan: Plan) -> Received:
    loop = asyncio.get_running_loop()
    collector = _Collector(len(plan.streams))
    for first in range(0, len(plan.streams), OPENING_AT_ONCE):
        clients = [
            _Client(place, plan.streams[place], collector)
            for place in range(first, min(first + OPENING_AT_ONCE, len(plan.streams)))
        ]
        for client in clients:
            await loop.create_connection(lambda client=client: client, HOST, plan.port)  # type: ignore[misc]
        await asyncio.gather(*(client.opened for client in clients))
    sys.stdout.write("open\n")
    sys.stdout.flush()
    stop_requested = loop.run_in_executor(None, sys.stdin.buffer.read)
    ended = asyncio.create_task(collector.all_ended.wait())
    await asyncio.wait({stop_requested, ended}, return_when=asyncio.FIRST_COMPLETED)
    return Received(collector.events, collector.ticks, dict(collector.ends))


def main() -> None:
    allow_many_files()
    plan = msgspec.json.decode(sys.stdin.buffer.readline(), type=Plan)
    received = uvloop.run(_listen(plan))
    # Under PYTHONUNBUFFERED, `sys.stdout.buffer` may silently write only a part.
    with open(sys.stdout.fileno(), "wb", closefd=False) as output:
        output.write(msgspec.json.encode(received))


if __name__ == "__main__":
    main()
