"""The HTTP server of a worker for liveness, readiness and metrics, used by Kubernetes and Prometheus."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any, Final

import structlog
import uvicorn
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, generate_latest

STOP_SECONDS: Final = 1

log = structlog.get_logger(__name__)


@dataclass
class Readiness:
    """Whether the worker takes jobs: it has registered, holds its lease and is not stopping."""

    is_stopping: Callable[[], bool]
    holds_lease: Callable[[], bool] | None = None
    """None until the worker has created its lease."""

    @property
    def status(self) -> str:
        """`ok`, `stopping` or `no_lease`."""
        if self.is_stopping():
            return "stopping"
        if self.holds_lease is None or not self.holds_lease():
            return "no_lease"
        return "ok"


class _Server(uvicorn.Server):
    """A uvicorn server that does not install signal handlers: the worker has its own."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Install nothing."""
        yield


@asynccontextmanager
async def serving(port: int | None, readiness: Readiness) -> AsyncIterator[None]:
    """Serve `/health/live`, `/health/ready` and `/metrics` during the body. Does nothing if the port is None.

    Port 0 means any free port; the log event `health_server_listening` has its number. Raises OSError if
    the port is in use.
    """
    if port is None:
        yield
        return
    # The kubelet and Prometheus connect from outside the pod.
    listener = socket.create_server(("0.0.0.0", port))  # noqa: S104
    server = _Server(
        uvicorn.Config(
            _application(readiness),
            ws="none",
            log_config=None,
            access_log=False,
            lifespan="off",
            timeout_graceful_shutdown=STOP_SECONDS,
        )
    )
    log.info("health_server_listening", port=listener.getsockname()[1])
    task = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield
    finally:
        server.should_exit = True
        await task


def _application(readiness: Readiness) -> Callable[..., Any]:
    async def application(scope: dict[str, Any], _receive: Any, send: Any) -> None:
        status, body = _answer(scope["method"], scope["path"], readiness)
        is_metrics = status == 200 and scope["path"] == "/metrics"
        content_type = CONTENT_TYPE_LATEST if is_metrics else "application/json"
        headers = [(b"content-type", content_type.encode()), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return application


def _answer(method: str, path: str, readiness: Readiness) -> tuple[int, bytes]:
    if method not in ("GET", "HEAD"):
        return 405, b'{"status":"method not allowed"}'
    match path:
        case "/health/live":
            return 200, b'{"status":"ok"}'
        case "/health/ready":
            status = readiness.status
            return 200 if status == "ok" else 503, f'{{"status":"{status}"}}'.encode()
        case "/metrics":
            return 200, generate_latest(REGISTRY)
        case _:
            return 404, b'{"status":"not found"}'
