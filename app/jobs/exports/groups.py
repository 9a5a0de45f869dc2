"""Batches of results in groups, each read while the caller works on the one before."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Final

from app.jobs.results import ResultBatch

GROUP_BYTES: Final = 512 * 1024
"""A thread and a message for each batch would take longer than its rows."""

Group = list[ResultBatch]


async def read(batches: AsyncGenerator[ResultBatch, None]) -> AsyncGenerator[Group, None]:
    """Yield the batches in groups of about GROUP_BYTES, of which one is read ahead. Closes `batches`."""
    async with aclosing(batches):
        groups = _groups(batches)
        reading = asyncio.create_task(_next(groups))
        try:
            while group := await reading:
                reading = asyncio.create_task(_next(groups))
                yield group
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)


async def _next(groups: AsyncIterator[Group]) -> Group | None:
    return await anext(groups, None)


async def _groups(batches: AsyncIterator[ResultBatch]) -> AsyncGenerator[Group, None]:
    group: Group = []
    size = 0
    async for batch in batches:
        group.append(batch)
        size += batch.size
        if size >= GROUP_BYTES:
            yield group
            group, size = [], 0
    if group:
        yield group
