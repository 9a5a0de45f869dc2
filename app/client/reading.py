"""Reading a file without holding up the loop."""

import asyncio
from collections.abc import AsyncIterator
from typing import IO, Final

BLOCK_BYTES: Final = 256 * 1024


async def blocks(file: IO[bytes]) -> AsyncIterator[bytes]:
    """The content of a file in pieces, each read in a thread."""
    while block := await asyncio.to_thread(file.read, BLOCK_BYTES):
        yield block
