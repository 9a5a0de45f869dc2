"""Route class for the most frequent requests, which calls the endpoint without FastAPI.

FastAPI finds out for each request what the endpoint takes, which takes longer than the endpoint itself. A
DirectRoute reads FastAPI's description of the endpoint once, when it is made. A request that is unusual or
invalid is left to FastAPI: the responses are the same, and so are the errors.
"""

import dataclasses
import inspect
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, cast

from fastapi import params
from fastapi.dependencies.models import Dependant
from fastapi.dependencies.utils import request_params_to_args
from fastapi.routing import request_response
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from app.http.middleware import declared_bytes
from app.http.routing import SMALL_BODY_BYTES, BeforeBody, BoundedRoute

_JSON: Final = "application/json"

# Raised by reading and parsing a body. FastAPI, which tries again, says what is wrong with it.
_UNREADABLE: Final = (ValueError, RecursionError, ClientDisconnect)

# What FastAPI notes about a dependency or an endpoint, except for what it takes of a request.
_NOTES: Final = {"name", "call", "own_oauth_scopes", "parent_oauth_scopes", "use_cache", "path", "scope"}
_REQUEST_ALONE: Final = ({"request_param_name"}, {"http_connection_param_name"})
_PARTS: Final = {"path_params", "query_params", "header_params", "body_params", "dependencies"}

Dependency = Callable[[Request], Awaitable[Any]]


class DirectRoute(BoundedRoute):
    """A route whose endpoint returns a Response, and whose dependencies take the request and nothing else.

    Raises TypeError for any other endpoint.
    """

    def __init__(self, path: str, endpoint: Callable[..., Awaitable[Response]], **options: Any) -> None:
        super().__init__(path, endpoint, **options)
        if inspect.signature(endpoint).return_annotation is not Response or not _is_plain(self):
            raise TypeError(f"{self.name} cannot be called without FastAPI")
        self._serve_as_fastapi = self.get_route_handler()
        self._dependencies = [(one.name, _call_of(one)) for one in self.dependant.dependencies]
        calls: list[object] = [call for _, call in self._dependencies]
        self._body_checks = [call for call in calls if isinstance(call, BeforeBody)]
        self._query = _Parameters(self.dependant.query_params)
        self._headers = _Parameters(self.dependant.header_params)
        self._header_names = {field.alias.lower().encode() for field in self.dependant.header_params}
        self.app = self._serve

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive, send)
        arguments = self._parameters(request)
        if arguments is not None and self.body_field is not None:
            arguments = await self._with_body(request, arguments)
        if arguments is None:
            await _respond(self._serve_as_fastapi, request)(scope, receive, send)
            return
        for name, call in self._dependencies:
            found = await call(request)
            if name is not None:
                arguments[name] = found
        response: Response = await self.endpoint(**arguments)
        await response(scope, receive, send)

    def _parameters(self, request: Request) -> dict[str, Any] | None:
        """Return the arguments from the path, the query and the headers; None if one is invalid."""
        scope = request.scope
        arguments, errors = request_params_to_args(self.dependant.path_params, request.path_params)
        has_header = not self._header_names.isdisjoint(name for name, _ in scope["headers"])
        query = self._query.read(request.query_params) if scope["query_string"] else self._query.defaults
        headers = self._headers.read(request.headers) if has_header else self._headers.defaults
        if errors or query is None or headers is None:
            return None
        return {**arguments, **query, **headers}

    async def _with_body(self, request: Request, arguments: dict[str, Any]) -> dict[str, Any] | None:
        """Add the body to the arguments; return None if it is large, not declared, unreadable or invalid.

        Raises what identifying the client raises, and HTTPException for a body that exceeds the limits.
        """
        is_small = 0 < declared_bytes(request.scope) <= SMALL_BODY_BYTES
        if not is_small or request.headers.get("content-type") != _JSON:
            return None
        for check in self._body_checks:
            await check.before_body(request)
        try:
            value = await request.json()
        except _UNREADABLE:
            return None
        [field] = self.dependant.body_params
        body, errors = field.validate(value)
        return None if errors else {**arguments, field.name: body}


class _Parameters:
    """Parameters of an endpoint from one part of a request: its query or its headers."""

    def __init__(self, fields: Sequence[Any]) -> None:
        self._fields = fields
        self.defaults = {field.name: field.default for field in fields}
        for field in fields:
            is_shareable = field.default is None or isinstance(field.default, str | int | float)
            if not is_shareable or field.field_info.validate_default:
                raise TypeError(f"requests cannot share the default of {field.name}")

    def read(self, received: Any) -> dict[str, Any] | None:
        """Return the values in a request, and the defaults of those that it lacks; None if one is invalid."""
        found, errors = request_params_to_args(self._fields, received)
        return None if errors else found


def _is_plain(route: BoundedRoute) -> bool:
    """Whether the endpoint takes known parts of a request, a body as a whole, and each dependency once."""
    calls = [one.call for one in route.dependant.dependencies]
    is_form = route.body_field is not None and isinstance(route.body_field.field_info, params.Form)
    has_parts = is_form or route._embed_body_fields
    return _taken(route.dependant) <= _PARTS and len(set(calls)) == len(calls) and not has_parts


def _call_of(dependant: Dependant) -> Dependency:
    """Return what to call with the request alone. Raises TypeError."""
    call = dependant.call
    is_async = any(map(inspect.iscoroutinefunction, (call, type(call).__call__)))
    if not is_async or _taken(dependant) not in _REQUEST_ALONE:
        raise TypeError(f"{call} takes more than the request, or may block")
    return cast("Dependency", call)


def _taken(dependant: Dependant) -> set[str]:
    """Return the kinds of parameters, as FastAPI names them."""
    names = {field.name for field in dataclasses.fields(dependant)} - _NOTES
    return {name for name in names if getattr(dependant, name)}


def _respond(handler: Callable[[Request], Awaitable[Response]], request: Request) -> Any:
    """Return the application that has FastAPI respond to a request, whose body may have been read."""

    async def handle(_another: Request) -> Response:
        return await handler(request)

    return request_response(handle)
