"""A small HTTP server for liveness, readiness and metrics, on a port that only operators reach.

Kubernetes and Prometheus use it, for workers and for the API. The event loop of the process responds: one
that is blocked does not look alive.
"""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import structlog

from app.core import exposition
from app.core.errors import ConfigurationError
from app.core.exposition import Page

log = structlog.get_logger(__name__)


ReadMetrics = Callable[[str], Awaitable[Page]]
"""Returns the page of metrics in the format for this `Accept` header."""


async def read_registry(accept: str) -> Page:
    """Return the metrics that this process counts."""
    return exposition.render(accept)


@asynccontextmanager
async def serving(
    port: int | None, status: Callable[[], str], read_metrics: ReadMetrics = read_registry, *, setting: str
) -> AsyncIterator[None]:
    """Serve `/health/live`, `/health/ready` and `/metrics` during the body. Does nothing if the port is None.

    The process is ready while `status()` is `ok`; any other word is the reason why it is not.
    Port 0 means any free port; the log event `health_server_listening` has its number. Raises
    ConfigurationError, with the name of the `setting` that holds the port, if the port is in use.
    """
    if port is None:
        yield
        return
    from app.core.quiet_server import QuietServer  # imports uvicorn, which a worker without the port need not

    listener = _listen(port, setting)
    server = QuietServer(_application(status, read_metrics))
    log.info("health_server_listening", port=listener.getsockname()[1])
    task = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield
    finally:
        server.should_exit = True
        await task


def _listen(port: int, setting: str) -> socket.socket:
    try:
        # The kubelet and Prometheus connect from outside the pod.
        return socket.create_server(("0.0.0.0", port))  # noqa: S104
    except OSError as error:
        reason = os.strerror(error.errno or 0)
        raise ConfigurationError(f"{setting}: cannot listen on port {port}: {reason}") from None


def _application(status: Callable[[], str], read_metrics: ReadMetrics) -> Callable[..., Any]:
    async def application(scope: dict[str, Any], _receive: Any, send: Any) -> None:
        code, page = await _answer(scope, status, read_metrics)
        headers = [
            (b"content-type", page.content_type.encode("latin-1")),
            (b"content-length", str(len(page.body)).encode()),
        ]
        await send({"type": "http.response.start", "status": code, "headers": headers})
        await send({"type": "http.response.body", "body": page.body})

    return application


async def _answer(
    scope: dict[str, Any], status: Callable[[], str], read_metrics: ReadMetrics
) -> tuple[int, Page]:
    if scope["method"] not in ("GET", "HEAD"):
        return 405, _word("method not allowed")
    match scope["path"]:
        case "/health/live":
            return 200, _word("ok")
        case "/health/ready":
            word = status()
            return 200 if word == "ok" else 503, _word(word)
        case "/metrics":
            accept = dict(scope["headers"]).get(b"accept", b"")
            return 200, await read_metrics(accept.decode("latin-1"))
        case _:
            return 404, _word("not found")


def _word(status: str) -> Page:
    return Page(f'{{"status":"{status}"}}'.encode(), "application/json")
