"""Storage of files that are too large for Postgres: whole, immutable files under keys.

The backend is a folder (`file:`) or a bucket (`s3://`, `gs://`, `az://`), both through obstore. A key is
written once. A row that refers to a file is committed only after the file is complete, so that no reader ever
sees a partial file. A file without a row, left by a process that died in between, is swept later.

The endpoint and the credentials of a bucket come from its usual environment variables (`AWS_ENDPOINT_URL`,
`AWS_ACCESS_KEY_ID`, `GOOGLE_APPLICATION_CREDENTIALS`, `AZURE_STORAGE_ACCOUNT_NAME`, …). Configure the bucket
to abort incomplete multipart uploads after a day: a process that dies during an upload leaves one behind.
"""

import asyncio
import contextlib
import hashlib
import io
import re
import shutil
from collections.abc import AsyncIterable, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote
from uuid import uuid4

import obstore
from obstore.exceptions import BaseError
from obstore.store import LocalStore, ObjectStore, from_url

from app.core import durable_files
from app.core.errors import ConfigurationError, FileMissing, StorageUnavailable
from app.core.files import StoredFile
from app.core.storage_io import DiskWriter, ObjectReader, ObjectWriter, Writer, acquire

if TYPE_CHECKING:
    from obstore.store import ClientConfig, RetryConfig  # they exist for type checkers only

BLOCK_BYTES: Final = 4 * 1024 * 1024
"""How much of a file is in memory at a time while it is streamed."""

CALL_SECONDS: Final = 30.0
"""Timeout of one call, retries included: one block, one page of a listing, or the end of an upload."""

KEYS_AT_ONCE: Final = 1000

# HTTP without TLS is used only if the endpoint starts with http://.
_CLIENT: Final["ClientConfig"] = {"connect_timeout": "2s", "timeout": "20s", "allow_http": True}
_RETRIES: Final["RetryConfig"] = {"max_retries": 4, "retry_timeout": timedelta(seconds=15)}

_KEY: Final = re.compile(r"(?!.*(^|/)\.{1,2}(/|$))[A-Za-z0-9_.=@-]+(/[A-Za-z0-9_.=@-]+)*")


@dataclass(frozen=True)
class StoredObject:
    """One file of a listing. `modified_at` is by the clock of the store."""

    key: str
    bytes: int
    modified_at: datetime


@dataclass(frozen=True)
class VolumeSpace:
    """The space of the volume that a folder is on; `free_bytes` are those that may still be used."""

    used_bytes: int
    free_bytes: int

    @property
    def used_percent(self) -> float:
        """How much of what may be used is used."""
        return 100 * self.used_bytes / max(self.used_bytes + self.free_bytes, 1)


