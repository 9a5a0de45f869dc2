"""Storage: what is too large for Postgres, as whole, immutable files under keys.

A folder on a disk (`file://`) or a bucket (`s3://`, `gs://`, `az://`), by the same code on obstore. A key is
written once and never again; what refers to a file is committed after the file is whole, so that nobody ever
sees half of one. A file that nothing refers to, because somebody died in between, is swept later.

The endpoint and the credentials of a bucket come from its usual environment variables (`AWS_ENDPOINT_URL`,
`AWS_ACCESS_KEY_ID`, `GOOGLE_APPLICATION_CREDENTIALS`, `AZURE_STORAGE_ACCOUNT_NAME`, …). A bucket should have
a rule that ends incomplete multipart uploads after a day: a process that dies in the middle leaves one.
"""

import asyncio
import contextlib
import hashlib
import io
import re
from collections.abc import AsyncIterable, AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol, TypeVar
from urllib.parse import unquote
from uuid import uuid4

import obstore
from obstore.exceptions import BaseError
from obstore.store import LocalStore, ObjectStore, from_url
from typing_extensions import Buffer

from app.core import durable
from app.core.errors import ConfigurationError, FileMissing, StorageUnavailable
from app.core.files import StoredFile

if TYPE_CHECKING:
    from obstore.store import ClientConfig, RetryConfig  # they exist for type checkers only

BLOCK_BYTES: Final = 4 * 1024 * 1024
"""How much of a streamed file is in memory at a time, on the way in and on the way out."""

PART_BYTES: Final = 8 * 1024 * 1024
PARTS_AT_ONCE: Final = 2

CALL_SECONDS: Final = 30.0
"""How long one call may take, retries included: a block, a page of a listing, the end of an upload."""

KEYS_AT_ONCE: Final = 1000

# Plain HTTP happens only where the endpoint says http://.
_CLIENT: Final["ClientConfig"] = {"connect_timeout": "2s", "timeout": "20s", "allow_http": True}
_RETRIES: Final["RetryConfig"] = {"max_retries": 4, "retry_timeout": timedelta(seconds=15)}

_T = TypeVar("_T")

_KEY: Final = re.compile(r"(?!.*(^|/)\.{1,2}(/|$))[A-Za-z0-9_.=@-]+(/[A-Za-z0-9_.=@-]+)*")


@dataclass(frozen=True)
class StoredObject:
    """One file of a listing. `modified_at` is the store's own time."""

    key: str
    bytes: int
    modified_at: datetime


class _Writer(Protocol):
    """A file in the making."""

    async def write(self, block: bytes) -> None:
        """Append a block."""

    async def finish(self) -> None:
        """Make it visible, whole and for good."""

    async def discard(self) -> None:
        """Forget it."""


