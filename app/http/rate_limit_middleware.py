"""The middleware that counts each request, and refuses those beyond the limit of their client."""

from collections.abc import Awaitable, Callable
from uuid import UUID

from starlette.types import ASGIApp, Receive, Scope, Send

from app.core.errors import AppError
from app.http import problems
from app.http.rate_limits import headers_of
from app.http.state import HttpState, find_state

FindUser = Callable[[Scope], Awaitable[UUID | None]]


class RateLimitMiddleware:
    """Counts requests and handshakes. The frames of an open stream are neither.

    It runs inside the CORS middleware, so that pages of other origins can read the refusal.
    """

    def __init__(self, app: ASGIApp, *, find_user: FindUser, assets: str) -> None:
        """Count no request for a path that starts with `assets`.

        They are served from memory, for less than a refusal costs, and one page needs a hundred of them.
        """
        self._app = app
        self._find_user = find_user
        self._assets = assets

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] in ("http", "websocket") and not self._is_unlimited(scope["path"]):
            try:
                await self._admit(scope)
            except AppError as error:
                await _respond(scope, receive, send, error)
                return
        await self._app(scope, receive, send)

    def _is_unlimited(self, path: str) -> bool:
        return path in problems.UNLIMITED or path.startswith(self._assets)

    async def _admit(self, scope: Scope) -> None:
        state = find_state(scope["app"], HttpState)
        if state is not None:
            await state.request_rates.admit(scope, await self._find_user(scope))


async def _respond(scope: Scope, receive: Receive, send: Send, error: AppError) -> None:
    response = problems.error_response(scope, error)
    if scope["type"] == "websocket":  # `RequestMiddleware` adds them to responses over HTTP only
        response.raw_headers.extend(headers_of(scope))
    await response(scope, receive, send)
