"""Graceful shutdown: close streams on SIGTERM or SIGINT before the server handles the signal.

An ASGI server waits for open connections before it runs the shutdown part of the lifespan, and a stream does
not end by itself. Streams must therefore be closed as soon as the signal arrives.
"""

import asyncio
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, Final

SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
TIMEOUT_SECONDS: Final = 5.0
POLL_SECONDS: Final = 0.01


@contextmanager
def close_streams_first(
    close: Callable[[], None], is_done: Callable[[], bool], *, timeout_seconds: float = TIMEOUT_SECONDS
) -> Iterator[None]:
    """During the body, handle SIGTERM and SIGINT by closing the streams before the server stops.

    On a signal: calls `close`, waits up to `timeout_seconds` for `is_done`, then calls the previous handler.
    The server's handler comes last because it would cut connections that are still sending their last frame.
    A second signal goes to the previous handler immediately.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread can install signal handlers
        return
    loop = asyncio.get_running_loop()
    previous = {number: signal.getsignal(number) for number in SIGNALS}
    stopping: set[asyncio.Task[None]] = set()

    async def stop(number: int) -> None:
        close()
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_seconds):
                while not is_done():  # noqa: ASYNC110  # runs once, at shutdown
                    await asyncio.sleep(POLL_SECONDS)
        _call_handler(previous[signal.Signals(number)], number, None)

    def begin(number: int) -> None:
        stopping.add(loop.create_task(stop(number)))

    def handle(number: int, frame: FrameType | None) -> None:
        if stopping:
            _call_handler(previous[signal.Signals(number)], number, frame)
        else:
            loop.call_soon_threadsafe(begin, number)

    for number in SIGNALS:
        signal.signal(number, handle)
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
        for task in stopping:
            task.cancel()


def _call_handler(handler: Any, number: int, frame: FrameType | None) -> None:
    if callable(handler):
        handler(number, frame)
    elif handler is signal.SIG_DFL:
        signal.signal(number, signal.SIG_DFL)
        signal.raise_signal(number)
