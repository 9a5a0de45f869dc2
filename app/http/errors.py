"""What can be wrong with the body of a request before its fields are looked at."""

from app.core.errors import AppError, BadRequest, Unprocessable


class MalformedJson(BadRequest):
    """The body is malformed JSON: {reason} at line {line}, column {column}."""

    code = "malformed_json"
    title = "Malformed JSON"


class UnreadableJson(MalformedJson):
    """The body cannot be read as JSON: {reason}."""


class UnsupportedMediaType(AppError):
    """This needs a body with Content-Type: {expected}; the request came with {got}."""

    status = 415
    code = "unsupported_media_type"
    title = "Unsupported media type"

    @property
    def headers(self) -> dict[str, str]:
        """Say what is taken, as RFC 9110 (12.5.1) has it for the body of a request."""
        return {**super().headers, "Accept": str(self.facts["expected"])}


class UnsupportedEncoding(AppError):
    """The body is encoded with {got}; send it plain or with Content-Encoding: gzip."""

    status = 415
    code = "unsupported_encoding"
    title = "Unsupported encoding"

    @property
    def headers(self) -> dict[str, str]:
        """Say what is taken, as RFC 9110 (12.5.3) has it for the body of a request."""
        return {**super().headers, "Accept-Encoding": "gzip"}


class BadEncoding(Unprocessable):
    """The gzip stream cannot be inflated: {reason}."""

    code = "bad_compression"
    title = "Bad compression"


class RangeNotSatisfiable(BadRequest):
    """The file has {bytes} bytes, and none of them are in that range."""

    status = 416
    code = "range_not_satisfiable"
    title = "Range not satisfiable"
