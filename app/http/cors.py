"""Cross-origin requests (CORS) from the pages of listed origins.

No credentials of the browser are allowed: tokens travel in a header that scripts set. A response to any other
origin has no CORS header at all, so that it reveals nothing about the list.
"""

import re
from collections.abc import Collection
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.status import HTTP_204_NO_CONTENT
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.http import methods

MAX_AGE_SECONDS: Final = 600
"""How long a browser may keep the response to a preflight request."""

EXPOSED_HEADERS: Final = ", ".join(
    (
        *("Accept-Ranges", "Allow", "Content-Disposition", "Content-Range", "ETag", "Idempotent-Replayed"),
        *("Link", "Location", "RateLimit", "RateLimit-Policy", "Retry-After", "WWW-Authenticate"),
        *("X-Request-ID", "X-Trace-Id"),
    )
)
"""Response headers that scripts of other origins may read, besides those that browsers always show."""

_HEADER_NAMES: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+(?:\s*,\s*[A-Za-z0-9!#$%&'*+.^_`|~-]+)*")


class CorsMiddleware:
    """Answers preflight requests of the listed origins, and lets their pages read responses."""

    def __init__(self, app: ASGIApp, *, origins: Collection[str]) -> None:
        self._app = app
        self._origins = frozenset(origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        origin = headers.get("origin")
        is_listed = origin in self._origins

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                answer = MutableHeaders(raw=message["headers"])
                answer.add_vary_header("Origin")
                if is_listed and origin is not None:
                    answer["Access-Control-Allow-Origin"] = origin
                    answer["Access-Control-Expose-Headers"] = EXPOSED_HEADERS
            await send(message)

        preflight = _preflight(scope, headers) if is_listed else None
        if preflight is not None:
            await preflight(scope, receive, send_with_headers)
        else:
            await self._app(scope, receive, send_with_headers)


def _preflight(scope: Scope, headers: Headers) -> Response | None:
    """The response to a preflight request; None if this is another request, or its path is unknown."""
    if scope["method"] != "OPTIONS" or "access-control-request-method" not in headers:
        return None
    allow = methods.allowed(scope)
    if not allow:
        return None
    answer = {
        "Allow": allow,
        "Access-Control-Allow-Methods": allow,
        "Access-Control-Max-Age": str(MAX_AGE_SECONDS),
    }
    wanted = headers.get("access-control-request-headers", "")
    if _HEADER_NAMES.fullmatch(wanted):
        answer["Access-Control-Allow-Headers"] = wanted
    return Response(status_code=HTTP_204_NO_CONTENT, headers=answer)
