"""Responses that are files: validators, byte ranges and their headers (RFC 9110)."""

import re
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote

from fastapi import Response, status
from fastapi.responses import StreamingResponse

from app.http import ranges
from app.http.conditional import Conditions

_PLAIN_NAME: Final = re.compile(r"[A-Za-z0-9_.-]+")

ReadRange = Callable[[int, int], AsyncIterator[bytes]]
"""Reads a file from the first byte to before the last."""


@dataclass(frozen=True)
class ServedFile:
    """One version of a file. `etag` is a strong tag with its quotes; `headers` are part of every response."""

    etag: str
    size: int
    media_type: str
    headers: Mapping[str, str] = field(default_factory=dict)


async def respond(
    file: ServedFile,
    read: ReadRange,
    conditions: Conditions,
    *,
    content_headers: Mapping[str, str] | None = None,
) -> Response:
    """Respond with the file (200), a part of it (206), or 304 if the client has this version.

    `content_headers` are added only to responses that have content. Raises PreconditionFailed,
    RangeNotSatisfiable, and what `read` raises before its first block.
    """
    headers = {**file.headers, "ETag": file.etag, "Accept-Ranges": "bytes"}
    if conditions.is_unchanged(file.etag):
        return Response(status_code=status.HTTP_304_NOT_MODIFIED, headers=headers)
    part = ranges.parse(conditions.requested_range(file.etag), file.size)
    start, end = part or (0, file.size)
    headers |= {**(content_headers or {}), "Content-Length": str(end - start)}
    if part is not None:
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{file.size}"
    return StreamingResponse(
        await _start(read(start, end)),
        status_code=status.HTTP_200_OK if part is None else status.HTTP_206_PARTIAL_CONTENT,
        headers=headers,
        media_type=file.media_type,
    )


def attachment(filename: str) -> dict[str, str]:
    """The header that makes a browser save the response under this name (RFC 6266, RFC 8187)."""
    is_plain = _PLAIN_NAME.fullmatch(filename) is not None
    value = f'filename="{filename}"' if is_plain else f"filename*=UTF-8''{quote(filename, safe='')}"
    return {"Content-Disposition": f"attachment; {value}"}


def responses(*media_types: str) -> dict[int | str, dict[str, Any]]:
    """Return the `responses=` of a route that uses `respond`, without its errors."""
    validators = {
        "ETag": _header("Entity tag of this version: the SHA-256 of the file"),
        "Accept-Ranges": _header("`bytes`"),
    }
    content_range = {"Content-Range": _header("Which bytes these are, such as `bytes 0-1023/4096`")}
    content = {media_type: {"schema": {"type": "string", "format": "binary"}} for media_type in media_types}
    return {
        200: {"content": content, "headers": validators},
        206: {
            "description": "The requested range of bytes",
            "content": content,
            "headers": validators | content_range,
        },
        304: {"description": "The client already has this version", "headers": validators},
    }


def _header(description: str) -> dict[str, Any]:
    return {"description": description, "schema": {"type": "string"}}


async def _start(blocks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The same blocks, with the first one already read: a missing file is known before the status is sent."""
    first = await anext(blocks, b"")

    async def all_blocks() -> AsyncIterator[bytes]:
        yield first
        async for block in blocks:
            yield block

    return all_blocks()