class Storage:
    """The files of the system. Nothing connects, and no folder is made, before it is used.

    Every method raises StorageUnavailable when the store does not answer or will not let us in, and
    ValueError for a key that is none.
    """

    def __init__(
        self,
        *,
        folder: Path | None,
        bucket: ObjectStore | None,
        call_seconds: float = CALL_SECONDS,
        keys_at_once: int = KEYS_AT_ONCE,
    ) -> None:
        """`keys_at_once` go into one page of a listing, and into one call that deletes."""
        self._folder = folder
        self._bucket = bucket
        self._call_seconds = call_seconds
        self._keys_at_once = keys_at_once

    async def put(self, key: str, content: bytes | AsyncIterable[bytes]) -> StoredFile:
        """Store a file, whole or not at all. What is streamed is never in memory as a whole.

        What `content` raises passes, and nothing is stored.
        """
        digest = hashlib.sha256()
        size = 0
        async with self._writer(_checked(key)) as writer:
            async for block in _blocks(content):
                await asyncio.to_thread(digest.update, block)
                async with self._call():
                    await writer.write(block)
                size += len(block)
            async with self._call():
                await writer.finish()
        return StoredFile(key, size, digest.hexdigest())

    async def put_all(self, contents: Mapping[str, bytes]) -> None:
        """Store small files, together in less time than one by one. After an error some may be there."""
        for key in contents:
            _checked(key)
        if self._folder is None:
            await asyncio.gather(*(self.put(key, content) for key, content in contents.items()))
            return
        async with self._call():
            await asyncio.to_thread(durable.write_all, self._folder, contents)

    async def put_file(self, key: str, path: Path) -> StoredFile:
        """Store a copy of a local file."""
        return await self.put(key, _read(path))

    async def get(self, file: StoredFile | str) -> bytes:
        """All of a file; for those that are known to be small. Raises FileMissing."""
        key = _checked(file if isinstance(file, str) else file.key)
        async with self._call(key):
            found = await obstore.get_async(self._store, key)
            return bytes(await found.bytes_async())

    async def stream(self, key: str, *, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        """A file from byte `start` to before byte `end`, block by block. Raises FileMissing.

        Each block is a request of its own: whoever reads slowly holds no connection, and one that breaks is
        retried for its block only.
        """
        async with self._call(_checked(key)):
            size = (await obstore.head_async(self._store, key))["size"]
        end = size if end is None else min(end, size)
        while start < end:
            block_end = min(start + BLOCK_BYTES, end)
            async with self._call(key):
                block = await obstore.get_range_async(self._store, key, start=start, end=block_end)
            yield bytes(block)
            start = block_end

    async def download(self, file: StoredFile, path: Path) -> None:
        """Copy a file to a local path, where it appears whole. Raises FileMissing.

        A file that does not have the length it should have is StorageUnavailable as well.
        """
        temporary = path.with_name(f".{path.name}.{uuid4().hex}")
        size = 0
        try:
            target = await _acquire(lambda: temporary.open("xb"), io.BufferedWriter.close)
            try:
                async for block in self.stream(file.key):
                    await asyncio.to_thread(target.write, block)
                    size += len(block)
            finally:
                await asyncio.to_thread(target.close)
            if size != file.bytes:
                raise StorageUnavailable from EOFError(f"{file.key} has {size} bytes, not {file.bytes}")
            await asyncio.to_thread(temporary.rename, path)
        finally:
            await asyncio.to_thread(temporary.unlink, missing_ok=True)

    def local_path(self, key: str) -> Path | None:
        """Where a file is on this machine; None if it is in a bucket. Only to be read."""
        _checked(key)
        return None if self._folder is None else self._folder / key

    def reader(self, key: str) -> io.RawIOBase:
        """A file to read here and there, by means of other libraries. It blocks: use it in a thread.

        Reading it raises the OSErrors that such libraries expect, and none of ours.
        """
        return _Reader(self._store, _checked(key))

    async def delete(self, keys: Sequence[str]) -> None:
        """Delete files. What is not there is fine."""
        for first in range(0, len(keys), self._keys_at_once):
            page = [_checked(key) for key in keys[first : first + self._keys_at_once]]
            async with self._call():
                if self._folder is not None:
                    await asyncio.to_thread(_remove_all, self._folder, page)
                else:
                    await self._delete_in_bucket(page)

    async def list(self, prefix: str) -> AsyncIterator[StoredObject]:
        """All files whose keys start with `prefix` and a slash, in no order."""
        async with self._call():
            if not await self._is_there():
                return
            pages = obstore.list(self._store, _checked(prefix.rstrip("/")), chunk_size=self._keys_at_once)
        while True:
            async with self._call():
                page = await anext(pages, None)
            if page is None:
                return
            for found in page:
                yield StoredObject(found["path"], found["size"], found["last_modified"])

    @cached_property
    def _store(self) -> ObjectStore:
        if self._folder is None:
            assert self._bucket is not None  # noqa: S101  # there is one or the other
            return self._bucket
        # obstore opens no folder that is not there.
        return LocalStore(self._folder, mkdir=True)

    async def _is_there(self) -> bool:
        return self._folder is None or await asyncio.to_thread(self._folder.is_dir)

    @asynccontextmanager
    async def _writer(self, key: str) -> AsyncIterator[_Writer]:
        writer: _Writer
        if self._folder is None:
            writer = _ObjectWriter(self._store, key)
        else:
            async with self._call():
                folder = self._folder
                file = await _acquire(lambda: durable.DurableFile(folder, key), durable.DurableFile.discard)
                writer = _DiskWriter(file)
        try:
            yield writer
        except BaseException:
            with contextlib.suppress(StorageUnavailable):
                async with self._call():
                    await writer.discard()
            raise

    async def _delete_in_bucket(self, keys: Sequence[str]) -> None:
        try:
            await obstore.delete_async(self._store, keys)
        except FileNotFoundError:
            # Where there is no request for many (GCS), the first that is missing ends the whole call.
            for key in keys:
                with contextlib.suppress(FileNotFoundError):
                    await obstore.delete_async(self._store, key)

    @asynccontextmanager
    async def _call(self, key: str | None = None) -> AsyncIterator[None]:
        """Bound one call to the store, and turn the many ways in which it can fail into our errors.

        That something is missing is an answer where a file is read; elsewhere it is the bucket that is
        missing.
        """
        try:
            async with asyncio.timeout(self._call_seconds):
                yield
        except FileNotFoundError as error:
            raise (StorageUnavailable() if key is None else FileMissing(key=key)) from error
        except (BaseError, OSError) as error:
            raise StorageUnavailable from error


class _Reader(io.RawIOBase):
    """A file of a store as Python's own files are; each read is one request."""

    def __init__(self, store: ObjectStore, key: str) -> None:
        super().__init__()
        self._object = store
        self._key = key
        self._size = obstore.head(store, key)["size"]
        self._place = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._place

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._place = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self._size}[whence]
        return self._place

    def readinto(self, buffer: Buffer) -> int:
        view = memoryview(buffer)
        end = min(self._place + len(view), self._size)
        if end <= self._place:
            return 0
        try:
            found = obstore.get_range(self._object, self._key, start=self._place, end=end)
        except BaseError as error:
            raise OSError(str(error)) from error
        view[: len(found)] = found
        self._place = end
        return len(found)


