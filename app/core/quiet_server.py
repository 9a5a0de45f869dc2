"""A uvicorn server beside the main work of a process: without its own signal handlers and logs."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import uvicorn

STOP_SECONDS: Final = 1


class QuietServer(uvicorn.Server):
    """Serves one ASGI application over HTTP. The signals stay those of the process."""

    def __init__(self, application: Callable[..., Any]) -> None:
        super().__init__(
            uvicorn.Config(
                application,
                ws="none",
                log_config=None,
                access_log=False,
                lifespan="off",
                timeout_graceful_shutdown=STOP_SECONDS,
            )
        )

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Install nothing."""
        yield
