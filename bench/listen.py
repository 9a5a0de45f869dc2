"""Thousands of clients that follow streams, in a process of their own: `python -m bench.listen`.

Reads one `Plan` (a line of JSON) from its standard input, opens everything, writes a line, listens until its
input ends or every stream has, and writes one `Heard` (JSON). It parses as much as it takes to know which
event came when: the client is not what is measured.
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
SEEN_SECONDS: Final = 120.0

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
    """What to open on the server at this port."""

    port: int
    streams: list[Stream]


class Heard(msgspec.Struct, frozen=True):
    """What came. An event is (place of the stream in the plan, seq, time), a tick (place, date, time)."""

    events: list[tuple[int, int, float]]
    ticks: list[tuple[int, str, float]]
    ends: dict[str, int]
    """How many streams ended with `shutdown`, with which close code, or `cut` without a word."""


class Listener:
    """The process, seen from the script that measures."""

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
        """Let all its clients vanish at once."""
        self._process.kill()
        self._process.wait()

    def stop(self) -> Heard:
        """Close what is still open, and say what was heard."""
        said, _ = self._process.communicate(timeout=SEEN_SECONDS)
        if self._process.returncode != 0:
            raise RuntimeError(f"the listener ended with {self._process.returncode}")
        return msgspec.json.decode(said, type=Heard)


class _Client(asyncio.Protocol):
    """One stream."""

    def __init__(self, place: int, stream: Stream, heard: "_Hearing") -> None:
        self._place = place
        self._stream = stream
        self._heard = heard
        self._buffer = bytearray()
        self._is_open = False
        self._end = "cut"
        self._transport: asyncio.Transport | None = None
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclasses of asyncio's.
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
        self._heard.ended(self._end)

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
            self._heard.events.append((self._place, int(found[1] or found[2]), now))
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
                self._heard.events.append((self._place, int(found[1]), now))
            elif found := _WS_DATE.search(payload):
                self._heard.ticks.append((self._place, found[1].decode(), now))
        elif kind == PING:
            # A mask of zeros leaves the payload as it is.
            self._transport.write(bytes((0x80 | PONG, 0x80 | len(payload))) + b"\0\0\0\0" + payload)
        elif kind == CLOSE:
            self._end = str(int.from_bytes(payload[:2], "big"))
            self._transport.write(bytes((0x80 | CLOSE, 0x82)) + b"\0\0\0\0" + payload[:2])


class _Hearing:
    """What all clients together have heard."""

    def __init__(self, streams: int) -> None:
        self.events: list[tuple[int, int, float]] = []
        self.ticks: list[tuple[int, str, float]] = []
        self.ends: Counter[str] = Counter()
        self.everything_ended = asyncio.Event()
        self._open = streams

    def ended(self, how: str) -> None:
        self.ends[how] += 1
        self._open -= 1
        if not self._open:
            self.everything_ended.set()


async def _listen(plan: Plan) -> Heard:
    loop = asyncio.get_running_loop()
    hearing = _Hearing(len(plan.streams))
    for first in range(0, len(plan.streams), OPENING_AT_ONCE):
        clients = [
            _Client(place, plan.streams[place], hearing)
            for place in range(first, min(first + OPENING_AT_ONCE, len(plan.streams)))
        ]
        for client in clients:
            await loop.create_connection(lambda client=client: client, HOST, plan.port)  # type: ignore[misc]
        await asyncio.gather(*(client.opened for client in clients))
    sys.stdout.write("open\n")
    sys.stdout.flush()
    told_to_stop = loop.run_in_executor(None, sys.stdin.buffer.read)
    ended = asyncio.create_task(hearing.everything_ended.wait())
    await asyncio.wait({told_to_stop, ended}, return_when=asyncio.FIRST_COMPLETED)
    return Heard(hearing.events, hearing.ticks, dict(hearing.ends))


def main() -> None:
    allow_many_files()
    plan = msgspec.json.decode(sys.stdin.buffer.readline(), type=Plan)
    heard = uvloop.run(_listen(plan))
    # Under PYTHONUNBUFFERED `sys.stdout.buffer` may write a part of it and say nothing.
    with open(sys.stdout.fileno(), "wb", closefd=False) as answer:
        answer.write(msgspec.json.encode(heard))


if __name__ == "__main__":
    main()
