"""The members `error` and `error_description` of OAuth 2 (RFC 6749, section 5.2) in problem documents.

Clients of OAuth 2 read these two members, and no others. The status is that of the problem, as everywhere in
the API: 401 for a wrong password and 422 for an invalid field, where the RFC has 400 for both.
"""

import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

import msgspec
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from app.auth.errors import InactiveUser, InvalidCredentials
from app.auth.oauth.errors import InvalidGrant, UnsupportedGrantType
from app.core.errors import AppError, Unauthorized
from app.http import problems
from app.http.routing import BoundedRoute, Handler

INVALID_GRANT: Final = "invalid_grant"

_BY_CODE: Final[Mapping[str, str]] = {
    InvalidCredentials.code: INVALID_GRANT,
    InactiveUser.code: INVALID_GRANT,
    InvalidGrant.code: INVALID_GRANT,
    Unauthorized.code: INVALID_GRANT,
    UnsupportedGrantType.code: "unsupported_grant_type",
}
_TEMPORARY: Final = frozenset({HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE})
_NOT_PERMITTED: Final = re.compile(r"[^\x20\x21\x23-\x5b\x5d-\x7e]")
"""Characters that an `error_description` must not contain."""

_SCHEMA: Final = {
    "type": "object",
    "properties": {
        "error": {"type": "string", "description": "Error code of OAuth 2."},
        "error_description": {"type": "string", "description": "What is wrong, in ASCII."},
    },
}


class TokenRoute(BoundedRoute):
    """A route whose error responses have the members of OAuth 2."""

    def get_route_handler(self) -> Handler:
        """Return the handler, wrapped."""
        handler = super().get_route_handler()

        async def answer(request: Request) -> Response:
            try:
                return await handler(request)
            except (AppError, RequestValidationError, HTTPException) as error:
                return _with_members(problems.error_response(request.scope, error))

        return answer


def responses(*errors: AppError | type[AppError]) -> dict[int | str, dict[str, Any]]:
    """The `responses=` of a `TokenRoute` that may raise these errors."""
    documented = problems.responses(*errors)
    for answer in documented.values():
        content = answer["content"][problems.MEDIA_TYPE]
        content["schema"] = {"allOf": [content["schema"], _SCHEMA]}
        for example in content["examples"].values():
            example["value"] |= members(example["value"])
    return documented


def members(problem: Mapping[str, Any]) -> dict[str, str]:
    """Return the members for a problem document."""
    description = problem["detail"]
    if faults := problem.get("errors"):
        description = "; ".join(f"{fault['loc'][-1]}: {fault['msg']}" for fault in faults)
    return {
        "error": _BY_CODE.get(problem["code"]) or _by_status(problem["status"]),
        "error_description": _NOT_PERMITTED.sub("'", description),
    }


def _by_status(status: int) -> str:
    if status in _TEMPORARY:
        return "temporarily_unavailable"
    return "invalid_request" if status < HTTPStatus.INTERNAL_SERVER_ERROR else "server_error"


def _with_members(response: Response) -> Response:
    problem = msgspec.json.decode(response.body)
    body = msgspec.json.encode(problem | members(problem))
    headers = {name: value for name, value in response.headers.items() if name != "content-length"}
    return Response(body, response.status_code, headers | {"Cache-Control": "no-store"})
