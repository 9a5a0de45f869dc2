"""Large responses, compressed with zstd (RFC 8878) or gzip if the client accepts one."""

import asyncio
import zlib
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Mapping
from typing import Final, Protocol

import zstandard
from starlette.datastructures import Headers
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from app.http.accept import accepted_encodings, choose_encoding

SMALL_BYTES: Final = 32 * 1024
"""Smaller blocks are compressed on the event loop, because a thread would take longer."""


class CompressibleResponse(StreamingResponse):
    """Sends a stream, compressed with what the client's `Accept-Encoding` prefers.

    A client can decompress each block as soon as it has arrived. With a coding, the entity tag is a weak one,
    because other versions of the libraries may compress the same bytes differently.
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the response."""
        self.headers.add_vary_header("Accept-Encoding")
        coding = choose_encoding(accepted_encodings(Headers(scope=scope)), tuple(_COMPRESSORS))
        if coding is not None:
            self.headers["Content-Encoding"] = coding
            if (tag := self.headers.get("etag")) is not None:
                self.headers["ETag"] = f"W/{tag}"
            self.body_iterator = _compressed(self.body_iterator, _COMPRESSORS[coding]())
        await super().__call__(scope, receive, send)


class _Compressor(Protocol):
    def compress(self, block: bytes) -> bytes: ...

    def end(self) -> bytes: ...


class _Gzip:
    def __init__(self) -> None:
        self._stream = zlib.compressobj(level=1, wbits=16 + zlib.MAX_WBITS)

    def compress(self, block: bytes) -> bytes:
        return self._stream.compress(block) + self._stream.flush(zlib.Z_SYNC_FLUSH)

    def end(self) -> bytes:
        return self._stream.flush()


class _Zstd:
    def __init__(self) -> None:
        self._stream = zstandard.ZstdCompressor(level=1).compressobj()

    def compress(self, block: bytes) -> bytes:
        return self._stream.compress(block) + self._stream.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)

    def end(self) -> bytes:
        return self._stream.flush()


_COMPRESSORS: Final[Mapping[str, Callable[[], _Compressor]]] = {"zstd": _Zstd, "gzip": _Gzip}


async def _compressed(
    blocks: AsyncIterable[str | bytes | memoryview], compressor: _Compressor
) -> AsyncGenerator[bytes, None]:
    async for block in blocks:
        content = block.encode() if isinstance(block, str) else bytes(block)
        if len(content) <= SMALL_BYTES:
            yield compressor.compress(content)
        else:
            yield await asyncio.to_thread(compressor.compress, content)
    yield compressor.end()
