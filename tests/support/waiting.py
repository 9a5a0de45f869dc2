"""Polls for a condition with a timeout, instead of a fixed sleep."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

TIMEOUT_SECONDS = 120.0
POLL_SECONDS = 0.01

T = TypeVar("T")


async def until(condition: Callable[[], Awaitable[T]], *, seconds: float = TIMEOUT_SECONDS) -> T:
    """Poll until `condition` returns a truthy value, and return that value.

    Raises TimeoutError. Exceptions of `condition` propagate: they mean that the test is broken.
    """
    async with asyncio.timeout(seconds):
        while True:
            if result := await condition():
                return result
            await asyncio.sleep(POLL_SECONDS)
