"""The application's exception hierarchy. Each class defines its HTTP status, stable code and user message."""

from typing import Any, ClassVar


class ConfigurationError(Exception):
    """The settings are invalid, so the process cannot start. The message names the invalid settings."""


class AppError(Exception):
    """Base class of errors that are reported to the client.

    A subclass's docstring is the message that the client receives. Keyword arguments fill its
    `{placeholders}` and are also members of the response body. `retry_after`, in seconds, becomes the
    `Retry-After` header.
    """

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal_error"
    title: ClassVar[str] = "Internal error"
    retry_after: ClassVar[int | None] = None

    def __init__(self, **facts: Any) -> None:
        self.facts = facts
        self.detail = (type(self).__doc__ or "").format_map(_join_lists(facts))
        super().__init__(self.detail)

    @property
    def headers(self) -> dict[str, str]:
        """Response headers that this error adds."""
        return {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}


def _join_lists(facts: dict[str, Any]) -> dict[str, Any]:
    """Return the facts with each collection joined by commas, for use in a sentence."""
    return {
        name: ", ".join(map(str, fact)) if isinstance(fact, list | tuple | set | frozenset) else fact
        for name, fact in facts.items()
    }


class BadRequest(AppError):
    """The request is invalid."""

    status = 400
    code = "bad_request"
    title = "Bad request"


class Unauthorized(AppError):
    """Sign in first: this request needs a valid bearer token."""

    status = 401
    code = "invalid_token"
    title = "Unauthorized"

    @property
    def headers(self) -> dict[str, str]:
        """Add the `WWW-Authenticate` header that RFC 6750 requires."""
        return {**super().headers, "WWW-Authenticate": "Bearer"}


class Forbidden(AppError):
    """You do not have permission to do this."""

    status = 403
    code = "forbidden"
    title = "Forbidden"


class PermissionDenied(Forbidden):
    """This needs the permission `{permission}`, which your role or your API key does not include."""


class NotFound(AppError):
    """Nothing exists at this URL."""

    status = 404
    code = "not_found"
    title = "Not found"


class Conflict(AppError):
    """The request conflicts with the current state of the resource."""

    status = 409
    code = "conflict"
    title = "Conflict"


class TooLarge(AppError):
    """The content exceeds the limit of {limit}."""

    status = 413
    code = "too_large"
    title = "Content too large"


class Unprocessable(AppError):
    """The request is well-formed, but its content is invalid."""

    status = 422
    code = "validation_error"
    title = "Unprocessable content"


class Unavailable(AppError):
    """The service is temporarily unavailable. Try again in a moment."""

    status = 503
    code = "unavailable"
    title = "Service unavailable"
    retry_after = 1


class DatabaseUnavailable(Unavailable):
    """The database is unreachable. Try again in a moment."""

    code = "database_unavailable"
    retry_after = 2


class SchemaOutdated(DatabaseUnavailable):
    """The database schema is older than this version of Headrace. Run `headrace migrate`."""

    code = "schema_outdated"
    title = "Schema outdated"


class StorageUnavailable(Unavailable):
    """File storage is unreachable. Try again in a moment."""

    code = "storage_unavailable"
    retry_after = 2


class ShuttingDown(Unavailable):
    """This server process is shutting down. Send the request again in a moment."""

    code = "shutting_down"
    title = "Shutting down"


class BodyTooLarge(TooLarge):
    """The request body exceeds {limit} bytes."""

    code = "body_too_large"


class TooManyValues(TooLarge):
    """The body has more than {limit} JSON values. Upload the rows as a dataset or split the request."""

    code = "too_many_values"


class RequestTimeout(AppError):
    """The request did not arrive within {seconds} seconds, or arrived too slowly. Send it again."""

    status = 408
    code = "request_timeout"
    title = "Request timeout"


class RequestHeadTooLarge(AppError):
    """The request line and headers exceed {limit} bytes in total, or there are too many headers."""

    status = 431
    code = "request_head_too_large"
    title = "Request header fields too large"


class MalformedRequest(BadRequest):
    """The request is not valid HTTP/1.1."""

    code = "malformed_request"
    title = "Malformed request"


class TooManyConnections(Unavailable):
    """Too many connections are open. Close some of them or try again in a moment."""

    code = "too_many_connections"


class ServerBusy(Unavailable):
    """The server is already processing its maximum of large requests. Try again in a moment."""

    code = "server_busy"


class FileMissing(NotFound):
    """The file {key} no longer exists in storage."""

    code = "file_missing"
    title = "File missing"


class InvalidCursor(BadRequest):
    """The cursor is invalid. Pass the `next_cursor` of the previous page unchanged."""

    code = "invalid_cursor"
