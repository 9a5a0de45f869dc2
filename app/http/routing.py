"""Route class that authenticates the client before it reads a body, and limits a body before it parses it."""

import asyncio
import typing
from collections.abc import Callable, Coroutine, Hashable
from contextlib import AsyncExitStack
from typing import Any, Final, Protocol, runtime_checkable

from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response

from app.core.errors import TooManyValues
from app.http import parsing
from app.http.body import LargeBody
from app.http.middleware import allow_json, declared_bytes
from app.http.offloading import offloading
from app.http.problems import ProblemHTTPException
from app.http.state import HttpState, state_of
from app.http.value_counter import PIECE_BYTES, ValueCounter

SMALL_BODY_BYTES: Final = 64 * 1024
"""Limit for the body of a route unless its type is a LargeBody."""

MAX_VALUES: Final = 100_000
"""Limit for the numbers, strings, arrays and objects in a large body. Validation takes 20 ms for all."""

_HUGE_NUMBER: Final = {"type": "number_size", "loc": ("body",), "msg": "A number has more than 400 digits"}

_INDIVISIBLE: Final = {
    "type": "value_size",
    "loc": ("body",),
    "msg": f"A string has more than {parsing.MAX_INDIVISIBLE_BYTES // 1024 // 1024} MiB, or a value "
    f"within {parsing.MAX_DEPTH} others",
}

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


@runtime_checkable
class BeforeBody(Protocol):
    """A dependency that is resolved before the body is read. It caches its result for the request."""

    async def before_body(self, request: Request) -> Hashable:
        """Return the id of the user. Raises what the dependency raises."""


class BoundedRoute(APIRoute):
    """Route class for every route whose body FastAPI reads."""

    def get_route_handler(self) -> Handler:
        """Return FastAPI's handler, wrapped in the checks."""
        handler = super().get_route_handler()
        if self.body_field is None:
            return handler
        calls: list[object] = [one.call for one in self.dependant.dependencies]
        checks = [call for call in calls if isinstance(call, BeforeBody)]
        is_large = _is_large(self.body_field.field_info.annotation)

        async def bounded(request: Request) -> Response:
            owner: Hashable = None
            for check in checks:
                owner = await check.before_body(request)
            if not is_large or 0 < declared_bytes(request.scope) <= SMALL_BODY_BYTES:
                return await handler(request)
            limit = state_of(request, HttpState).resources.settings.max_body_bytes
            allow_json(request.scope, limit)
            async with AsyncExitStack() as held:
                size = await _parse(request, _Reservation(request, owner, limit, held))
                with offloading(size > parsing.PIECE_BYTES):
                    return await handler(request)

        return bounded


class _Reservation:
    """Reserves memory for one body in the budget, once it is certain that the body is large."""

    def __init__(self, request: Request, owner: Hashable, limit: int, held: AsyncExitStack) -> None:
        self._budget = state_of(request, HttpState).body_budget
        self._owner = owner
        self._size = declared_bytes(request.scope) or limit
        self._limit = limit
        self._held = held
        self._is_taken = False

    async def take(self) -> None:
        """Wait until the budget has room. A body that will be rejected for its size needs none."""
        if not self._is_taken and self._size <= self._limit:
            self._is_taken = True
            await self._held.enter_async_context(self._budget.hold(self._owner, self._size))


def _is_large(annotation: Any) -> bool:
    return any(
        isinstance(part, type) and issubclass(part, LargeBody)
        for part in (annotation, *typing.get_args(annotation))
    )


async def _parse(request: Request, reservation: _Reservation) -> int:
    """Read and parse the body, store its value where FastAPI looks for it, and return its size in bytes.

    FastAPI would hold three copies of the body, one of them with four bytes for each character.
    """
    if not _is_json(request.headers.get("content-type", "")):
        request._body = b"-"  # not read: FastAPI rejects its media type
        return 0
    if declared_bytes(request.scope):
        await reservation.take()
    text = await _read(request, reservation)
    if not text:
        request._body = b""
        return 0
    request._body = b"{}"  # an empty one would be a missing body to FastAPI
    try:
        request._json = await parsing.parse(text)
    except parsing.Indivisible:
        raise RequestValidationError([_INDIVISIBLE]) from None
    except parsing.NotJson as error:
        fault = {"type": "json_invalid", "loc": ("body",), "msg": str(error)}
        raise RequestValidationError([fault]) from None
    await asyncio.sleep(0)  # other requests run before the fields are validated
    return len(text)


async def _read(request: Request, reservation: _Reservation) -> bytearray:
    text = bytearray()
    counter = ValueCounter()
    async for received in request.stream():
        text += received
        if len(text) > SMALL_BODY_BYTES:
            await reservation.take()
        for start in range(0, len(received), PIECE_BYTES):
            counter.take(received[start : start + PIECE_BYTES])
            if counter.values > MAX_VALUES:
                raise ProblemHTTPException(TooManyValues(limit=MAX_VALUES))
            if counter.has_huge_number:
                raise RequestValidationError([_HUGE_NUMBER])
            await asyncio.sleep(0)
    return text


def _is_json(content_type: str) -> bool:
    media_type = content_type.partition(";")[0].strip().lower()
    main, _, sub = media_type.partition("/")
    return main == "application" and (sub == "json" or sub.endswith("+json"))
