"""Receives a file as it arrives: counts, decompresses and checks its bytes, and writes them to the disk.

Errors are raised as soon as the bytes are received, so that a decompression bomb or an endless line is
rejected before most of it has been sent.
"""

import asyncio
import codecs
import zlib
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from threading import Lock
from typing import Final

from app.core.errors import AppError, StorageUnavailable
from app.uploads import signatures
from app.uploads.errors import BadCompression, BadFile, BadRow, UploadStalled

GATHERED_BYTES: Final = 512 * 1024
"""Received chunks are joined to about this size before a thread processes them."""

MAX_LINE_BYTES: Final = 1024 * 1024
PIECE_BYTES: Final = MAX_LINE_BYTES
MAX_RATIO: Final = 200
RATIO_GRACE_BYTES: Final = 10 * 1024 * 1024


class Spool:
    """A local file that grows as an upload arrives. It blocks: use it in a thread."""

    def __init__(
        self,
        path: Path,
        *,
        limit_bytes: int,
        too_large: AppError,
        is_text: bool,
        is_gzip: bool,
        reserve: Callable[[int], None] = lambda _size: None,
    ) -> None:
        """`reserve` is called with the size of each piece before it is written, and may raise."""
        self._file = path.open("xb")
        self._limit_bytes = limit_bytes
        self._too_large = too_large
        self._reserve = reserve
        self._check = _TextCheck() if is_text else None
        self._inflate = _Inflate() if is_gzip else None
        self._bytes = 0
        # After a cancellation, the thread of the caller may still be writing.
        self._lock = Lock()

    def close(self) -> None:
        """Close the file. Later writes of an abandoned thread are ignored."""
        with self._lock:
            self._file.close()

    def take(self, received: bytes) -> None:
        """Process the next bytes.

        Raises `too_large`, BadCompression, BadFile, BadRow, and what `reserve` raises.
        """
        if self._inflate is None:
            self._append(received)
            return
        for piece in self._inflate.take(received):
            self._append(piece)

    def finish(self) -> None:
        """Check that the file is complete. Raises BadCompression and BadRow."""
        if self._inflate is not None:
            self._inflate.finish()
        if self._check is not None:
            self._check.finish()
        self._file.flush()

    def _append(self, piece: bytes) -> None:
        self._bytes += len(piece)
        if self._bytes > self._limit_bytes:
            raise self._too_large
        self._reserve(len(piece))
        if self._check is not None:
            for start in range(0, len(piece), PIECE_BYTES):
                self._check.take(piece[start : start + PIECE_BYTES])
        with self._lock:
            if not self._file.closed:
                self._file.write(piece)


async def receive(chunks: AsyncIterator[bytes], spool: Spool, *, stall_seconds: float) -> None:
    """Receive all chunks. Raises the errors of the Spool and of `chunks`, and UploadStalled."""
    gathered: list[bytes] = []
    size = 0
    while (chunk := await _next(chunks, stall_seconds)) is not None:
        gathered.append(chunk)
        size += len(chunk)
        if size >= GATHERED_BYTES:
            await _in_thread(spool, b"".join(gathered))
            gathered, size = [], 0
    await _in_thread(spool, b"".join(gathered))
    await asyncio.to_thread(spool.finish)


async def _next(chunks: AsyncIterator[bytes], stall_seconds: float) -> bytes | None:
    try:
        async with asyncio.timeout(stall_seconds):
            return await anext(chunks, None)
    except TimeoutError:
        raise UploadStalled(seconds=int(stall_seconds)) from None


async def _in_thread(spool: Spool, received: bytes) -> None:
    try:
        await asyncio.to_thread(spool.take, received)
    except OSError as error:  # the disk is full
        raise StorageUnavailable from error


class _TextCheck:
    """Checks that each line is UTF-8, has no NUL and is not too long."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._is_at_start = True
        self._lines = 0
        self._line_bytes = 0

    def take(self, piece: bytes) -> None:
        """Check the next bytes, at most PIECE_BYTES of them."""
        if self._is_at_start and piece:
            self._is_at_start = False
            if (reason := signatures.foreign(piece)) is not None:
                raise BadFile(reason=reason)
        if (position := piece.find(b"\0")) >= 0:
            raise self._fault("there is a NUL character", piece, position)
        try:
            self._decoder.decode(piece)
        except UnicodeDecodeError as error:
            # The position counts from the bytes that the decoder kept from the previous piece.
            position = max(0, error.start - (len(error.object) - len(piece)))
            raise self._fault("this is not UTF-8", piece, position) from None
        first = piece.find(b"\n")
        # A line within the piece is shorter than the piece, and so than the limit.
        if self._line_bytes + (len(piece) if first < 0 else first) > MAX_LINE_BYTES:
            raise self._fault(f"the line is longer than {MAX_LINE_BYTES} bytes", piece, 0)
        if first < 0:
            self._line_bytes += len(piece)
        else:
            self._lines += piece.count(b"\n")
            self._line_bytes = len(piece) - piece.rfind(b"\n") - 1

    def finish(self) -> None:
        """Check that the data is not truncated."""
        try:
            self._decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            raise self._fault("this is not UTF-8", b"", 0) from None

    def _fault(self, reason: str, piece: bytes, position: int) -> BadRow:
        return BadRow(line=self._lines + piece.count(b"\n", 0, position) + 1, reason=reason)


class _Inflate:
    """Decompresses gzip piece by piece, and rejects decompression bombs."""

    def __init__(self) -> None:
        self._inflater = _new_inflater()
        self._received_bytes = 0
        self._inflated_bytes = 0

    def take(self, received: bytes) -> Iterator[bytes]:
        """Decompress the next bytes, in pieces of at most PIECE_BYTES."""
        self._received_bytes += len(received)
        while received:
            if self._inflater.eof:  # a gzip file may have several members
                self._inflater = _new_inflater()
            try:
                piece = self._inflater.decompress(received, PIECE_BYTES)
            except zlib.error as error:
                raise BadCompression(reason=str(error)) from None
            self._inflated_bytes += len(piece)
            if self._inflated_bytes > RATIO_GRACE_BYTES + MAX_RATIO * self._received_bytes:
                raise BadCompression(reason=f"it decompresses to more than {MAX_RATIO} times its size")
            yield piece
            received = self._inflater.unused_data if self._inflater.eof else self._inflater.unconsumed_tail

    def finish(self) -> None:
        """Check that the data is not truncated."""
        if not self._inflater.eof:
            raise BadCompression(reason="it is cut off")


def _new_inflater() -> "zlib._Decompress":
    return zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
