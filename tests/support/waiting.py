"""Waiting for what has to come, at most so long. No test sleeps and hopes."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

PATIENCE_SECONDS = 120.0
POLL_SECONDS = 0.01

Found = TypeVar("Found")


async def until(look: Callable[[], Awaitable[Found]], *, seconds: float = PATIENCE_SECONDS) -> Found:
    """Look again and again until there is something (anything true), and give it back.

    What a look raises is passed on: it is a broken test, not a reason to wait.
    """
    async with asyncio.timeout(seconds):
        while True:
            if found := await look():
                return found
            await asyncio.sleep(POLL_SECONDS)
