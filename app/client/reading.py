"""Reads a file without blocking the event loop."""

import asyncio
from collections.abc import AsyncIterator
from typing import IO, Final

BLOCK_BYTES: Final = 256 * 1024


async def blocks(file: IO[bytes]) -> AsyncIterator[bytes]:
    """Yield the content of a file in blocks, each read in a thread."""
    while block := await asyncio.to_thread(file.read, BLOCK_BYTES):
        yield block
