"""Errors of the client: all of them are a `HeadraceError`.

try:
    job = client.job(job_id)
except NotFound as error:
    print(error.code, error.detail, error.request_id)
except HeadraceError as error:
    print(f"Failed: {error}")
"""

import email.utils
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, ClassVar, Final

from app.client.steps import Response
from app.client.values import Job

MAX_ERRORS_SHOWN: Final = 3


class HeadraceError(Exception):
    """A request failed.

    `status` and `code` are None if there was no response. `code` is a stable identifier (`job_not_found`),
    `detail` a sentence, `facts` the whole problem document (RFC 9457).
    """

    is_transient: ClassVar[bool] = False
    """Whether the same request may succeed soon."""

    def __init__(
        self,
        detail: str,
        *,
        status: int | None = None,
        code: str | None = None,
        request_id: str | None = None,
        retry_after_seconds: float | None = None,
        facts: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.status = status
        self.code = code
        self.request_id = request_id
        self.retry_after_seconds = retry_after_seconds
        self.facts = facts or {}

    def __str__(self) -> str:
        """The sentence, followed by the first validation errors if there are any."""
        errors = self.facts.get("errors")
        if not isinstance(errors, list) or not errors:
            return self.detail
        shown = "; ".join(_describe(error) for error in errors[:MAX_ERRORS_SHOWN])
        return f"{self.detail} ({shown})"


class BadRequest(HeadraceError):
    """400: the request is not valid in the current state."""


class Unauthorized(HeadraceError):
    """401: the token has expired, or the username or password is wrong."""


class Forbidden(HeadraceError):
    """403: the resource belongs to another user, or the action is not allowed."""


class NotFound(HeadraceError):
    """404: the resource does not exist."""


class Conflict(HeadraceError):
    """409: the request conflicts with the current state."""


class Gone(HeadraceError):
    """410: the resource has been removed."""


class TooLarge(HeadraceError):
    """413: a text or the whole request is too large."""


class Invalid(HeadraceError):
    """422: the content is not valid; `facts["errors"]` says where."""


class TooManyRequests(HeadraceError):
    """429: too many requests, or too many unfinished jobs."""

    is_transient = True


class ServerError(HeadraceError):
    """5xx: the server failed."""


class Unavailable(ServerError):
    """502, 503, 504: the server or a proxy cannot respond at the moment."""

    is_transient = True


class Unreachable(HeadraceError):
    """No response: no connection, a lost connection, or a timeout."""

    is_transient = True


class UnexpectedResponse(HeadraceError):
    """The response does not come from Headrace; the URL may be wrong."""


class MissingCredentials(HeadraceError):
    """Neither a token nor a username and password is given."""


class WaitTimeout(HeadraceError, TimeoutError):
    """The job did not end in time. It continues; `job` is its last state."""

    def __init__(self, job: Job) -> None:
        super().__init__(f"Job {job.id} is still {job.status}.")
        self.job = job


_BY_STATUS: Final[dict[int, type[HeadraceError]]] = {
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    410: Gone,
    413: TooLarge,
    422: Invalid,
    429: TooManyRequests,
    502: Unavailable,
    503: Unavailable,
    504: Unavailable,
}


_PERMANENT: Final = frozenset({"mail_not_configured"})
"""Codes of 503 responses that no retry changes."""


def raise_for_status(response: Response) -> None:
    """Raise the error of a response whose status is not 2xx."""
    if not 200 <= response.status < 300:
        raise from_response(response)


def from_response(response: Response) -> HeadraceError:
    """The error of a response, which may also be the HTML page of a proxy."""
    problem = _problem(response)
    kind = None if problem.get("code") in _PERMANENT else _BY_STATUS.get(response.status)
    if kind is None:
        kind = (
            ServerError
            if response.status >= 500
            else BadRequest
            if response.status >= 400
            else UnexpectedResponse
        )
    detail = problem.get("detail") or problem.get("title") or _phrase(response.status)
    return kind(
        str(detail),
        status=response.status,
        code=problem.get("code"),
        request_id=problem.get("request_id") or response.headers.get("x-request-id"),
        retry_after_seconds=_retry_after_seconds(response.headers.get("retry-after", "")),
        facts=problem,
    )


def _problem(response: Response) -> dict[str, Any]:
    try:
        problem = json.loads(response.body)
    except ValueError:
        return {}
    return problem if isinstance(problem, dict) else {}


def _phrase(status: int) -> str:
    try:
        return f"The server responded with {status} {HTTPStatus(status).phrase}."
    except ValueError:
        return f"The server responded with {status}."


def _retry_after_seconds(text: str) -> float | None:
    """Parse Retry-After: seconds or a date (RFC 9110, section 10.2.3)."""
    if text.isascii() and text.isdecimal():
        return float(text)
    try:
        until = email.utils.parsedate_to_datetime(text)
    except ValueError:
        return None
    if until.tzinfo is None:
        until = until.replace(tzinfo=UTC)
    return max(0.0, (until - datetime.now(UTC)).total_seconds())


def _describe(error: Any) -> str:
    if not isinstance(error, dict):
        return str(error)
    path = ".".join(str(part) for part in error.get("loc", ()))
    return f"{path}: {error.get('msg', '')}"
