"""Readers and writers of single files, for `app.core.storage`."""

import asyncio
import io
from collections.abc import Callable
from typing import Final, Protocol, TypeVar

import obstore
from obstore.exceptions import BaseError
from obstore.store import ObjectStore
from typing_extensions import Buffer

from app.core import durable_files

PART_BYTES: Final = 8 * 1024 * 1024
PARTS_AT_ONCE: Final = 2
"""How a file is uploaded to a bucket."""

_Opened = TypeVar("_Opened")


class Writer(Protocol):
    """Writes one file, which becomes visible only when it is finished."""

    async def write(self, block: bytes) -> None:
        """Append a block."""

    async def finish(self) -> None:
        """Make the file durable and visible."""

    async def discard(self) -> None:
        """Delete what has been written."""


class DiskWriter:
    """Writes to a folder, in threads."""

    def __init__(self, file: durable_files.DurableFile) -> None:
        self._file = file

    async def write(self, block: bytes) -> None:
        """Append a block."""
        await asyncio.to_thread(self._file.write, block)

    async def finish(self) -> None:
        """Sync the file and move it to its key."""
        await asyncio.to_thread(self._file.finish)

    async def discard(self) -> None:
        """Delete the temporary file."""
        await asyncio.to_thread(self._file.discard)


class ObjectWriter:
    """Writes to a bucket, in one request or as a multipart upload."""

    def __init__(self, store: ObjectStore, key: str) -> None:
        self._writer = obstore.open_writer_async(
            store, key, buffer_size=PART_BYTES, max_concurrency=PARTS_AT_ONCE
        )

    async def write(self, block: bytes) -> None:
        """Append a block."""
        await self._writer.write(block)

    async def finish(self) -> None:
        """Complete the upload."""
        await self._writer.close()

    async def discard(self) -> None:
        """Leave the upload incomplete: closing it would publish the file, and obstore cannot abort."""


class ObjectReader(io.RawIOBase):
    """A stored file as a Python file object. Each read is one request."""

    def __init__(self, store: ObjectStore, key: str) -> None:
        super().__init__()
        self._object = store
        self._key = key
        self._size = obstore.head(store, key)["size"]
        self._position = 0

    def readable(self) -> bool:
        """Whether it can be read: always."""
        return True

    def seekable(self) -> bool:
        """Whether it can seek: always."""
        return True

    def tell(self) -> int:
        """The current position."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to another position."""
        self._position = (
            offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        )
        return self._position

    def readinto(self, buffer: Buffer) -> int:
        """Read the next bytes into a buffer. Raises OSError."""
        view = memoryview(buffer)
        end = min(self._position + len(view), self._size)
        if end <= self._position:
            return 0
        try:
            found = obstore.get_range(self._object, self._key, start=self._position, end=end)
        except BaseError as error:
            raise OSError(str(error)) from error
        view[: len(found)] = found
        self._position = end
        return len(found)


async def acquire(make: Callable[[], _Opened], release: Callable[[_Opened], None]) -> _Opened:
    """Open a resource in a thread.

    A thread cannot be cancelled: if the caller is, the resource is released as soon as it has been opened.
    """
    opening = asyncio.ensure_future(asyncio.to_thread(make))
    try:
        return await asyncio.shield(opening)
    except asyncio.CancelledError:
        opening.add_done_callback(lambda done: None if done.exception() else release(done.result()))
        raise