class _DiskWriter:
    """Writes to a folder, in threads."""

    def __init__(self, file: durable.DurableFile) -> None:
        self._file = file

    async def write(self, block: bytes) -> None:
        await asyncio.to_thread(self._file.write, block)

    async def finish(self) -> None:
        await asyncio.to_thread(self._file.finish)

    async def discard(self) -> None:
        await asyncio.to_thread(self._file.discard)


class _ObjectWriter:
    """Writes to a bucket, in one request or in parts. Nothing shows before the end."""

    def __init__(self, store: ObjectStore, key: str) -> None:
        self._writer = obstore.open_writer_async(
            store, key, buffer_size=PART_BYTES, max_concurrency=PARTS_AT_ONCE
        )

    async def write(self, block: bytes) -> None:
        await self._writer.write(block)

    async def finish(self) -> None:
        await self._writer.close()

    async def discard(self) -> None:
        """Leave it open: to close it would publish it, and obstore cannot abort."""


def open_storage(
    url: str, *, call_seconds: float = CALL_SECONDS, keys_at_once: int = KEYS_AT_ONCE
) -> Storage:
    """The storage at `url`. Raises ConfigurationError if there can be none."""
    scheme, _, rest = url.partition(":")
    if scheme == "file":
        path = Path(unquote(rest.removeprefix("//")))
        if rest.startswith("//") and not path.is_absolute():
            raise ConfigurationError(
                "STORAGE_URL: file:// takes an absolute path; a relative one follows file:"
            )
        if path == Path():
            raise ConfigurationError("STORAGE_URL: file: needs a folder")
        return Storage(
            folder=path.absolute(), bucket=None, call_seconds=call_seconds, keys_at_once=keys_at_once
        )
    if scheme not in ("s3", "gs", "az"):
        raise ConfigurationError("STORAGE_URL: must start with file:, s3://, gs:// or az://")
    try:
        bucket = from_url(url, client_options=_CLIENT, retry_config=_RETRIES)
    except (BaseError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigurationError(f"STORAGE_URL: {reason}") from None
    return Storage(folder=None, bucket=bucket, call_seconds=call_seconds, keys_at_once=keys_at_once)


def _checked(key: str) -> str:
    if not _KEY.fullmatch(key):
        raise ValueError(f"not a key: {key!r}")
    return key


async def _blocks(content: bytes | AsyncIterable[bytes]) -> AsyncIterator[bytes]:
    """The content in blocks of about BLOCK_BYTES, whatever the pieces are that it comes in."""
    if isinstance(content, bytes):
        for start in range(0, len(content), BLOCK_BYTES):
            yield content[start : start + BLOCK_BYTES]
        return
    pieces: list[bytes] = []
    size = 0
    async for piece in content:
        pieces.append(piece)
        size += len(piece)
        if size >= BLOCK_BYTES:
            yield b"".join(pieces)
            pieces.clear()
            size = 0
    if pieces:
        yield b"".join(pieces)


async def _acquire(make: Callable[[], _T], release: Callable[[_T], None]) -> _T:
    """Open something in a thread. A thread cannot be cancelled: what it opens for nobody is released."""
    opening = asyncio.ensure_future(asyncio.to_thread(make))
    try:
        return await asyncio.shield(opening)
    except asyncio.CancelledError:
        opening.add_done_callback(lambda done: None if done.exception() else release(done.result()))
        raise


async def _read(path: Path) -> AsyncIterator[bytes]:
    file = await _acquire(lambda: path.open("rb"), io.BufferedReader.close)
    try:
        while block := await asyncio.to_thread(file.read, BLOCK_BYTES):
            yield block
    finally:
        await asyncio.to_thread(file.close)


def _remove_all(folder: Path, keys: Sequence[str]) -> None:
    for key in keys:
        durable.remove(folder, key)
