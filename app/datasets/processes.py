"""The processes of datasets: conversions and profiles, forked from one server that has imported pyarrow."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from app.core.forking.fork_server import ForkServer

CONVERT: Final = "app.datasets.conversion.task:run"
PROFILE: Final = "app.datasets.profiling.task:run"

_ENVIRONMENT: Final = {
    # The default pool reserves more than it uses, and would exceed the memory limit.
    "ARROW_DEFAULT_MEMORY_POOL": "system",
    # A server that forks must not have threads, and those of NumPy reserve stacks.
    "JE_ARROW_MALLOC_CONF": "background_thread:false",
    "OPENBLAS_NUM_THREADS": "1",
}


def make_server() -> ForkServer:
    """Return the fork server, which starts with the first upload. `close` it at the end."""
    return ForkServer((CONVERT, PROFILE), environment=_ENVIRONMENT)


@asynccontextmanager
async def open_server(given: ForkServer | None = None) -> AsyncIterator[ForkServer]:
    """Give the fork server during the body, and end it then unless it was `given`."""
    server = given or make_server()
    try:
        yield server
    finally:
        if given is None:
            await asyncio.to_thread(server.close)
