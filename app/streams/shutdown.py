"""Tell the streams first when the process is asked to stop.

An ASGI server that stops waits for its open connections before it runs the lifespan's end, and a stream is a
connection that does not end by itself. So the streams have to hear of the signal when the server does.
"""

import asyncio
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, Final

SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
PATIENCE_SECONDS: Final = 5.0
LOOK_SECONDS: Final = 0.01


@contextmanager
def close_streams_first(
    close: Callable[[], None], is_done: Callable[[], bool], *, patience_seconds: float = PATIENCE_SECONDS
) -> Iterator[None]:
    """During the body, when the process is asked to stop: call `close`, and stop once `is_done`.

    The server itself hears of the signal last, for it would close the connections under whoever still says
    goodbye. A second signal reaches it at once.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # signals arrive in the main thread only; whoever runs us elsewhere stops us some other way
        return
    loop = asyncio.get_running_loop()
    earlier = {number: signal.getsignal(number) for number in SIGNALS}
    stopping: set[asyncio.Task[None]] = set()

    async def stop(number: int) -> None:
        close()
        with suppress(TimeoutError):
            async with asyncio.timeout(patience_seconds):
                while not is_done():  # noqa: ASYNC110  # a few looks in the life of a process
                    await asyncio.sleep(LOOK_SECONDS)
        _call(earlier[signal.Signals(number)], number, None)

    def begin(number: int) -> None:
        stopping.add(loop.create_task(stop(number)))

    def handle(number: int, frame: FrameType | None) -> None:
        if stopping:
            _call(earlier[signal.Signals(number)], number, frame)
        else:
            loop.call_soon_threadsafe(begin, number)

    for number in SIGNALS:
        signal.signal(number, handle)
    try:
        yield
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)
        for task in stopping:
            task.cancel()


def _call(handler: Any, number: int, frame: FrameType | None) -> None:
    if callable(handler):
        handler(number, frame)
    elif handler is signal.SIG_DFL:
        signal.signal(number, signal.SIG_DFL)
        signal.raise_signal(number)