class Storage:
    """The files of one deployment. Connects, and creates its folder, only when it is first used.

    Every method raises StorageUnavailable if the store does not answer or denies access, and ValueError for
    an invalid key.
    """

    def __init__(
        self,
        *,
        folder: Path | None,
        bucket: ObjectStore | None,
        call_seconds: float = CALL_SECONDS,
        keys_at_once: int = KEYS_AT_ONCE,
    ) -> None:
        """`keys_at_once` is the size of a page of a listing, and of a batch of deletions."""
        self._folder = folder
        self._bucket = bucket
        self._call_seconds = call_seconds
        self._keys_at_once = keys_at_once

    async def put(self, key: str, content: bytes | AsyncIterable[bytes]) -> StoredFile:
        """Store a file atomically, block by block if `content` is a stream.

        If `content` raises, the error is passed on and nothing is stored.
        """
        digest = hashlib.sha256()
        size = 0
        async with self._writer(_check_key(key)) as writer:
            async for block in _blocks(content):
                async with self._call():
                    await asyncio.gather(asyncio.to_thread(digest.update, block), writer.write(block))
                size += len(block)
            async with self._call():
                await writer.finish()
        return StoredFile(key, size, digest.hexdigest())

    async def put_all(self, contents: Mapping[str, bytes]) -> None:
        """Store several small files, faster than one by one. After an error, some of them may be stored."""
        for key in contents:
            _check_key(key)
        if self._folder is None:
            await asyncio.gather(*(self.put(key, content) for key, content in contents.items()))
            return
        async with self._call():
            await asyncio.to_thread(durable_files.write_all, self._folder, contents)

    async def put_file(self, key: str, path: Path) -> StoredFile:
        """Store a copy of a local file."""
        return await self.put(key, _read(path))

    async def get(self, file: StoredFile | str) -> bytes:
        """Read a small file into memory. Raises FileMissing."""
        key = _check_key(file if isinstance(file, str) else file.key)
        async with self._call(key):
            found = await obstore.get_async(self._store, key)
            return bytes(await found.bytes_async())

    async def stream(self, key: str, *, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        """Read a file from byte `start` to before byte `end`, block by block. Raises FileMissing.

        Each block is a separate request, so that a slow reader holds no connection, and only the failed block
        is retried.
        """
        async with self._call(_check_key(key)):
            size = (await obstore.head_async(self._store, key))["size"]
        end = size if end is None else min(end, size)
        while start < end:
            block_end = min(start + BLOCK_BYTES, end)
            async with self._call(key):
                block = await obstore.get_range_async(self._store, key, start=start, end=block_end)
            yield bytes(block)
            start = block_end

    async def download(self, file: StoredFile, path: Path) -> None:
        """Copy a file to a local path, atomically. Raises FileMissing.

        Raises StorageUnavailable if the file does not have the expected length.
        """
        temporary = path.with_name(f".{path.name}.{uuid4().hex}")
        size = 0
        try:
            target = await acquire(lambda: temporary.open("xb"), io.BufferedWriter.close)
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
        """The path of a file in a folder, for reading only; None if the storage is a bucket."""
        _check_key(key)
        return None if self._folder is None else self._folder / key

    def reader(self, key: str) -> io.RawIOBase:
        """A seekable file object for other libraries. It blocks: use it in a thread.

        It raises OSError, as such libraries expect, in place of our own errors.
        """
        return ObjectReader(self._store, _check_key(key))

    async def delete(self, keys: Sequence[str]) -> None:
        """Delete files. Missing files are ignored."""
        for first in range(0, len(keys), self._keys_at_once):
            page = [_check_key(key) for key in keys[first : first + self._keys_at_once]]
            async with self._call():
                if self._folder is not None:
                    await asyncio.to_thread(_remove_all, self._folder, page)
                else:
                    await self._delete_in_bucket(page)

    async def list(self, prefix: str) -> AsyncIterator[StoredObject]:
        """All files whose keys start with `prefix` and a slash, in any order."""
        async with self._call():
            if not await self._is_there():
                return
            pages = obstore.list(self._store, _check_key(prefix.rstrip("/")), chunk_size=self._keys_at_once)
        while True:
            async with self._call():
                page = await anext(pages, None)
            if page is None:
                return
            for found in page:
                yield StoredObject(found["path"], found["size"], found["last_modified"])

    @property
    def is_bucket(self) -> bool:
        """Whether the files are in a bucket, not in a folder."""
        return self._folder is None

    async def space(self) -> VolumeSpace | None:
        """The space of the volume; None if the storage is a bucket."""
        if self._folder is None:
            return None
        async with self._call():
            return await asyncio.to_thread(_space_of, self._folder)

    async def check(self) -> None:
        """Ask the store whether it answers."""
        if self._folder is not None:
            await self.space()
            return
        async with self._call():
            await anext(obstore.list(self._store, "check", chunk_size=1), None)

    @cached_property
    def _store(self) -> ObjectStore:
        if self._folder is None:
            assert self._bucket is not None  # noqa: S101  # there is one or the other
            return self._bucket
        # Without mkdir, obstore does not open a missing folder.
        return LocalStore(self._folder, mkdir=True)

    async def _is_there(self) -> bool:
        return self._folder is None or await asyncio.to_thread(self._folder.is_dir)

    @asynccontextmanager
    async def _writer(self, key: str) -> AsyncIterator[Writer]:
        writer: Writer
        if self._folder is None:
            writer = ObjectWriter(self._store, key)
        else:
            async with self._call():
                folder = self._folder
                file = await acquire(
                    lambda: durable_files.DurableFile(folder, key), durable_files.DurableFile.discard
                )
                writer = DiskWriter(file)
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
            # Without a batch request (GCS), the first missing file ends the whole call.
            for key in keys:
                with contextlib.suppress(FileNotFoundError):
                    await obstore.delete_async(self._store, key)

    @asynccontextmanager
    async def _call(self, key: str | None = None) -> AsyncIterator[None]:
        """Apply the timeout to one call, and translate its errors.

        With a `key`, "not found" means that this file is missing; without one, that the bucket is.
        """
        try:
            async with asyncio.timeout(self._call_seconds):
                yield
        except FileNotFoundError as error:
            raise (StorageUnavailable() if key is None else FileMissing(key=key)) from error
        except (BaseError, OSError) as error:
            raise StorageUnavailable from error


def open_storage(
    url: str, *, call_seconds: float = CALL_SECONDS, keys_at_once: int = KEYS_AT_ONCE
) -> Storage:
    """The storage at `url`. Raises ConfigurationError for an invalid URL."""
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


def _check_key(key: str) -> str:
    if not _KEY.fullmatch(key):
        raise ValueError(f"not a key: {key!r}")
    return key


async def _blocks(content: bytes | AsyncIterable[bytes]) -> AsyncIterator[bytes]:
    """The content in blocks of about BLOCK_BYTES, regardless of the sizes of its pieces."""
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


async def _read(path: Path) -> AsyncIterator[bytes]:
    file = await acquire(lambda: path.open("rb"), io.BufferedReader.close)
    try:
        while block := await asyncio.to_thread(file.read, BLOCK_BYTES):
            yield block
    finally:
        await asyncio.to_thread(file.close)


def _space_of(folder: Path) -> VolumeSpace:
    while not folder.exists():  # it is created when the first file is stored
        folder = folder.parent
    usage = shutil.disk_usage(folder)
    return VolumeSpace(usage.used, usage.free)


def _remove_all(folder: Path, keys: Sequence[str]) -> None:
    for key in keys:
        durable_files.remove(folder, key)
