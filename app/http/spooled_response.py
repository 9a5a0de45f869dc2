"""A response whose body is a temporary file."""

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from typing import IO, Final

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

BLOCK_BYTES: Final = 256 * 1024


class SpooledResponse(StreamingResponse):
    """Sends a file and closes it, also if the client disconnects."""

    def __init__(self, file: IO[bytes], *, media_type: str, headers: Mapping[str, str]) -> None:
        size = os.fstat(file.fileno()).st_size
        file.seek(0)
        super().__init__(
            _blocks(file), media_type=media_type, headers={**headers, "Content-Length": str(size)}
        )
        self._file = file

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the response."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._file.close()


async def _blocks(file: IO[bytes]) -> AsyncIterator[bytes]:
    while block := await asyncio.to_thread(file.read, BLOCK_BYTES):
        yield block
