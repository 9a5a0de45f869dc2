"""A worker's own small HTTP port, for whoever watches over it: liveness, readiness, metrics."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final

import structlog
import uvicorn
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, generate_latest

STOP_SECONDS: Final = 1

log = structlog.get_logger(__name__)


class _Server(uvicorn.Server):
    """A server beside other work: signals are the worker's business."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals alone."""
        yield


@asynccontextmanager
async def serving(port: int | None, *, is_ready: Callable[[], bool]) -> AsyncIterator[None]:
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
            _application(is_ready),
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


def _application(is_ready: Callable[[], bool]) -> Callable[..., Any]:
    async def application(scope: dict[str, Any], _receive: Any, send: Any) -> None:
        status, body = _answer(scope["path"], is_ready)
        content_type = CONTENT_TYPE_LATEST if scope["path"] == "/metrics" else "application/json"
        headers = [(b"content-type", content_type.encode()), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return application


def _answer(path: str, is_ready: Callable[[], bool]) -> tuple[int, bytes]:
    match path:
        case "/health/live":
            return 200, b'{"status":"ok"}'
        case "/health/ready":
            return (200, b'{"status":"ok"}') if is_ready() else (503, b'{"status":"stopping"}')
        case "/metrics":
            return 200, generate_latest(REGISTRY)
        case _:
            return 404, b'{"status":"not found"}'
