"""Closed-loop load generator in its own process: `python -m bench.load`.

Each connection sends its next request when it has received a response. To keep the client's own cost low, it
supports only responses with a Content-Length. Reads one `Plan` from stdin and writes one `LoadResult` to
stdout, both JSON.
"""

import asyncio
import math
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from typing import cast

import msgspec
import uvloop

from bench.measuring import milliseconds, percentile
from bench.stack import FINAL, HOST, ROOT, Api

HEADERS_END = b"\r\n\r\n"
TIMEOUT_SECONDS = 60.0
"""Timeout for the last responses after the end of the measurement; a server that hangs is an error."""

PAUSE_SECONDS = 0.005
"""Polling interval while a job has not ended."""


class Plan(msgspec.Struct, frozen=True):
    """What to send. With `status_path`, the client polls each created job until it has ended.

    The first `warm_up_seconds` do not count.
    """

    port: int
    headers: dict[str, str]
    path: str
    body: str = ""
    method: str = "POST"
    connections: int = 16
    warm_up_seconds: float = 1.0
    seconds: float = 5.0
    status_path: str | None = None
    id_field: str = "job_id"
    pause_seconds: float = PAUSE_SECONDS
    final: tuple[str, ...] = FINAL


class LoadResult(msgspec.Struct, frozen=True):
    """Measurements. A cycle is one request, or a job from its POST to the response that shows its end."""

    cycles: int
    seconds: float
    request_ms: dict[str, float]
    cycle_ms: dict[str, float]
    statuses: dict[str, int]
    ended: dict[str, int]
    polls_per_cycle: float

    @property
    def rate(self) -> float:
        """Cycles per second."""
        return self.cycles / self.seconds


def run(plan: Plan) -> LoadResult:
    """Execute the plan in a subprocess."""
    done = subprocess.run(
        [sys.executable, "-m", "bench.load"],
        input=msgspec.json.encode(plan),
        stdout=subprocess.PIPE,
        cwd=ROOT,
        check=True,
    )
    return msgspec.json.decode(done.stdout, type=LoadResult)


def request(method: str, path: str, headers: dict[str, str], body: bytes = b"") -> bytes:
    """Encode a request."""
    lines = [
        f"{method} {path} HTTP/1.1",
        f"Host: {HOST}",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    if method != "GET":
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


def post_plan(
    api: Api, headers: dict[str, str], path: str, body: object, seconds: float, **more: object
) -> Plan:
    """Create a plan that repeats one POST."""
    encoded = msgspec.json.encode(body).decode()
    return Plan(api.port, headers, path, encoded, seconds=seconds, **more)  # type: ignore[arg-type]  # by name


class Connection(asyncio.Protocol):
    """A persistent connection that carries one request at a time."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[tuple[int, bytes]] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are not subclasses of asyncio's.
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        end = self._buffer.find(HEADERS_END)
        if end < 0:
            return
        head = bytes(self._buffer[:end]).lower()
        start = end + len(HEADERS_END)
        place = head.find(b"content-length:")
        if place < 0:
            self._fail(ValueError(f"a response without Content-Length: {head[:200]!r}"))
            return
        length = int(head[place + 15 :].split(b"\r\n", 1)[0])
        if len(self._buffer) < start + length:
            return
        body = bytes(self._buffer[start : start + length])
        del self._buffer[: start + length]
        if self._answer is not None and not self._answer.done():
            self._answer.set_result((int(head[9:12]), body))

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(exc or ConnectionError("the server closed the connection"))

    def _fail(self, error: Exception) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error)

    async def send(self, data: bytes) -> tuple[int, bytes]:
        """Send a request; return the response's status and body."""
        assert self._transport is not None
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(data)
        return await self._answer


async def connect(port: int) -> Connection:
    """Open a connection."""
    _, connection = await asyncio.get_running_loop().create_connection(Connection, HOST, port)
    return connection


class _Client:
    """Executes a plan on all its connections."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._post = request(plan.method, plan.path, plan.headers, plan.body.encode())
        self._statuses: Counter[str] = Counter()
        self._ended: Counter[str] = Counter()
        self._requests: list[float] = []
        self._cycles: list[float] = []
        self._polls = 0
        self._start = math.inf  # nothing counts until `run` sets the start
        self._end = -math.inf

    async def run(self) -> LoadResult:
        connections = await asyncio.gather(*(connect(self._plan.port) for _ in range(self._plan.connections)))
        self._start = time.perf_counter() + self._plan.warm_up_seconds
        self._end = self._start + self._plan.seconds
        async with asyncio.timeout(self._plan.warm_up_seconds + self._plan.seconds + TIMEOUT_SECONDS):
            await asyncio.gather(*(self._drive(connection) for connection in connections))
        return LoadResult(
            cycles=len(self._cycles),
            seconds=self._plan.seconds,
            request_ms=_summary(self._requests),
            cycle_ms=_summary(self._cycles),
            statuses=dict(self._statuses),
            ended=dict(self._ended),
            polls_per_cycle=self._polls / max(1, len(self._cycles)),
        )

    async def _drive(self, connection: Connection) -> None:
        while (began := time.perf_counter()) < self._end:
            status, body = await connection.send(self._post)
            answered = time.perf_counter()
            self._statuses[str(status)] += 1
            polls, ended = 0, ""
            if self._plan.status_path is not None and status < 300:
                polls, ended = await self._until_ended(connection, body)
            done = time.perf_counter()
            # A cycle counts if it ends within the measurement, whenever it began.
            if self._start <= done < self._end:
                self._cycles.append(done - began)
                self._polls += polls
                if ended:
                    self._ended[ended] += 1
            if self._start <= answered < self._end:
                self._requests.append(answered - began)

    async def _until_ended(self, connection: Connection, body: bytes) -> tuple[int, str]:
        assert self._plan.status_path is not None
        path = self._plan.status_path.format(id=msgspec.json.decode(body)[self._plan.id_field])
        ask = request("GET", path, self._plan.headers)
        polls = 0
        while True:
            _, body = await connection.send(ask)
            polls += 1
            ended: str = msgspec.json.decode(body)["status"]
            if ended in self._plan.final:
                return polls, ended
            await asyncio.sleep(self._plan.pause_seconds)


def _summary(seconds: Sequence[float]) -> dict[str, float]:
    """Return what the durations were; nothing if there are none, as in a burst that is over too soon."""
    if not seconds:
        return {}
    return {
        "p50": milliseconds(percentile(seconds, 0.5)),
        "p95": milliseconds(percentile(seconds, 0.95)),
        "p99": milliseconds(percentile(seconds, 0.99)),
        "max": milliseconds(max(seconds)),
    }


def main() -> None:
    plan = msgspec.json.decode(sys.stdin.buffer.read(), type=Plan)
    sys.stdout.buffer.write(msgspec.json.encode(uvloop.run(_Client(plan).run())))


if __name__ == "__main__":
    main()
