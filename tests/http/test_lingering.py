"""Whoever is refused while they still send can read why."""

import asyncio
import contextlib
import shutil
import socket
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import structlog
import uvicorn
from fastapi import FastAPI
from prometheus_client import REGISTRY

from app.core.config import Settings
from app.http.connection_limits import ConnectionCounter
from app.http.protocol import bounded
from tests.support import apis
from tests.support.app_state import state_of
from tests.support.waiting import until

MIB = 1024 * 1024
LIMIT = 2 * MIB


@dataclass(frozen=True)
class Server:
    """The API on a real server, and a client of it who has signed in."""

    host: str
    port: int
    client: httpx.AsyncClient


class QuietServer(uvicorn.Server):
    """Leaves the signals of the test process alone."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(
        update={
            "max_dataset_bytes": LIMIT,
            "max_model_bytes": LIMIT,
            "max_body_bytes": LIMIT,
            "min_bytes_per_second": MIB,
            "body_grace_seconds": 1.0,
        }
    )


@pytest.fixture
async def api(app: FastAPI, settings: Settings) -> AsyncIterator[Server]:
    headers = await apis.sign_in(settings, state_of(app).resources.database)
    counter = ConnectionCounter(limit=1000, limit_per_address=520)
    protocol = bounded(counter, max_head_bytes=settings.max_header_bytes, head_seconds=1.0)
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listener:
        config = uvicorn.Config(
            app, lifespan="off", log_config=None, timeout_graceful_shutdown=1, http=protocol, loop="uvloop"
        )
        server = QuietServer(config)
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        host, port = listener.getsockname()
        async with httpx.AsyncClient(base_url=f"http://{host}:{port}", headers=headers, timeout=30) as client:
            await until_answered(client)
            yield Server(host, port, client)
        server.should_exit = True
        await serving

        async def is_none_counted() -> bool:
            return counter.total == 0

        await until(is_none_counted)  # the loop may still read the end of some of them


async def until_answered(client: httpx.AsyncClient) -> None:
    assert (await client.get("/health/live")).status_code == 200


REFUSED = [
    ("/datasets?name=x", "text/csv", True, 413),
    ("/datasets?name=x", "text/csv", False, 401),
    ("/models/mine/versions", "application/octet-stream", True, 413),
    ("/models/mine/versions", "application/octet-stream", False, 401),
    ("/jobs/batch-predict", "application/json", True, 413),
    ("/jobs/batch-predict", "application/json", False, 401),
    ("/users", "application/json", False, 413),
    ("/token", "application/x-www-form-urlencoded", False, 413),
    ("/nowhere", "application/json", True, 404),
]


def lines(count: int) -> Iterator[bytes]:
    for _ in range(count):
        yield b"x," * 31 + b"x\n"


@pytest.mark.parametrize("is_chunked", [False, True], ids=["length", "chunked"])
async def test_httpx_reads_the_refusal_of_a_body_that_it_still_sends(api: Server, is_chunked: bool) -> None:
    body = b"".join(lines(1_000_000))

    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(body), MIB // 4):
            yield body[start : start + MIB // 4]

    for path, kind, is_signed_in, status in REFUSED:
        headers = {"Content-Type": kind}
        if not is_signed_in:
            headers["Authorization"] = "Bearer forged"
        content = chunks() if is_chunked else body
        answer = await api.client.post(path, content=content, headers=headers)
        assert answer.status_code == status, path
        assert answer.json()["status"] == status


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl")
@pytest.mark.parametrize("framing", ["Expect:", "Transfer-Encoding: chunked"])
async def test_curl_reads_it_too(api: Server, tmp_path: Path, framing: str) -> None:
    file = tmp_path / "large"
    file.write_bytes(b"".join(lines(500_000)))
    for path, kind, is_signed_in, status in REFUSED:
        token = api.client.headers["Authorization"] if is_signed_in else "Bearer forged"
        process = await asyncio.create_subprocess_exec(
            *("curl", "-sS", "-X", "POST", "-H", f"Authorization: {token}", "-H", f"Content-Type: {kind}"),
            *("-H", "Expect:", "-H", framing, "--data-binary", f"@{file}", "-w", "\n%{http_code}"),
            str(api.client.base_url.join(path)),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate()
        assert (process.returncode, err) == (0, b""), path
        assert out.endswith(b"\n%d" % status), path


async def talk(api: Server, *pieces: bytes, pause: float = 0.0) -> bytes:
    """Send the pieces, whatever the server says, and then read to the end."""
    loop = asyncio.get_running_loop()
    with socket.socket() as connection:
        connection.setblocking(False)
        await loop.sock_connect(connection, (api.host, api.port))
        for piece in pieces:
            await loop.sock_sendall(connection, piece)
            await asyncio.sleep(pause)
        heard = b""
        async with asyncio.timeout(15):
            while received := await loop.sock_recv(connection, 65536):
                heard += received
        return heard


async def test_a_raw_socket_reads_it_after_all_is_sent(api: Server) -> None:
    head = b"POST /users HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"

    heard = await talk(api, head % (64 * MIB), *[b" " * MIB] * 64)

    assert heard.startswith(b"HTTP/1.1 413 ")
    assert b"connection: close" in heard
    assert b'"code":"body_too_large"' in heard


@pytest.mark.parametrize(
    "pieces",
    [
        [b"GET / HTTP/1.1\r\nHost: x\r\nX-Long: ", *[b"x" * MIB] * 20],
        [b"GET /" + b"x" * MIB + b" HTTP/1.1\r\nHost: x\r\n\r\n"],
        [b"GET / HTTP/1.1\r\nHost: x\r\n", *[b"X-One: 1\r\n"] * 5000],
        [b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X-One: 1\r\n" * 150 + b"\r\n"],
        [b"\r\n" * MIB],
        [b"GET / HTTP/1.1\r\nHost: x\r\nX-Long: " + b"x" * 40_000 + b"\r\n\r\n"],
    ],
    ids=["a header without an end", "the path", "many headers", "many short ones", "empty lines", "one long"],
)
async def test_a_head_that_is_too_large_is_a_431(api: Server, pieces: list[bytes]) -> None:
    heard = await talk(api, *pieces)

    assert heard.startswith(b"HTTP/1.1 431 ")
    assert b'"code":"request_head_too_large"' in heard


async def test_trailers_without_an_end_are_not_kept(api: Server) -> None:
    head = b"POST /users HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    head += b"Transfer-Encoding: chunked\r\n\r\n"

    heard = await talk(api, head + b"2\r\n{}\r\n0\r\n", *[b"X-Trailer: " + b"x" * MIB] * 20)

    assert heard.startswith((b"HTTP/1.1 408 ", b"HTTP/1.1 431 "))


async def test_what_is_not_http_is_a_400_that_is_counted_and_logged_once(
    api: Server, caplog: pytest.LogCaptureFixture
) -> None:
    counted = refused("malformed_request")

    with structlog.testing.capture_logs() as records:
        assert (await talk(api, b"\x16\x03\x01 hello\r\n\r\n")).startswith(b"HTTP/1.1 400 ")

    assert refused("malformed_request") == counted + 1
    assert [record["code"] for record in records if record["event"] == "connection_refused"] == [
        "malformed_request"
    ]
    assert not [record for record in caplog.records if record.name.startswith("uvicorn")]


def refused(code: str) -> float:
    return REGISTRY.get_sample_value("headrace_connections_refused_total", {"code": code}) or 0.0


async def test_a_head_that_does_not_come_is_a_408(api: Server) -> None:
    assert (await talk(api, b"GET /health/live HT")).startswith(b"HTTP/1.1 408 ")
    assert await talk(api) == b""  # nothing was asked, so nothing is answered


@pytest.mark.parametrize(
    "path", ["/users", "/datasets?name=x", "/models/mine/versions", "/jobs/batch-predict"]
)
async def test_a_body_that_dribbles_is_a_408(api: Server, path: str) -> None:
    token = api.client.headers["Authorization"].encode()
    kind = b"application/json" if path in ("/users", "/jobs/batch-predict") else b"text/csv"
    head = b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: %s\r\nAuthorization: %s\r\n"
    head += b"Content-Length: 50000\r\n\r\n"

    heard = await talk(api, head % (path.encode(), kind, token), b"a", b"b", pause=0.2)

    assert heard.startswith(b"HTTP/1.1 408 ")
    assert b'"code":"request_timeout"' in heard


async def test_five_hundred_slow_sockets_do_not_keep_others_from_an_answer(api: Server) -> None:
    slow = [socket.create_connection((api.host, api.port)) for _ in range(500)]
    try:
        for number, connection in enumerate(slow):
            connection.sendall(
                b"POST /users HTTP/1.1\r\nContent-Length: 60000\r\n\r\n{" if number % 2 else b"GET / HT"
            )
        answer = await api.client.get("/jobs", timeout=10)
    finally:
        for connection in slow:
            connection.close()

    assert answer.status_code == 200


async def test_one_address_may_not_hold_all_connections(api: Server) -> None:
    opened = [socket.create_connection((api.host, api.port)) for _ in range(525)]
    try:
        refused = opened[-1]
        refused.settimeout(10)
        heard = await asyncio.to_thread(refused.recv, 4096)
        others = socket.create_connection((api.host, api.port), source_address=("127.0.0.2", 0))
        others.settimeout(10)
        others.sendall(b"GET /health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        served = await asyncio.to_thread(others.recv, 4096)
        others.close()
    finally:
        for connection in opened:
            connection.close()

    assert heard.startswith(b"HTTP/1.1 503 ")
    assert b"retry-after" in heard
    assert served.startswith(b"HTTP/1.1 200 ")


async def test_a_connection_is_used_again_after_a_small_body_is_refused(api: Server) -> None:
    head = b"POST /users HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
    last = b"GET /health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"

    heard = await talk(api, head, last, pause=0.2)

    assert heard.startswith(b"HTTP/1.1 422 ")
    assert b"HTTP/1.1 200 OK" in heard


async def test_a_refused_httpx_client_can_go_on(api: Server) -> None:
    refused = await api.client.post(
        "/users", content=b"x" * 200_000, headers={"Content-Type": "application/json"}
    )
    answer = await api.client.get("/health/live")

    assert (refused.status_code, answer.status_code) == (413, 200)
