"""A worker's own small HTTP port, for whoever watches over it: liveness, readiness, metrics."""

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
    """Whether the worker takes jobs: it has registered, it holds its lease, and it is not about to stop."""

    is_stopping: Callable[[], bool]
    holds_lease: Callable[[], bool] | None = None
    """None until the worker has something to renew its lease with."""

    @property
    def status(self) -> str:
        """`ok`, or what is in the way."""
        if self.is_stopping():
            return "stopping"
        if self.holds_lease is None or not self.holds_lease():
            return "no_lease"
        return "ok"


class _Server(uvicorn.Server):
    """A server beside other work: signals are the worker's business."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals alone."""
        yield


@asynccontextmanager
async def serving(port: int | None, readiness: Readiness) -> AsyncIterator[None]:
    """Serve `/health/live`, `/health/ready` and `/metrics` during the body; not at all if the port is None.

    Raises OSError if the port is taken. Port 0 is a free one, which the log names.
    """
    if port is None:
        yield
        return
    # The kubelet and Prometheus come from outside the pod.
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
    log.info("probe_listening", port=listener.getsockname()[1])
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
