"""One tree of errors: whatever goes wrong with the server is a `HeadraceError`.

try:
    job = client.job(job_id)
except NotFound as error:
    print(error.code, error.detail, error.request_id)
except HeadraceError as error:
    print(f"No luck: {error}")
"""

import email.utils
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, ClassVar, Final

from app.client.steps import Answer
from app.client.values import Job

MAX_FAULTS_SHOWN: Final = 3


class HeadraceError(Exception):
    """Something that was wanted of the server did not work.

    `status` and `code` are None where there was no answer. `code` is a stable word (`job_not_found`),
    `detail` a sentence, `facts` all that the problem document (RFC 9457) holds.
    """

    is_passing: ClassVar[bool] = False
    """Whether the same request may well succeed in a moment."""

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
        """The sentence, and what is wrong with the request where the server says so."""
        faults = self.facts.get("errors")
        if not isinstance(faults, list) or not faults:
            return self.detail
        shown = "; ".join(_fault(fault) for fault in faults[:MAX_FAULTS_SHOWN])
        return f"{self.detail} ({shown})"


class BadRequest(HeadraceError):
    """400: the request cannot be served as it is."""


class Unauthorized(HeadraceError):
    """401: the token, or the username and password, are not good (any more)."""


class Forbidden(HeadraceError):
    """403: it belongs to somebody else, or it is not allowed."""


class NotFound(HeadraceError):
    """404: there is no such thing."""


class Conflict(HeadraceError):
    """409: it clashes with what is already there."""


class Gone(HeadraceError):
    """410: it was there, and was removed."""


class TooLarge(HeadraceError):
    """413: a text or the whole request is too large."""


class Invalid(HeadraceError):
    """422: the content is not valid; `facts["errors"]` says where."""


class TooManyRequests(HeadraceError):
    """429: too many requests, or too many jobs that are not finished."""

    is_passing = True


class ServerError(HeadraceError):
    """5xx: something is wrong on the server's side."""


class Unavailable(ServerError):
    """502, 503, 504: the server, or something before it, cannot answer right now."""

    is_passing = True


class Unreachable(HeadraceError):
    """There was no answer: no connection, a connection that was cut, or silence."""

    is_passing = True


class UnexpectedResponse(HeadraceError):
    """There was an answer, but not one that Headrace gives: is the URL right?"""


class MissingCredentials(HeadraceError):
    """Neither a token nor a username with its password was given."""


class WaitTimeout(HeadraceError, TimeoutError):
    """The job had not ended when the time was over. It goes on; `job` is how it stood."""

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


def ensure_ok(answer: Answer) -> None:
    """Raise the error that an answer tells of, if it tells of one."""
    if not 200 <= answer.status < 300:
        raise of(answer)


def of(answer: Answer) -> HeadraceError:
    """The error that an answer tells of; a proxy's own page of HTML tells of one too."""
    problem = _problem(answer)
    kind = _BY_STATUS.get(answer.status)
    if kind is None:
        kind = (
            ServerError
            if answer.status >= 500
            else BadRequest
            if answer.status >= 400
            else UnexpectedResponse
        )
    detail = problem.get("detail") or problem.get("title") or _phrase(answer.status)
    return kind(
        str(detail),
        status=answer.status,
        code=problem.get("code"),
        request_id=problem.get("request_id") or answer.headers.get("x-request-id"),
        retry_after_seconds=_retry_after_seconds(answer.headers.get("retry-after", "")),
        facts=problem,
    )


def _problem(answer: Answer) -> dict[str, Any]:
    try:
        problem = json.loads(answer.body)
    except ValueError:
        return {}
    return problem if isinstance(problem, dict) else {}


def _phrase(status: int) -> str:
    try:
        return f"The server answered {status} {HTTPStatus(status).phrase}."
    except ValueError:
        return f"The server answered {status}."


def _retry_after_seconds(text: str) -> float | None:
    """What Retry-After says, which is seconds or a date (RFC 9110, section 10.2.3)."""
    if text.isascii() and text.isdecimal():
        return float(text)
    try:
        until = email.utils.parsedate_to_datetime(text)
    except ValueError:
        return None
    if until.tzinfo is None:
        until = until.replace(tzinfo=UTC)
    return max(0.0, (until - datetime.now(UTC)).total_seconds())


def _fault(fault: Any) -> str:
    if not isinstance(fault, dict):
        return str(fault)
    place = ".".join(str(part) for part in fault.get("loc", ()))
    return f"{place}: {fault.get('msg', '')}"
