"""Structured concurrency for background loops: they start and stop with the block that owns them."""

import asyncio
from collections.abc import AsyncIterator, Collection, Coroutine
from contextlib import asynccontextmanager
from typing import Any, Final

CANCEL_AGAIN_SECONDS: Final = 0.5


@asynccontextmanager
async def running(*loops: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run the loops concurrently with the body, then cancel and await them.

    If a loop raises, the body is cancelled and the loop's error is raised here: a process whose loop died
    silently would look healthy and do nothing. Unlike `TaskGroup`, errors of the body are not wrapped in an
    `ExceptionGroup`.
    """
    owner = asyncio.current_task()
    errors: list[BaseException] = []

    def on_done(task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            errors.append(error)
            if owner is not None:
                owner.cancel()

    tasks = [asyncio.create_task(loop) for loop in loops]
    for task in tasks:
        task.add_done_callback(on_done)
    try:
        yield
    except asyncio.CancelledError:
        if not errors or owner is None or owner.uncancel() > 0:
            raise
    finally:
        for task in tasks:
            task.remove_done_callback(on_done)
        await _cancel_all(tasks)
    if errors:
        raise errors[0]


async def _cancel_all(tasks: Collection[asyncio.Task[None]]) -> None:
    """Cancel the tasks, repeatedly if necessary, until all have ended.

    Before Python 3.12, `asyncio.wait_for` loses a cancellation that arrives at the same time as its result
    (https://github.com/python/cpython/issues/86296), and libraries await with it.
    """
    waiting = set(tasks)
    while waiting:
        for task in waiting:
            task.cancel()
        _, waiting = await asyncio.wait(waiting, timeout=CANCEL_AGAIN_SECONDS)
    await asyncio.gather(*tasks, return_exceptions=True)
