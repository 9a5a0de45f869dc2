"""Background loops with an owner: started together, stopped together, never forgotten."""

import asyncio
from collections.abc import AsyncIterator, Collection, Coroutine
from contextlib import asynccontextmanager
from typing import Any, Final

CANCEL_AGAIN_SECONDS: Final = 0.5


@asynccontextmanager
async def running(*loops: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run the loops beside the body; cancel and await them at its end.

    A loop that ends with an error cancels the body, and the error is raised here: a process whose loop died
    in silence would look healthy and do nothing. The body's own errors pass as they are, which is why this
    is no `TaskGroup`.
    """
    owner = asyncio.current_task()
    errors: list[BaseException] = []

    def ended(task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            errors.append(error)
            if owner is not None:
                owner.cancel()

    tasks = [asyncio.create_task(loop) for loop in loops]
    for task in tasks:
        task.add_done_callback(ended)
    try:
        yield
    except asyncio.CancelledError:
        if not errors or owner is None or owner.uncancel() > 0:
            raise
    finally:
        for task in tasks:
            task.remove_done_callback(ended)
        await _end(tasks)
    if errors:
        raise errors[0]


async def _end(tasks: Collection[asyncio.Task[None]]) -> None:
    """Cancel until it is heard.

    Before Python 3.12 `asyncio.wait_for` loses a cancellation that arrives together with its answer
    (https://github.com/python/cpython/issues/86296), and redis-py waits for every command that way.
    """
    waiting = set(tasks)
    while waiting:
        for task in waiting:
            task.cancel()
        _, waiting = await asyncio.wait(waiting, timeout=CANCEL_AGAIN_SECONDS)
    await asyncio.gather(*tasks, return_exceptions=True)
