"""The prefixes of a request: `ROOT_PATH`, under which a reverse proxy publishes the API, and `/api/v1`."""

from contextlib import nullcontext
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from app.http import links

VERSIONED_PREFIX: Final = "/api/v1"


class PrefixMiddleware:
    """Removes the prefixes from the path before any other code sees it, and puts links under them.

    A proxy may or may not remove `root_path` itself. Links have it in both cases.
    """

    def __init__(self, app: ASGIApp, *, root_path: str = "") -> None:
        self._app = app
        self._root_path = root_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        _strip(scope, self._root_path)
        is_versioned = _strip(scope, VERSIONED_PREFIX)
        prefix = self._root_path + (VERSIONED_PREFIX if is_versioned else "")
        # An open stream would keep the context of its links.
        with links.under(prefix) if prefix else nullcontext():
            await self._app(scope, receive, send)


def _strip(scope: Scope, prefix: str) -> bool:
    """Remove a prefix from the path, and return whether the path had it."""
    path: str = scope["path"]
    if not prefix or not (path == prefix or path.startswith(prefix + "/")):
        return False
    scope["path"] = path.removeprefix(prefix) or "/"
    scope["raw_path"] = (scope.get("raw_path") or b"").removeprefix(prefix.encode()) or b"/"
    return True
