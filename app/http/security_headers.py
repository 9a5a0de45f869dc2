"""Headers that tell a browser how to treat a response (docs/security.md explains each)."""

from collections.abc import Iterable, Sequence
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.http.addresses import Network, is_trusted

RawHeader = tuple[bytes, bytes]

CONTENT_SECURITY_POLICY: Final = (
    b"default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; sandbox"
)
"""For everything that is not one of our pages: a browser that shows it loads and runs nothing."""

_ALWAYS: Final[tuple[RawHeader, ...]] = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"content-security-policy", CONTENT_SECURITY_POLICY),
)
_NOT_STORED: Final = (b"cache-control", b"no-store")
_REVALIDATED: Final = (b"cache-control", b"private, no-cache")
_STARTS: Final = ("http.response.start", "websocket.http.response.start")


class SecurityHeadersMiddleware:
    """Adds the headers to every response, unless a route has set its own."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        trusted_proxies: Sequence[Network] = (),
        assume_https: bool = False,
        hsts_seconds: int = 0,
    ) -> None:
        self._app = app
        self._trusted_proxies = trusted_proxies
        self._assume_https = assume_https
        self._hsts = (b"strict-transport-security", b"max-age=%d" % hsts_seconds) if hsts_seconds else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] in _STARTS:
                headers: list[RawHeader] = [*message.get("headers", ())]
                headers += missing_headers(headers)
                if self._hsts is not None and self._is_https(scope):
                    headers.append(self._hsts)
                message["headers"] = headers
            await send(message)

        await self._app(scope, receive, send_with_headers)

    def _is_https(self, scope: Scope) -> bool:
        """Whether the client has sent the request over https, at least to a trusted proxy."""
        if self._assume_https or scope.get("scheme") in ("https", "wss"):
            return True
        client = scope.get("client")
        if client is None or not is_trusted(client[0], self._trusted_proxies):
            return False
        return _forwarded_protocol(scope["headers"]) == b"https"


def missing_headers(headers: Iterable[RawHeader]) -> list[RawHeader]:
    """Return the headers that a response with these headers lacks.

    No cache stores a response, except that the browser may store one with an entity tag and then asks each
    time whether it has changed.
    """
    names = {name.lower() for name, _ in headers}
    missing = [header for header in _ALWAYS if header[0] not in names]
    if b"cache-control" not in names:
        missing.append(_REVALIDATED if b"etag" in names else _NOT_STORED)
    return missing


def _forwarded_protocol(headers: Iterable[RawHeader]) -> bytes:
    """The last protocol in X-Forwarded-Proto, the one that the trusted proxy has set; empty without any."""
    values = [value for name, value in headers if name == b"x-forwarded-proto"]
    return b",".join(values).rpartition(b",")[2].strip().lower()
