"""Errors of HTTP itself: request bodies that cannot be decoded, ranges and preconditions."""

from app.core.errors import AppError, BadRequest, Unprocessable


class MalformedJson(BadRequest):
    """The body is not valid JSON: {reason} at line {line}, column {column}."""

    code = "malformed_json"
    title = "Malformed JSON"


class UnreadableJson(MalformedJson):
    """The body cannot be read as JSON: {reason}."""


class RateLimited(AppError):
    """You have sent more than {limit} requests in a minute. Try again in {retry_after} seconds."""

    status = 429
    code = "rate_limited"
    title = "Rate limited"

    @property
    def headers(self) -> dict[str, str]:
        """The time to wait."""
        return {**super().headers, "Retry-After": str(self.facts["retry_after"])}


class UnsupportedMediaType(AppError):
    """Send the body with Content-Type: {expected}. This request has {got}."""

    status = 415
    code = "unsupported_media_type"
    title = "Unsupported media type"

    @property
    def headers(self) -> dict[str, str]:
        """Name the accepted media type, as RFC 9110 (12.5.1) defines for request bodies."""
        return {**super().headers, "Accept": str(self.facts["expected"])}


class UnsupportedEncoding(AppError):
    """Content-Encoding {got} is not supported. Send the body uncompressed or with gzip."""

    status = 415
    code = "unsupported_encoding"
    title = "Unsupported encoding"

    @property
    def headers(self) -> dict[str, str]:
        """Name the accepted encoding, as RFC 9110 (12.5.3) defines for request bodies."""
        return {**super().headers, "Accept-Encoding": "gzip"}


class BadEncoding(Unprocessable):
    """The gzip data cannot be decompressed: {reason}."""

    code = "bad_compression"
    title = "Bad compression"


class RangeNotSatisfiable(BadRequest):
    """The requested range is outside the file, which has {bytes} bytes."""

    status = 416
    code = "range_not_satisfiable"
    title = "Range not satisfiable"

    @property
    def headers(self) -> dict[str, str]:
        """Name the size, as RFC 9110 (15.5.17) asks."""
        return {**super().headers, "Content-Range": f"bytes */{self.facts['bytes']}"}


class PreconditionFailed(AppError):
    """No version named in If-Match is current: the ETag is {etag}. Download the file again from its start."""

    status = 412
    code = "precondition_failed"
    title = "Precondition failed"

    @property
    def headers(self) -> dict[str, str]:
        """Name the current version."""
        return {**super().headers, "ETag": str(self.facts["etag"])}
