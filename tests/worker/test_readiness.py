"""The health server of a real worker process, over HTTP."""

import asyncio
import re
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
import structlog
import structlog.testing

from app.core import health_server
from app.core.config import Settings
from app.core.database import Database
from tests.conftest import Servers
from tests.support import jobs, processes, proxy, rows
from tests.support.processes import START_SECONDS, Process
from tests.support.waiting import until
from worker.readiness import Readiness

ENDED = "SELECT status = 'completed' FROM jobs WHERE id = $1"


@asynccontextmanager
async def a_worker(
    settings: Settings, folder: Path, *, is_started: bool = True, **more: str
) -> AsyncIterator[tuple[Process, httpx.AsyncClient]]:
    """Start a worker process on a free port, and yield it with an HTTP client."""
    environment = processes.environment(settings, WORKER_PORT="0", LOG_LEVEL="INFO", **more)
    environment["ENVIRONMENT"] = "development"
    log_path = folder / "worker.log"
    async with processes.program("worker", env=environment, log_path=log_path) as process:
        await process.wait_for_log("health_server_listening", seconds=START_SECONDS)
        if is_started:
            await process.wait_for_log("worker_started", seconds=START_SECONDS)
        async with httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{_port(process)}", timeout=START_SECONDS, trust_env=False
        ) as client:
            yield process, client


def _port(process: Process) -> int:
    plain = re.sub(r"\x1b\[[0-9;]*m", "", process.log)
    found = re.search(r"health_server_listening.*?port\W+(\d+)", plain)
    assert found is not None, plain
    return int(found[1])


async def test_a_working_worker_is_live_ready_and_has_metrics(
    settings: Settings, database: Database, tmp_path: Path
) -> None:
    job_id = await jobs.create(database)
    async with a_worker(settings, tmp_path) as (_, client):
        await until(lambda: rows.value(database, ENDED, job_id))
        live, ready = await client.get("/health/live"), await client.get("/health/ready")
        metrics = await client.get("/metrics")

    for answer in (live, ready):
        assert (answer.status_code, answer.json()) == (200, {"status": "ok"})
        assert answer.headers["content-type"] == "application/json"
    assert metrics.headers["content-type"].startswith("text/plain")
    assert re.search(r"^headrace_worker_slots(\{.*\})? 3\.0$", metrics.text, re.MULTILINE)
    assert 'headrace_wait_seconds_count{queue="default"} 1.0' in metrics.text
    assert "headrace_commit_seconds_count" in metrics.text


async def test_a_worker_without_postgres_is_live_but_not_ready_until_it_returns(
    settings: Settings, servers: Servers, tmp_path: Path
) -> None:
    async with proxy.proxy_postgres(servers.embedded.postgres) as network:
        through = settings.model_copy(
            update={"database_url": proxy.postgres_url(network, settings.database_url)}
        )
        async with a_worker(through, tmp_path) as (process, client):
            await until(lambda: is_ready(client))

            await network.refuse()
            await until(lambda: has_status(client, 503, "no_lease"))
            assert (await client.get("/health/live")).status_code == 200
            assert (await client.get("/metrics")).status_code == 200

            await network.accept()
            await until(lambda: is_ready(client))
            assert process.is_running


async def test_a_worker_that_waits_for_postgres_is_live_but_not_ready(
    settings: Settings, servers: Servers, tmp_path: Path
) -> None:
    async with proxy.proxy_postgres(servers.embedded.postgres) as network:
        await network.refuse()
        through = settings.model_copy(
            update={"database_url": proxy.postgres_url(network, settings.database_url)}
        )
        async with a_worker(through, tmp_path, is_started=False) as (process, client):
            await process.wait_for_log("waiting_for_postgres", seconds=START_SECONDS)
            assert (await client.get("/health/live")).status_code == 200
            assert await has_status(client, 503, "no_lease")

            await network.accept()
            await until(lambda: is_ready(client))


async def test_bad_requests_and_slow_clients_affect_neither_others_nor_the_worker(
    settings: Settings, tmp_path: Path
) -> None:
    async with a_worker(settings, tmp_path) as (process, client):
        port = _port(process)
        slow = [await asyncio.open_connection("127.0.0.1", port) for _ in range(100)]
        for _, writer in slow:
            writer.write(b"GET /health/live HTTP/1.1\r\nHost: wor")

        statuses = {sent[:24]: await answer_to(port, sent) for sent in BAD}
        assert statuses == {sent[:24]: status for sent, status in BAD.items()}
        assert (await client.head("/health/ready")).content == b""
        assert await is_ready(client)

        process.send(signal.SIGTERM)
        assert await process.wait(START_SECONDS) == 0
        for _, writer in slow:
            writer.close()
        assert "Traceback" not in process.log


async def test_a_worker_does_not_start_if_its_port_is_in_use(settings: Settings, tmp_path: Path) -> None:
    with socket.create_server(("0.0.0.0", 0)) as taken:
        port = taken.getsockname()[1]
        environment = processes.environment(settings, WORKER_PORT=str(port))
        log_path = tmp_path / "worker.log"
        async with processes.program("worker", env=environment, log_path=log_path) as process:
            assert await process.wait(START_SECONDS) == 1

    assert f"The worker cannot start: WORKER_PORT: cannot listen on port {port}: " in process.log
    assert "Traceback" not in process.log


async def test_a_stopping_worker_is_not_ready() -> None:
    readiness = Readiness(is_stopping=lambda: True, holds_lease=lambda: True)

    async with served(readiness) as client:
        assert await has_status(client, 503, "stopping")
        assert (await client.get("/health/live")).status_code == 200


async def test_nothing_is_served_without_a_port(capsys: pytest.CaptureFixture[str]) -> None:
    async with health_server.serving(None, lambda: "ok", setting="WORKER_PORT"):
        pass

    assert "health_server_listening" not in "".join(capsys.readouterr())


BAD = {
    b"GET /nothing HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n": 404,
    b"GET /metrics/ HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n": 404,
    b"POST /health/ready HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 0\r\n\r\n": 405,
    b"\x16\x03\x01 a handshake of TLS\r\n\r\n": 400,
    b"what is this\r\n\r\n": 400,
    b"GET /health/live HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, close\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n": 200,
}


async def answer_to(port: int, sent: bytes) -> int:
    """Send raw bytes, and return the status code of the response."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(sent)
        async with asyncio.timeout(START_SECONDS):
            return int((await reader.readline()).split()[1])
    finally:
        writer.close()


async def has_status(client: httpx.AsyncClient, status_code: int, status: str) -> bool:
    """Return whether `/health/ready` has this status."""
    answer = await client.get("/health/ready")
    return (answer.status_code, answer.json()) == (status_code, {"status": status})


async def is_ready(client: httpx.AsyncClient) -> bool:
    return await has_status(client, 200, "ok")


@asynccontextmanager
async def served(readiness: Readiness) -> AsyncIterator[httpx.AsyncClient]:
    """Serve in this process, and yield an HTTP client."""
    with structlog.testing.capture_logs() as records:
        async with health_server.serving(0, lambda: readiness.status, setting="WORKER_PORT"):
            [record] = [record for record in records if record["event"] == "health_server_listening"]
            async with httpx.AsyncClient(
                base_url=f"http://127.0.0.1:{record['port']}", trust_env=False
            ) as client:
                yield client
