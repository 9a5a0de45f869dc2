"""Decompresses JSON and form bodies with `Content-Encoding: gzip`. Uploads decompress their own bodies.

The limit of one body, and the limit on all bodies together, apply to the decompressed size.
"""

import zlib
from collections.abc import Callable
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.core.errors import BodyTooLarge
from app.http.body_errors import FORM, is_json
from app.http.errors import BadEncoding, UnsupportedEncoding
from app.http.middleware import body_limit, forget_length, hold_body
from app.http.problems import ProblemHTTPException

MAX_RATIO: Final = 200
FREE_BYTES: Final = 1024 * 1024
"""Any body may decompress to this size, at any compression ratio."""

_GZIP: Final = ("gzip", "x-gzip")
_MAX_SHOWN: Final = 100


class EncodingMiddleware:
    """Decompresses gzip bodies and rejects other encodings."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] == "http" and (encoding := _encoding(scope)) is not None:
            receive = _Inflated(scope, encoding, receive).receive
        await self._app(scope, receive, send)


def _encoding(scope: Scope) -> str | None:
    headers: dict[bytes, bytes] = dict(scope["headers"])
    encoding = headers.get(b"content-encoding", b"").decode("latin-1").strip().lower()
    if encoding in ("", "identity"):
        return None
    media_type = headers.get(b"content-type", b"").decode("latin-1").partition(";")[0].strip().lower()
    return encoding if is_json(media_type) or media_type == FORM else None


class _Inflated:
    """One compressed body. It is checked only when the route reads it, after authentication."""

    def __init__(self, scope: Scope, encoding: str, receive: Receive) -> None:
        self._limit: Callable[[], int] = lambda: body_limit(scope)
        self._hold: Callable[[int], None] = lambda size: hold_body(scope, size)
        self._encoding = encoding
        self._receive = receive
        self._inflater = _new_inflater()
        self._received_bytes = 0
        self._inflated_bytes = 0
        self._has_ended = False
        forget_length(scope)

    async def receive(self) -> Message:
        """The next message, decompressed."""
        if self._encoding not in _GZIP:
            raise ProblemHTTPException(UnsupportedEncoding(got=self._encoding[:_MAX_SHOWN]))
        message = await self._receive()
        if message["type"] != "http.request" or self._has_ended:
            return message
        self._has_ended = not message.get("more_body", False)
        inflated = self._inflate(message.get("body", b""))
        if self._has_ended and self._received_bytes and not self._inflater.eof:
            raise ProblemHTTPException(BadEncoding(reason="it is cut off"))
        return {**message, "body": inflated}

    def _inflate(self, received: bytes) -> bytes:
        self._received_bytes += len(received)
        limit = self._limit()
        pieces = []
        while received:
            if self._inflater.eof:  # gzip data may have several members
                self._inflater = _new_inflater()
            try:
                piece = self._inflater.decompress(received, limit - self._inflated_bytes + 1)
            except zlib.error:
                raise ProblemHTTPException(BadEncoding(reason="it is not gzip")) from None
            self._inflated_bytes += len(piece)
            if self._inflated_bytes > limit:
                raise ProblemHTTPException(BodyTooLarge(limit=limit))
            if self._inflated_bytes > FREE_BYTES + MAX_RATIO * self._received_bytes:
                raise ProblemHTTPException(
                    BadEncoding(reason=f"it decompresses to more than {MAX_RATIO} times its size")
                )
            self._hold(self._inflated_bytes)
            pieces.append(piece)
            received = self._inflater.unused_data if self._inflater.eof else self._inflater.unconsumed_tail
        return b"".join(pieces)


def _new_inflater() -> "zlib._Decompress":
    return zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
