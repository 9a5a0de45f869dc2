"""Errors as `application/problem+json` (RFC 9457), and their description in the OpenAPI document.

No input is echoed: FastAPI's own response to an invalid body repeats it, passwords included.
"""

import re
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final, cast

import msgspec
import structlog
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection
from starlette.responses import Response
from starlette.types import Scope

from app.core.errors import (
    AppError,
    BodyTooLarge,
    DatabaseUnavailable,
    NotFound,
    PermissionDenied,
    RequestHeadTooLarge,
    RequestTimeout,
    SchemaOutdated,
    Unauthorized,
    Unprocessable,
)
from app.http import body_errors, methods
from app.http.body import APP_ERROR
from app.http.errors import BadEncoding, MalformedJson, RateLimited, UnsupportedEncoding, UnsupportedMediaType
from app.http.links import link

MEDIA_TYPE: Final = "application/problem+json"
UNLIMITED: Final = frozenset({"/health", "/health/live", "/health/ready", "/metrics"})
"""Paths whose requests are not counted: probes and scrapers must get an answer."""

MAX_FAULTS: Final = 50
MAX_NAME_LENGTH: Final = 100

log = structlog.get_logger(__name__)


class Fault(BaseModel):
    """One validation error of a request."""

    loc: list[str | int] = Field(description="Path to the invalid field, e.g. `body`, `texts`, `3`.")
    msg: str = Field(description="Error message.")
    type: str = Field(description="Stable code of the validation error.")


class Problem(BaseModel):
    """An error. Further members depend on the kind of error."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(description="URN of the kind of error.")
    title: str = Field(description="Short title of the kind of error.")
    status: int = Field(description="The HTTP status.")
    detail: str = Field(description="What is wrong and what to do, in a sentence.")
    instance: str = Field(description="Path of the request.")
    code: str = Field(description="Stable code of the kind of error.")
    request_id: str | None = Field(description="Id of the request in the logs; also in `X-Request-ID`.")
    errors: list[Fault] | None = Field(default=None, description="Validation errors of single fields.")


class ProblemHTTPException(HTTPException):
    """Carries an AppError through code in which FastAPI turns every other exception into a 400."""

    def __init__(self, error: AppError) -> None:
        super().__init__(error.status, error.detail)
        self.error = error


def install(app: FastAPI) -> None:
    """Handle all errors of routes here."""
    for kind in (AppError, RequestValidationError, HTTPException):
        app.add_exception_handler(kind, _handle)


async def _handle(connection: HTTPConnection, error: Exception) -> Response:
    return error_response(connection.scope, error)


def error_response(scope: Scope, error: Exception) -> Response:
    """The response for any error."""
    match error:
        case ProblemHTTPException(error=carried):
            return error_response(scope, carried)
        case AppError():
            return _app_error_response(scope, error)
        case RequestValidationError():
            if (wrong := body_errors.cause(scope, error)) is not None:
                return _respond(scope, wrong)
            return _validation_error_response(scope, error.errors())
        case HTTPException():
            return _http_exception_response(scope, error)
        case _:
            log.error("request_failed", exc_info=error)
            return _respond(scope, InternalError())


class InternalError(AppError):
    """Internal error. Report the request id to the operator, who finds it in the logs."""


def _app_error_response(scope: Scope, error: AppError) -> Response:
    if error.__cause__ is not None and error.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        log.warning("request_refused", code=error.code, cause=repr(error.__cause__))
    return _respond(scope, error)


def _validation_error_response(scope: Scope, faults: Sequence[Any]) -> Response:
    for fault in faults:
        error = fault.get("ctx", {}).get(APP_ERROR)
        if isinstance(error, AppError):
            return _respond(scope, error, **_location_of(fault["loc"], error))
    return _respond(scope, Unprocessable(), errors=_faults(faults))


def _location_of(location: Sequence[str | int], error: AppError) -> dict[str, Any]:
    """The location of the error, if it concerns one of several entries."""
    numbers = [index for index, part in enumerate(location) if isinstance(part, int)]
    if not numbers:
        return {}
    path = [_name(part) for part in location[: numbers[0] + 1]]
    return {"errors": [{"loc": path, "msg": error.detail, "type": error.code}]}


def _http_exception_response(scope: Scope, error: HTTPException) -> Response:
    """Respond to errors of the framework: an unknown path, a wrong method, an unreadable body."""
    if error.status_code == HTTPStatus.NOT_FOUND:
        return _respond(scope, NotFound())
    if (unread := body_errors.cause_of_400(error)) is not None:
        return _respond(scope, unread)
    status = HTTPStatus(error.status_code)
    members = {
        "title": status.phrase.capitalize(),
        "status": status.value,
        "detail": error.detail,
        "code": status.name.lower(),
    }
    headers = error.headers
    if status is HTTPStatus.METHOD_NOT_ALLOWED:
        headers = {"Allow": methods.allowed(scope)}
    return _encode(scope, members, {}, headers)


def _respond(scope: Scope, error: AppError, **facts: Any) -> Response:
    return _encode(scope, _members(error), {**error.facts, **facts}, error.headers)


def _members(error: AppError) -> dict[str, Any]:
    return {"title": error.title, "status": error.status, "detail": error.detail, "code": error.code}


def _encode(
    scope: Scope, members: dict[str, Any], facts: dict[str, Any], headers: Mapping[str, str] | None
) -> Response:
    ours = {
        "type": _type(members["code"]),
        **members,
        "instance": link(scope["path"]),
        "request_id": scope.get("request_id"),
    }
    # First for their order, last so that no fact can replace one of them.
    body = msgspec.json.encode(ours | facts | ours)
    return Response(body, status_code=members["status"], headers=headers, media_type=MEDIA_TYPE)


def _type(code: str) -> str:
    return f"urn:headrace:problem:{code}"


# The only messages of pydantic that repeat input, with that of `union_tag_invalid`.
_SILENT_MESSAGES: Final = {
    "uuid_parsing": "Input should be a valid UUID",
}


def _faults(errors: Sequence[Any]) -> list[dict[str, Any]]:
    return [
        {
            "loc": [_name(part) for part in error["loc"]],
            "msg": _message(error),
            "type": error["type"],
        }
        for error in errors[:MAX_FAULTS]
    ]


def _message(error: Any) -> str:
    if error["type"] == "union_tag_invalid":
        return f"Input is not one of the expected kinds: {error['ctx']['expected_tags']}"
    message: str = _SILENT_MESSAGES.get(error["type"], error["msg"].removeprefix("Value error, "))
    if error["type"] in ("too_long", "too_short") and isinstance(error.get("input"), str):
        # pydantic counts items in optional text that has passed a validator of our own.
        return re.sub(r"^Value (.*) item(s?) after validation", r"String \1 character\2", message)
    return message


def _name(part: str | int) -> str | int:
    """One part of a location. For an unknown field it is text of the client, of any length."""
    return part if isinstance(part, int) else part[:MAX_NAME_LENGTH]


def responses(*errors: AppError | type[AppError]) -> dict[int | str, dict[str, Any]]:
    """The `responses=` of a route that may raise these errors.

    Pass an error with placeholders as an instance with typical facts:

        @router.get("/jobs/{job_id}", responses=problems.responses(JobNotFound, NotYourJob))
        @router.post("/jobs", responses=problems.responses(TooManyRows(limit=1000, got=1200)))
    """
    by_status: dict[int, list[AppError]] = defaultdict(list)
    for error in errors:
        example = error() if isinstance(error, type) else error
        by_status[example.status].append(example)
    return {status: _documented(examples) for status, examples in by_status.items()}


def _documented(examples: Sequence[AppError]) -> dict[str, Any]:
    if examples[0].status == HTTPStatus.UNPROCESSABLE_ENTITY:
        examples = [Unprocessable(), *examples]
    return {
        "description": "; ".join(dict.fromkeys(example.title for example in examples)),
        "content": {
            MEDIA_TYPE: {
                "schema": {"$ref": "#/components/schemas/Problem"},
                "examples": {example.code: {"value": _example(example)} for example in examples},
            }
        },
    }


def _example(error: AppError) -> dict[str, Any]:
    ours = {
        "type": _type(error.code),
        **_members(error),
        "instance": "/the/path",
        "request_id": "019aa7c1f3e27bd08c5d3f1e2a4b6c8d",
    }
    example = ours | error.facts | ours
    if type(error) is Unprocessable:
        example["errors"] = [{"loc": ["body", "name"], "msg": "Field required", "type": "missing"}]
    return cast("dict[str, Any]", msgspec.to_builtins(example))


def describe(document: dict[str, Any]) -> dict[str, Any]:
    """Make FastAPI's OpenAPI document describe the actual errors. Idempotent."""
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    for theirs in ("HTTPValidationError", "ValidationError"):
        schemas.pop(theirs, None)
    for ours in (Problem, Fault):
        schemas[ours.__name__] = ours.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas[ours.__name__].pop("$defs", None)
    for path, operations in document["paths"].items():
        for operation in operations.values():
            _describe_operation(operation)
            if path not in UNLIMITED:
                _add(operation["responses"], RateLimited(limit=1200, retry_after=17))
    return document


