"""Tell the streams first when the process is asked to stop.

An ASGI server that stops waits for its open connections before it runs the lifespan's end, and a stream is a
connection that does not end by itself. So the streams have to hear of the signal when the server does.
"""

import asyncio
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Final

SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


@contextmanager
def before_the_server(close: Callable[[], None]) -> Iterator[None]:
    """During the body, call `close` when the process is asked to stop, beside what is called already."""
    if threading.current_thread() is not threading.main_thread():
        yield  # signals arrive in the main thread only; whoever runs us elsewhere stops us some other way
        return
    loop = asyncio.get_running_loop()
    earlier = {number: signal.getsignal(number) for number in SIGNALS}

    def handle(number: int, frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(close)
        _call(earlier[signal.Signals(number)], number, frame)

    for number in SIGNALS:
        signal.signal(number, handle)
    try:
        yield
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)


def _call(handler: Any, number: int, frame: FrameType | None) -> None:
    if callable(handler):
        handler(number, frame)
    elif handler is signal.SIG_DFL:
        signal.signal(number, signal.SIG_DFL)
        signal.raise_signal(number)
