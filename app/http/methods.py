"""HEAD, OPTIONS and `Allow` for every path (RFC 9110, 9.3 and 15.5.6).

HEAD works wherever GET does. OPTIONS, and the `Allow` header of a 405, list all methods of the path. FastAPI
supports neither HEAD nor OPTIONS, and its `Allow` lists the methods of a single route, although GET and
DELETE of one path are two routes.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final, NoReturn

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match, Route
from starlette.status import HTTP_204_NO_CONTENT, HTTP_405_METHOD_NOT_ALLOWED
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_HEAD: Final = "headrace.head"
_ORDER: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


class MethodsMiddleware:
    """Handles HEAD and OPTIONS for all routes. It runs inside the middleware that logs requests."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        method = scope.get("method")
        if method == "HEAD":
            await self._head(scope, receive, send)
        elif method == "OPTIONS" and (allow := allowed(scope)):
            await Response(status_code=HTTP_204_NO_CONTENT, headers={"Allow": allow})(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _head(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Call the GET route, and send the head of its response without the body."""

        async def send_head(message: Message) -> None:
            # The log and the server are outside of this middleware: for them the request is a HEAD.
            scope["method"] = "HEAD"
            if message["type"] != "http.response.body":
                await send(message)
                return
            await send({"type": "http.response.body", "body": b"", "more_body": False})
            if message.get("more_body", False):
                raise _HeadSent

        scope["method"] = "GET"
        scope[_HEAD] = True
        try:
            await self._app(scope, receive, send_head)
        except _HeadSent:
            return
        finally:
            scope["method"] = "HEAD"


class _HeadSent(Exception):
    """Stops a response after its head: the body of an event stream would never end."""


def is_head(scope: Scope) -> bool:
    """Whether a request handled by a GET route is a HEAD request."""
    return scope.get(_HEAD, False) is True


def allowed(scope: Scope) -> str:
    """The methods of the requested path, as `Allow` lists them; empty for an unknown path.

    A path that matches several templates (`/jobs/stream` and `/jobs/{job_id}`) belongs to the first one.
    """
    routes: list[BaseRoute] = scope["app"].router.routes
    found = next((route for route in routes if route.matches(scope)[0] is not Match.NONE), None)
    if found is None:
        return ""
    path = getattr(found, "path", None)
    return _format_methods(route for route in routes if getattr(route, "path", None) == path)


def _format_methods(routes: Iterable[Any]) -> str:
    methods = {"OPTIONS"}
    for route in routes:
        if not isinstance(route, MethodNotAllowedRoute):
            methods |= getattr(route, "methods", None) or set()
    if "GET" in methods:
        methods.add("HEAD")
    return ", ".join(method for method in _ORDER if method in methods)


class MethodNotAllowedRoute(Route):
    """Responds 405 to methods that a fixed path lacks but a matching template has.

    Without it `GET /jobs/bulk` reaches `GET /jobs/{job_id}`, which responds that "bulk" is not an id.
    """

    def __init__(self, path: str, methods: set[str]) -> None:
        super().__init__(path, _raise_405, methods=sorted(methods), include_in_schema=False)


async def _raise_405(request: Request) -> NoReturn:
    raise HTTPException(HTTP_405_METHOD_NOT_ALLOWED)


def with_method_errors(routes: Sequence[BaseRoute]) -> list[BaseRoute]:
    """Add a MethodNotAllowedRoute before each template that would match other methods of a fixed path."""
    complete = list(routes)
    methods: dict[str, set[str]] = {}
    for route in routes:
        if isinstance(route, Route) and not route.param_convertors:
            methods.setdefault(route.path, set()).update(route.methods or ())
    all_templates = [route for route in routes if isinstance(route, Route) and route.param_convertors]
    for path, own in methods.items():
        templates = [route for route in all_templates if route.path_regex.match(path)]
        caught = {method for template in templates for method in template.methods or ()} - own
        if caught:
            complete.insert(complete.index(templates[0]), MethodNotAllowedRoute(path, caught))
    return complete