def _implied(operation: dict[str, Any]) -> Iterator[AppError]:
    """The errors that any such route may raise, without declaring them."""
    for permissions in (scopes for scheme in operation.get("security", ()) for scopes in scheme.values()):
        yield Unauthorized()
        yield from (PermissionDenied(permission=permission) for permission in permissions)
        yield DatabaseUnavailable()
    if "requestBody" in operation:
        yield RequestTimeout(seconds=10)
        yield BodyTooLarge(limit=65_536)
        yield RequestHeadTooLarge(limit=32_768)
    taken = operation.get("requestBody", {}).get("content", {})
    for media_type in (body_errors.JSON, body_errors.FORM):
        if media_type in taken:
            yield UnsupportedMediaType(expected=media_type, got="text/plain")
            yield UnsupportedEncoding(got="br")
            yield BadEncoding(reason="it is cut off")
    if body_errors.JSON in taken:
        yield MalformedJson(reason="expecting value", line=3, column=14)


def _add(documented: dict[str, Any], error: AppError) -> None:
    """Document another error of the same status."""
    added = _documented([error])
    answer = documented.setdefault(str(error.status), added)
    content = answer.setdefault("content", {}).setdefault(MEDIA_TYPE, added["content"][MEDIA_TYPE])
    content.setdefault("examples", {}).setdefault(error.code, {"value": _example(error)})
    if error.title not in answer["description"].split("; "):
        answer["description"] += f"; {error.title}"


def _codes(documented: dict[str, Any], status: int) -> Collection[str]:
    """The codes of the errors that are documented for a status."""
    content = documented.get(str(status), {}).get("content", {})
    examples: dict[str, Any] = content.get(MEDIA_TYPE, {}).get("examples", {})
    return examples.keys()


def _describe_operation(operation: dict[str, Any]) -> None:
    documented = operation["responses"]
    invalid = documented.get("422")
    if invalid is not None and MEDIA_TYPE not in invalid["content"]:
        documented["422"] = _documented([Unprocessable()])
    for error in _implied(operation):
        _add(documented, error)
    if DatabaseUnavailable.code in _codes(documented, DatabaseUnavailable.status):
        _add(documented, SchemaOutdated())
    documented.setdefault(
        "default",
        {
            "description": "Any other error",
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        },
    )
