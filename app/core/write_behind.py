"""Writes what a process collects in memory to Postgres, periodically and once more at the end."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import TypeAlias

import structlog

from app.core import background
from app.core.errors import DatabaseUnavailable

Write: TypeAlias = Callable[[], Awaitable[None]]
"""Writes what was collected. Raises DatabaseUnavailable, and then keeps it."""

log = structlog.get_logger(__name__)


@asynccontextmanager
async def writing(
    what: str,
    write: Write,
    *,
    seconds: float,
    write_all: Write | None = None,
    on_success: Callable[[], None] = lambda: None,
) -> AsyncIterator[None]:
    """Call `write` every `seconds` during the body, and `write_all` (by default `write`) at its end.

    While Postgres is unavailable, the next call tries again. `what` names the data in the log.
    """
    try:
        async with background.running(repeat(what, write, seconds=seconds, on_success=on_success)):
            yield
    finally:
        with suppress(DatabaseUnavailable):
            await (write_all or write)()


async def repeat(
    what: str, write: Write, *, seconds: float, on_success: Callable[[], None] = lambda: None
) -> None:
    """Call `write` every `seconds`, until cancelled. Errors do not end it."""
    while True:
        await asyncio.sleep(seconds)
        try:
            await write()
        except DatabaseUnavailable:
            continue
        except Exception:
            log.exception("not_written", what=what)
        else:
            on_success()
