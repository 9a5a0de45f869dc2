"""One tree of errors. Each class has its HTTP status, its stable code and the sentence a user reads."""

from typing import Any, ClassVar


class ConfigurationError(Exception):
    """The process cannot start with these settings; the message names the ones at fault."""


class AppError(Exception):
    """Something a caller is told about.

    The class docstring is the sentence the caller reads; facts given as keyword arguments fill its
    `{placeholders}` and travel beside it in the answer. `retry_after` (seconds) becomes the header.
    """

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal_error"
    title: ClassVar[str] = "Internal error"
    retry_after: ClassVar[int | None] = None

    def __init__(self, **facts: Any) -> None:
        self.facts = facts
        self.detail = (type(self).__doc__ or "").format_map(_readable(facts))
        super().__init__(self.detail)

    @property
    def headers(self) -> dict[str, str]:
        """Headers that the answer carries because of this error."""
        return {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}


def _readable(facts: dict[str, Any]) -> dict[str, Any]:
    """The facts as a sentence shows them: a list as its items, not as a list of Python's."""
    return {
        name: ", ".join(map(str, fact)) if isinstance(fact, list | tuple | set | frozenset) else fact
        for name, fact in facts.items()
    }


class BadRequest(AppError):
    """The request cannot be served as it is."""

    status = 400
    code = "bad_request"
    title = "Bad request"


class Unauthorized(AppError):
    """Sign in first: this needs a valid bearer token."""

    status = 401
    code = "invalid_token"
    title = "Unauthorized"

    @property
    def headers(self) -> dict[str, str]:
        """Say how to sign in, as RFC 6750 asks."""
        return {**super().headers, "WWW-Authenticate": "Bearer"}


class Forbidden(AppError):
    """You may not do this."""

    status = 403
    code = "forbidden"
    title = "Forbidden"


class NotFound(AppError):
    """There is nothing here."""

    status = 404
    code = "not_found"
    title = "Not found"


class Conflict(AppError):
    """This clashes with what is already there."""

    status = 409
    code = "conflict"
    title = "Conflict"


class TooLarge(AppError):
    """This is larger than the limit of {limit}."""

    status = 413
    code = "too_large"
    title = "Content too large"


class Unprocessable(AppError):
    """The request is well formed but its content is not valid."""

    status = 422
    code = "validation_error"
    title = "Unprocessable content"


class Unavailable(AppError):
    """The service cannot answer right now."""

    status = 503
    code = "unavailable"
    title = "Service unavailable"
    retry_after = 1


class DatabaseUnavailable(Unavailable):
    """The database cannot be reached right now. Try again in a moment."""

    code = "database_unavailable"
    retry_after = 2


class StorageUnavailable(Unavailable):
    """The storage of files cannot be reached right now. Try again in a moment."""

    code = "storage_unavailable"
    retry_after = 2


class ShuttingDown(Unavailable):
    """This process is about to stop; another one, or this one in a moment, will take the request."""

    code = "shutting_down"
    title = "Shutting down"


class BodyTooLarge(TooLarge):
    """The request body is larger than {limit} bytes."""

    code = "body_too_large"


class TooManyValues(TooLarge):
    """The body has more than {limit} JSON values. Send the rows as a dataset, or in several requests."""

    code = "too_many_values"


class RequestTimeout(AppError):
    """The request did not arrive within {seconds} seconds, or too slowly. Send it again."""

    status = 408
    code = "request_timeout"
    title = "Request timeout"


class RequestHeadTooLarge(AppError):
    """The request line and the headers have more than {limit} bytes together, or too many headers."""

    status = 431
    code = "request_head_too_large"
    title = "Request header fields too large"


class MalformedRequest(BadRequest):
    """This is not a valid HTTP/1.1 request."""

    code = "malformed_request"
    title = "Malformed request"


class TooManyConnections(Unavailable):
    """Too many connections are open. Close some of them, or try again in a moment."""

    code = "too_many_connections"


class ServerBusy(Unavailable):
    """The server has as many large requests in hand as it takes at a time. Try again in a moment."""

    code = "server_busy"


class FileMissing(NotFound):
    """The file {key} is not in storage any more."""

    code = "file_missing"
    title = "File missing"


class InvalidCursor(BadRequest):
    """The cursor was not given by this service."""

    code = "invalid_cursor"
